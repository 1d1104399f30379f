"""The page of all experiments opens without a network and says what was found."""

from __future__ import annotations

import re

import pytest

from sfm_stream.errors import SinkError
from sfm_stream.paper.output import page
from sfm_stream.paper.output.claims import Claim
from sfm_stream.paper.output.page import Chapter
from sfm_stream.report.markdown import table

TOLD = [Claim("a < b", True, "1 & 2"), Claim("c", False, "3"), Claim("d", None, "4")]
TEXT = f"a title\n\n{table(['model', 'NLL'], [['sfm', '<8'], ['gru', '']])}"
CHAPTER = Chapter("Music", "Which keys?", TOLD, TEXT, {"music": "NLL < 9"})


@pytest.fixture
def written(tmp_path):
    (tmp_path / "music.png").write_bytes(b"drawn")
    return page.write([CHAPTER], ["The quick run."], tmp_path).read_text()


def test_every_claim_has_its_verdict_and_its_figures(written):
    assert '<b class="good">Holds</b>: a &lt; b (1 &amp; 2).' in written
    assert '<b class="bad">Does not hold</b>: c (3).' in written
    assert '<b class="faint">Not decided</b>: d (4).' in written
    assert "Of 3 sentences 1 hold, 1 do not, and 1 are not decided" in written
    assert "<p>The quick run.</p>" in written


def test_tables_keep_every_cell(written):
    rows = re.findall(r"<tr>(.*?)</tr>", written)
    assert rows == [
        '<th scope="col">model</th><th scope="col">NLL</th>',
        "<td>sfm</td><td>&lt;8</td>",
        "<td>gru</td><td></td>",
    ]
    assert "<p>a title</p>" in written


def test_every_picture_says_what_it_shows(written):
    assert "<figcaption>NLL &lt; 9</figcaption>" in written
    assert 'alt="NLL &lt; 9"' in written


def test_nothing_is_asked_of_another_host(written):
    assert 'src="data:image/png;base64,ZHJhd24="' in written
    assert "default-src 'none'" in written
    assert not re.search(r"(src|href)=\"(?!data:)", written)


def test_a_picture_that_is_gone_is_named(tmp_path):
    with pytest.raises(SinkError, match=r"music.png: cannot be read"):
        page.write([CHAPTER], [], tmp_path)
