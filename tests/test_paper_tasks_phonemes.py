"""The paper's third task, in its smallest form."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from sfm_stream.cell.baselines.catalogue import CELLS
from sfm_stream.paper.data import speech
from sfm_stream.paper.data.sequences import Sequences, side_by_side
from sfm_stream.paper.tasks import phonemes
from sfm_stream.paper.training.loop import Schedule

TINY = phonemes.Size(2, Schedule(1, 4, 1e-2, 1))


@pytest.fixture
def folder(tmp_path):
    """Give a sample of five speakers with a sentence each, two phones long."""
    rng = np.random.default_rng(0)
    for speaker in ("dr1-fa", "dr1-fb", "dr1-fc", "dr2-faem0", "dr5-mbgt0"):
        place = tmp_path / "data" / speaker
        place.mkdir(parents=True)
        soundfile.write(place / "si1.wav", 0.1 * rng.standard_normal(2000), 16_000)
        (place / "si1.phn").write_text("0 900 h#\n900 2000 iy\n")
    return tmp_path / "data"


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, tmp_path):
    """Give the program in an empty folder, with the quick size made tiny."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(phonemes, "QUICK", TINY)
    return partial(sfm_stream, "paper", "phonemes", "--quick")


def test_the_command_tries_every_model_of_the_slides(sfm_stream, folder, tmp_path):
    code, out, err = sfm_stream(
        "--data", str(folder), "--seeds", "0", "--out", "found", "--json"
    )
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert list(found["models"]) == list(CELLS)
    assert found["frames"] == {"train": 11, "valid": 22, "test": 22}
    for model in found["models"].values():
        scores = model["scores"]
        assert scores["accuracy"]["mean"] == pytest.approx(1 - scores["error"]["mean"])
    kept = {path.name for path in (tmp_path / "found").iterdir()}
    ends = ("json", "md", "png", "svg")
    assert kept == {"trials", *(f"phonemes.{end}" for end in ends)}


def test_a_model_that_was_not_tried_keeps_its_row(sfm_stream, folder):
    code, _, err = sfm_stream("--data", str(folder), "--models", "gru", "--seeds", "0")
    assert code == 0, err
    rows = [line for line in err.splitlines() if line.startswith("| ")][2:]
    assert [row.split()[1] for row in rows] == list(CELLS)
    assert sum("| not run |" in row for row in rows) == len(CELLS) - 1


def test_every_feature_is_scaled_by_the_training_split(folder):
    splits = phonemes.experiment(folder, TINY).splits
    x = torch.cat(list(splits.train.x))
    torch.testing.assert_close(
        x.mean(0), torch.zeros(speech.FEATURES), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(x.std(0), torch.ones(speech.FEATURES))
    raw = speech.load(folder)
    heard = torch.cat(list(raw.train.x))
    expected = (raw.test.x[0] - heard.mean(0)) / heard.std(0)
    torch.testing.assert_close(splits.test.x[0], expected)


def test_frames_that_are_not_there_do_not_count():
    y = [torch.tensor([3, 4, 5]), torch.tensor([6])]
    x = [torch.zeros(len(one), speech.FEATURES) for one in y]
    batch = side_by_side(Sequences(x, y), [0, 1])
    outputs = torch.zeros(3, 2, len(speech.PHONES))
    for t, b, said in ((0, 0, 3), (1, 0, 4), (2, 0, 9), (0, 1, 6), (1, 1, 0)):
        outputs[t, b, said] = 20.0
    found = phonemes._scores(outputs, batch)
    assert sorted(found["accuracy"].tolist()) == [0.0, 1.0, 1.0, 1.0]
    assert sorted(found["loss"].tolist()) == pytest.approx([0, 0, 0, 20], abs=1e-6)
    assert phonemes._loss(outputs, batch).tolist() == found["loss"].tolist()
