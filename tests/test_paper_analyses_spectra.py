"""What SFM and A-SFM hold, in the smallest form of the command."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from sfm_stream import cli
from sfm_stream.paper.tasks import signals
from sfm_stream.paper.training.loop import Schedule

TINY = signals.Size(8, 4, 4, 12, Schedule(1, 4, 1e-2, 1))


@pytest.fixture
def found(monkeypatch, capsys, tmp_path):
    """The JSON of a run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "QUICK", TINY)
    words = ["paper", "spectra", "--quick", "--seed", "1", "--out", "found", "--json"]
    monkeypatch.setattr(sys, "argv", ["sfm-stream", *words])
    with pytest.raises(SystemExit) as exited:
        cli.main()
    said = capsys.readouterr()
    assert exited.value.code == 0, said.err
    return json.loads(said.out.splitlines()[-1])


def test_the_command_checks_the_expansion_and_draws_it(found, tmp_path):
    assert (found["task"], found["seed"]) == ("signals", 1)
    assert list(found["models"]) == ["sfm", "a-sfm"]
    for figures in found["models"].values():
        assert figures["expansion_error"] < 1e-10
        assert 1 <= figures["window"][0] <= figures["window"][1] <= figures["window"][2]
        assert figures["window"][2] <= 12
        assert list(figures["amplitude"]) == ["3", "6", "9", "12"]
        assert np.shape(figures["amplitude"]["12"]) == (4, 50)
    moved = {name: np.ptp(np.array(m["omega"])[:, 1:], axis=1).max()
             for name, m in found["models"].items()}  # fmt: skip
    assert moved["sfm"] == 0.0
    assert moved["a-sfm"] > 0.0
    pictures = {p.stem for p in (tmp_path / "found").glob("*.png")}
    parts = ("amplitudes", "frequencies", "transform", "windows")
    assert pictures == {f"spectra-signals-{part}" for part in parts}
    assert (tmp_path / "found/spectra-signals.md").exists()
