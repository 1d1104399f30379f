"""What all tests share: the same examples at every run, and the program."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from sfm_stream import cli

ROOT = Path(__file__).parents[1]
# Small enough for a test; the numbers are nobody's.
SMALL = ["--set", "feed.options.ticks=2000", "--set", "run.warmup=100"]

# No deadline: speed is not what tests measure, and the machine may be busy.
settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")


@pytest.fixture
def sfm_stream(monkeypatch, capsys):
    """Give the program as a function: arguments in; exit code, stdout, stderr out."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sfm-stream", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        said = capsys.readouterr()
        return exited.value.code, said.out, said.err

    return call


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Stand in a copy of what the pages' commands read, beside the same data."""
    place = tmp_path / "main"
    shutil.copytree(ROOT / "configs", place / "configs")
    if (ROOT.parent / "shared").is_dir():
        (tmp_path / "shared").symlink_to(ROOT.parent / "shared")
    monkeypatch.chdir(place)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (place / "mine.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    return place


@pytest.fixture
def lived_in(checkout, sfm_stream):
    """The checkout after the first command: it holds `runs/demo-001`."""
    assert sfm_stream("replay", "configs/demo.toml", *SMALL)[0] == 0
    return checkout
