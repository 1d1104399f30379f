from __future__ import annotations

import pytest

from connectors.files import encodings
from sfm_stream.errors import ConfigError
from tests.test_connectors_files_kinds import opened, whole

TEXT = "time;Größe\n" + "".join(f"2024-05-01 00:00:{i:02};{i}\n" for i in range(30))
LATIN = TEXT.encode("latin-1")
UNREAD = "characters that the file's encoding does not have"


@pytest.mark.parametrize(
    "name", ["rot13", "base64", "hex", "zlib", "bz2", "idna", "undefined", "latin-99"]
)
def test_what_is_no_encoding_of_text_is_refused(tmp_path, name):
    problem = f"expected an encoding of text like 'latin-1', was '{name}'; leave it"
    with pytest.raises(ConfigError, match=problem) as e:
        opened(tmp_path, TEXT, encoding=name)
    assert e.value.at == "feed.options.encoding"


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_an_encoding_that_the_file_has_not_is_an_error(tmp_path, name):
    problem = f"expected the encoding of the file, was '{name}': .*leave it empty"
    with pytest.raises(ConfigError, match=problem):
        opened(tmp_path, TEXT, encoding=name)


@pytest.mark.parametrize("name", ["ascii", "utf-8"])
def test_a_name_that_could_not_be_read_in_full_is_told(tmp_path, name):
    feed = opened(tmp_path, LATIN, encoding=name)
    assert any(
        f"{feed.fields[0]!r} could not be read in full; is feed.options.encoding" in n
        for n in feed.notes
    )
    assert not any("could not" in n for n in opened(tmp_path, LATIN).notes)


@pytest.mark.parametrize(
    ("name", "connector"), [("ascii", "csv"), ("utf-8", "csv"), ("ascii", "jsonl")]
)
def test_characters_that_could_not_be_read_are_counted(tmp_path, name, connector):
    rows = [f'{{"x": {i}, "note": "ok"}}' for i in range(9)]
    if connector == "csv":
        rows = ["x,note", *(f"{i},ok" for i in range(9))]
    rows[4], rows[6] = rows[4].replace("ok", "né"), rows[6].replace("ok", "üü")
    text = ("\n".join(rows) + "\n").encode("latin-1")
    feed = opened(tmp_path, text, connector=connector, encoding=name)
    assert len(whole(feed)) == 9
    assert feed.tally.counts[UNREAD] == 3
    shown = rows[4].replace("é", encodings.STAND_IN)
    assert feed.tally.examples[UNREAD] == f"{tmp_path / 'a.csv'} line 5: {shown!r}"
    assert not feed.tally.rows


def test_the_line_is_counted_from_the_first_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("connectors.files.text.PIECE", 64)
    text = LATIN.replace("ö".encode("latin-1"), b"o").replace(b"\xdf", b"s")
    feed = opened(tmp_path, text.replace(b";29\n", b";29\xe9\n"), encoding="utf-8")
    whole(feed)
    assert " line 31: " in feed.tally.examples[UNREAD]
