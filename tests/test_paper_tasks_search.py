"""Every model is searched on one grid, in its smallest form."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from scipy.io import savemat

from sfm_stream.paper.data import piano_rolls
from sfm_stream.paper.tasks import music, search
from sfm_stream.paper.training.loop import Schedule

TINY = music.Size(None, Schedule(1, 4, 0.0, 1))


@pytest.fixture
def folder(tmp_path):
    """Give a folder with one set of two pieces."""
    rng = np.random.default_rng(0)
    held = np.empty((1, 2), object)
    for at, frames in enumerate((4, 3)):
        held[0, at] = (rng.random((frames, piano_rolls.KEYS)) < 0.05).astype(np.uint8)
    savemat(tmp_path / "JSB_Chorales.mat", dict.fromkeys(piano_rolls.LISTS, held))
    return tmp_path


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, folder):
    """Give the command in an empty folder, with the quick size made tiny."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(search, "QUICK", TINY)
    words = ("paper", "search", "--quick", "--data", str(folder), "--out", "found")
    return partial(sfm_stream, *words)


def test_every_setting_is_tried_and_validation_chooses(sfm_stream, folder):
    code, out, err = sfm_stream("--models", "gru,rnn-nade", "--json")
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert found["grid"] == [one.label for one in search.GRID]
    for model in found["sets"]["jsb"].values():
        assert len(model["valid"]) == len(model["test"]) == len(search.GRID)
        assert model["valid"][model["best"]] == min(model["valid"])
    trials = {path.name for path in (folder / "found/trials").iterdir()}
    assert trials == {f"music-jsb-search-{one.label}" for one in search.GRID}
    rows = (folder / "found/search.md").read_text().splitlines()
    assert rows[2].startswith("| model | rate | inputs dropped |")
    assert [row.split()[1] for row in rows[4:6]] == ["gru", "rnn-nade"]


@pytest.mark.parametrize("setting", search.GRID)
def test_no_model_has_a_rate_of_its_own(setting, folder):
    made = search.experiment("jsb", folder, search.FULL, setting)
    for name in music.SLIDES:
        assert made.schedule_of(name).lr == setting.rate
    assert made.schedule.epochs == search.FULL.schedule.epochs
    assert made.data["dropouts"] == setting.dropouts._asdict()


def test_the_best_setting_is_chosen_without_the_test_split():
    def result(valid, test):
        return [{"model": "sfm", "valid": {"nll": valid}, "test": {"nll": test}}]

    found = search._folded([result(9.0, 8.0), result(8.5, 8.7), result(8.6, 7.0)])
    assert found["sfm"]["best"] == 1
