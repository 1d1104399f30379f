"""RNN-NADE and RNN-RBM on batches of frames."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sfm_stream.cell.baselines.catalogue import TASKS
from sfm_stream.errors import ConfigError
from sfm_stream.paper.data.sequences import Sequences, side_by_side
from sfm_stream.paper.tasks import chords
from sfm_stream.paper.training.dropouts import Dropouts
from sfm_stream.paper.training.loop import Schedule, Splits, train

KEYS = 6
NONE = Dropouts(0.0, 0.0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, size in {"HIDDEN": 8, "NADE_UNITS": 5, "RBM_UNITS": 5}.items():
        monkeypatch.setattr(chords, name, size)


def pieces(count=4):
    """Give pieces in which the same two keys sound in turn with the same three."""
    roll = torch.zeros(9, KEYS)
    roll[::2, :2] = roll[1::2, 3:] = 1.0
    rolls = [roll[: 5 + at] for at in range(count)]
    return Sequences([r[:-1] for r in rolls], [r[1:] for r in rolls])


def batch():
    return side_by_side(pieces(), range(4))


def test_both_have_as_many_parameters_as_the_other_models(monkeypatch):
    monkeypatch.undo()
    for contender in chords.contenders(88, NONE).values():
        count = sum(p.numel() for p in contender.build(0).parameters())
        assert count == pytest.approx(TASKS["music"].parameters, rel=0.01)


@pytest.mark.parametrize("name", ["rnn-nade", "rnn-rbm"])
def test_what_always_follows_is_learned(name):
    contender = chords.contenders(KEYS, NONE)[name]
    splits = Splits(pieces(), pieces(), pieces())
    found = train(contender, splits, Schedule(25, 2, 0.05, 25), seed=0)
    assert found.history[0].valid > 2.0
    assert found.history[-1].valid < 0.7


def test_the_likelihood_of_nade_is_that_of_its_frames_one_by_one():
    contender = chords.contenders(KEYS, NONE)["rnn-nade"]
    model = contender.build(1).eval()
    expected = []
    for x, y in zip(*pieces()[:2], strict=True):
        z, _ = model.layer(x[:, None])
        expected.append(-model.output.log_likelihood(y, z[:, 0]))
    said = contender.objective.scores(model, batch())
    by_frame = nn.utils.rnn.pad_sequence(expected)[batch().mask]
    torch.testing.assert_close(said["nll"], by_frame)
    torch.testing.assert_close(said["piece"], torch.stack([e.mean() for e in expected]))


def test_how_many_frames_nade_holds_at_a_time_changes_nothing(monkeypatch):
    contender = chords.contenders(KEYS, NONE)["rnn-nade"]
    said = []
    for held in (1024, 3):
        monkeypatch.setattr(chords, "FRAMES", held)
        model = contender.build(1)
        loss = contender.objective.loss(model, batch())
        loss.sum().backward()
        said.append(
            (loss, model.output.w_in.grad, model.layer.cell.layer.weight_hh_l0.grad)
        )
    for one, other in zip(*said, strict=True):
        torch.testing.assert_close(one, other)


def test_the_estimate_of_the_rbm_is_the_same_whenever_it_is_made():
    contender = chords.contenders(KEYS, NONE)["rnn-rbm"]
    model = contender.build(1).eval()
    first, second = (
        contender.objective.scores(model, batch())["nll"] for _ in range(2)
    )
    assert torch.equal(first, second)


def test_a_frame_in_four_decides_when_the_rbm_stops(monkeypatch):
    # so many chains estimate so small a machine all but exactly
    monkeypatch.setattr(chords, "CHAINS", 200)
    contender = chords.contenders(KEYS, NONE)["rnn-rbm"]
    model = contender.build(1).eval()
    all_frames = contender.objective.scores(model, batch())["nll"]
    few = contender.objective.watched(model, batch())
    torch.testing.assert_close(few, all_frames[::4], atol=0.02, rtol=0.0)


def test_how_many_frames_the_rbm_holds_at_a_time_draws_others(monkeypatch):
    monkeypatch.setattr(chords, "CHAINS", 200)
    contender = chords.contenders(KEYS, NONE)["rnn-rbm"]
    model = contender.build(1).eval()
    whole = contender.objective.scores(model, batch())["nll"]
    monkeypatch.setattr(chords, "FRAMES", 3)
    parts = contender.objective.scores(model, batch())["nll"]
    assert not torch.equal(parts, whole)
    torch.testing.assert_close(parts, whole, atol=0.02, rtol=0.0)


def test_the_chains_of_training_follow_the_seed_and_go_on():
    contender = chords.contenders(KEYS, NONE)["rnn-rbm"]
    model = contender.build(1)
    losses = []
    for _ in range(2):
        torch.manual_seed(5)
        losses += [contender.objective.loss(model, batch()) for _ in range(2)]
    assert torch.equal(losses[0], losses[2])
    assert torch.equal(losses[1], losses[3])
    assert not torch.equal(losses[0], losses[1])


def test_a_model_of_another_make_is_refused():
    contender = chords.contenders(KEYS, NONE)["rnn-nade"]
    with pytest.raises(ConfigError, match="a layer and its output, was Linear"):
        contender.objective.loss(nn.Linear(1, 1), batch())
