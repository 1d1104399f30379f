"""The paper's first task, in its smallest form."""

from __future__ import annotations

import json
import sys

import pytest

from sfm_stream import cli
from sfm_stream.cell.slides import CELLS
from sfm_stream.paper import signals
from sfm_stream.paper.training import Schedule

TINY = signals.Size(8, 4, 4, 6, Schedule(1, 4, 1e-2, 1))


@pytest.fixture
def sfm_stream(monkeypatch, capsys, tmp_path):
    """Give the program in an empty folder, with the quick size made tiny."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "QUICK", TINY)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sfm-stream", *arguments])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        said = capsys.readouterr()
        return exited.value.code, said.out, said.err

    return call


def test_the_command_leaves_tables_figures_and_trials(sfm_stream, tmp_path):
    code, out, err = sfm_stream(
        "paper", "signals", "--quick", "--seeds", "0", "--out", "found", "--json"
    )
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert list(found["variants"]) == ["signals", "disturbed"]
    for part in found["variants"].values():
        assert list(part["models"]) == list(CELLS)
    kept = {path.name for path in (tmp_path / "found").iterdir()}
    assert kept == {
        "trials",
        *(f"signals.{end}" for end in ("json", "md", "png", "svg")),
    }
    assert (tmp_path / "found/signals.md").read_text().startswith(found["text"])
    for name in found["variants"]:
        made = [*(tmp_path / "found/trials" / name).glob("*.json")]
        assert len(made) == len(CELLS)


@pytest.mark.parametrize("seeds", [",", "a", "-1"])
def test_seeds_that_are_none_are_refused(sfm_stream, seeds):
    code, _, err = sfm_stream("paper", "signals", "--quick", "--seeds", seeds)
    assert code == 1
    assert "--seeds: expected numbers from 0" in err
