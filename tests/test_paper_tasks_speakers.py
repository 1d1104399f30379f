"""Phonemes with every speaker left out once, in the smallest form."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import soundfile

from sfm_stream.paper.tasks import phonemes, speakers
from sfm_stream.paper.training.loop import Schedule

TINY = phonemes.Size(2, Schedule(1, 4, 1e-2, 1))


@pytest.fixture
def folder(tmp_path):
    """Give a sample of six speakers with a sentence each, two phones long."""
    rng = np.random.default_rng(0)
    for at in range(6):
        place = tmp_path / f"data/dr1-f{at}"
        place.mkdir(parents=True)
        soundfile.write(place / "si1.wav", 0.1 * rng.standard_normal(2000), 16_000)
        (place / "si1.phn").write_text("0 900 h#\n900 2000 iy\n")
    return tmp_path / "data"


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, tmp_path, folder):
    """Give the program in an empty folder, with the quick size made tiny."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(phonemes, "QUICK", TINY)
    return partial(sfm_stream, "paper", "speakers", "--quick", "--data", str(folder))


def test_the_command_compares_models_on_every_fold(sfm_stream, tmp_path):
    code, out, err = sfm_stream("--models", "sfm,gru", "--out", "found", "--json")
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])["models"]
    assert list(found) == ["sfm", "gru"]
    assert found["sfm"]["ahead"] is None
    ours, theirs = (np.array(found[n]["accuracy"]["values"]) for n in ("sfm", "gru"))
    assert len(ours) == 3
    assert found["gru"]["ahead"]["mean"] == pytest.approx((ours - theirs).mean())
    trials = {path.name for path in (tmp_path / "found/trials").iterdir()}
    assert trials == {f"speakers-{fold}" for fold in (1, 2, 3)}
    text = (tmp_path / "found/speakers.md").read_text()
    assert text.startswith("3 folds, seeds: 1\n\n| model | parameters |")
    assert (tmp_path / "found/speakers.png").exists()


def test_without_sfm_nothing_is_compared(sfm_stream):
    code, out, err = sfm_stream("--models", "gru", "--json")
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert found["models"]["gru"]["ahead"] is None
    assert found["text"].splitlines()[-1].endswith("|  |  |  |")


def test_too_few_speakers_are_refused(sfm_stream, folder):
    for path in (folder / "dr1-f0").iterdir():
        path.unlink()
    code, _, err = sfm_stream("--models", "gru")
    assert code == 1
    assert "expected at least 6 speakers, were fewer" in err


def test_seeds_of_a_fold_are_one_figure():
    def fold(*values):
        return [{"model": "sfm", "test": {"accuracy": value}} for value in values]

    found = speakers._by_fold([fold(0.2, 0.4), fold(0.6, 0.6)], "sfm")
    assert found == pytest.approx([0.3, 0.6])


def test_the_interval_is_students_of_the_folds_differences():
    # differences .01, .02, .03: mean .02, standard error .01/√3, t(.975, 2) = 4.3027
    found = speakers.difference([0.41, 0.42, 0.43], [0.40, 0.40, 0.40])
    assert found["mean"] == pytest.approx(0.02)
    assert found["high"] - found["mean"] == pytest.approx(4.30265 * 0.01 / 3**0.5)
    assert found["mean"] - found["low"] == pytest.approx(4.30265 * 0.01 / 3**0.5)
    assert speakers.difference([0.5], [0.4])["low"] is None


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        ({"mean": 0.02, "low": 0.01, "high": 0.03}, "yes"),
        ({"mean": -0.02, "low": -0.03, "high": -0.01}, "yes"),
        ({"mean": 0.02, "low": -0.01, "high": 0.05}, "no"),
    ],
)
def test_models_are_told_apart_where_the_interval_leaves_zero_out(ahead, said):
    assert speakers._compared(ahead)[-1] == said
