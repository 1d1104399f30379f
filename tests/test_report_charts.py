from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sfm_stream import cli
from sfm_stream.errors import ConfigError
from sfm_stream.report import charts

DEMO = Path(__file__).parents[1] / "configs" / "demo.toml"
SMALL = [
    "--set", "feed.options.ticks=400", "--set", "run.warmup=50",
    "--set", "model.states=4",
]  # fmt: skip


@pytest.mark.parametrize(
    "words", [("replay",), ("compare", "--models", "sfm,last")], ids=lambda w: w[0]
)
def test_a_picture_is_drawn(words, tmp_path, monkeypatch, capsys):
    path = tmp_path / "picture.svg"
    given = [str(DEMO), *SMALL, "--out", str(tmp_path / "run"), "--plot", str(path)]
    monkeypatch.setattr(sys, "argv", ["sfm-stream", *words, *given])
    with pytest.raises(SystemExit) as exited:
        cli.main()
    assert exited.value.code == 0, capsys.readouterr().err
    assert path.read_text().count("<path") > 20


def test_a_picture_that_cannot_be_drawn_is_refused_first(monkeypatch):
    with pytest.raises(ConfigError, match=r"expected a file ending in \.png"):
        charts.expect(Path("picture.bmp"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'sfm-stream\[plot\]'"):
        charts.expect(Path("picture.png"))
