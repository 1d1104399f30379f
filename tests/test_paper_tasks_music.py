"""The paper's second task, in its smallest form."""

from __future__ import annotations

import json
import math
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from sfm_stream.paper.analyses.variants import cell_of
from sfm_stream.paper.data import piano_rolls
from sfm_stream.paper.data.sequences import Sequences, side_by_side
from sfm_stream.paper.tasks import music
from sfm_stream.paper.training.loop import Schedule

TINY = music.Size(None, Schedule(1, 4, 1e-2, 1))


@pytest.fixture
def folder(tmp_path):
    """Give a folder with one set of three pieces."""
    rng = np.random.default_rng(0)
    held = np.empty((1, 3), object)
    for at, frames in enumerate((4, 3, 5)):
        held[0, at] = (rng.random((frames, piano_rolls.KEYS)) < 0.05).astype(np.uint8)
    (tmp_path / "data").mkdir()
    savemat(tmp_path / "data/JSB_Chorales.mat", dict.fromkeys(piano_rolls.LISTS, held))
    return tmp_path / "data"


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, tmp_path):
    """Give the program in an empty folder, with the quick size made tiny."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(music, "QUICK", TINY)
    return partial(sfm_stream, "paper", "music", "--quick")


def test_the_command_tries_every_model_of_the_slides(sfm_stream, folder, tmp_path):
    code, out, err = sfm_stream(
        "--data", str(folder), "--seeds", "0", "--out", "found", "--json"
    )
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert list(found["sets"]) == ["jsb"]
    models = found["sets"]["jsb"]["models"]
    assert list(models) == list(music.SLIDES)
    assert found["sets"]["jsb"]["pieces"] == {"train": 3, "valid": 3, "test": 3}
    assert all(0 < m["scores"]["nll"]["mean"] < 100 for m in models.values())
    kept = {path.name for path in (tmp_path / "found").iterdir()}
    assert kept == {"trials", *(f"music.{end}" for end in ("json", "md", "png", "svg"))}
    rows = [line for line in found["text"].splitlines() if "estimated" in line]
    assert [row.split()[1] for row in rows] == ["rnn-rbm"]


def test_a_model_that_was_not_tried_keeps_its_row(sfm_stream, folder):
    code, _, err = sfm_stream("--data", str(folder), "--models", "gru", "--seeds", "0")
    assert code == 0, err
    rows = [line for line in err.splitlines() if line.startswith("| ")][2:]
    assert [row.split()[1] for row in rows] == list(music.SLIDES)
    assert sum("| not run |" in row for row in rows) == len(music.SLIDES) - 1


def test_a_folder_without_a_set_ends_with_a_hint(sfm_stream, tmp_path):
    code, _, err = sfm_stream("--data", str(tmp_path))
    assert code == 1
    assert "name their folder with --data" in err


def test_a_set_is_learned_as_was_found_best_for_it(folder):
    source = folder.rename(folder.with_name("source")) / "JSB_Chorales.mat"
    folder.mkdir()
    for name, found in music.SEARCHED.items():
        shutil.copy(source, folder / piano_rolls.FILES[name])
        task = music.experiment(name, folder, music.FULL)
        assert task.schedule == found.schedule
        for model in ("sfm", "a-lstm"):
            rate = found.rates.get(model, found.schedule.lr)
            assert task.schedule_of(model).lr == rate
        net = task.contenders["a-sfm"].build(0)
        assert cell_of(net).sizes.longest_memory == found.longest_memory
        assert net.head[0].p == found.dropouts.said
        assert task.data["dropouts"] == found.dropouts._asdict()


def test_the_highway_network_learns_more_slowly_on_long_pieces():
    assert music.PIECES.rates["rhn"] < music.PIECES.schedule.lr


def scored(logits, frames):
    """Score logits [T, 88] on frames [T, 88] as one piece, beside a shorter one."""
    short = torch.zeros(1, piano_rolls.KEYS)
    batch = side_by_side(Sequences([frames, short], [frames, short]), [0, 1])
    outputs = torch.stack([logits, torch.zeros_like(logits)], 1)
    return music._scores(outputs, batch)


def test_scores_are_those_of_their_formulas():
    rng = np.random.default_rng(1)
    logits = torch.tensor(rng.standard_normal((3, piano_rolls.KEYS)))
    frames = torch.tensor(rng.random((3, piano_rolls.KEYS)) < 0.1).double()
    p = 1 / (1 + np.exp(-logits.numpy()))
    on = frames.numpy() == 1
    nll = -np.where(on, np.log(p), np.log(1 - p)).sum(-1)
    shares = np.exp(logits.numpy())
    softmax = (np.log(shares / shares.sum(-1, keepdims=True)) * on).sum(-1).mean()
    found = scored(logits, frames)
    silent = piano_rolls.KEYS * math.log(2.0)
    assert sorted(found["nll"].tolist()) == pytest.approx(sorted([*nll, silent]))
    assert found["piece"].tolist() == pytest.approx([nll.mean(), silent])
    assert found["softmax"].tolist() == pytest.approx([softmax, 0.0])


@given(
    st.lists(st.lists(st.integers(0, 87), max_size=6), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_no_model_scores_above_the_bound(keys, seed):
    frames = torch.zeros(len(keys), piano_rolls.KEYS).double()
    for frame, sounding in zip(frames, keys, strict=True):
        frame[sounding] = 1.0
    part = Sequences([frames], [frames])
    drawn = torch.tensor(np.random.default_rng(seed).standard_normal(frames.shape))
    knowing = 1e3 * frames
    assert scored(drawn, frames)["softmax"][0] <= music.bound(part) + 1e-9
    assert scored(knowing, frames)["softmax"][0] == pytest.approx(music.bound(part))
