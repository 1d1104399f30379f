"""The one training loop: what it learns, when it stops, what it keeps."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from sfm_stream.paper.data.sequences import Sequences
from sfm_stream.paper.training.loop import (
    Contender,
    Objective,
    Schedule,
    Splits,
    evaluate,
    train,
)

SCHEDULE = Schedule(epochs=40, batch=4, lr=0.05, patience=40)


def line(count, slope=2.0):
    """Give sequences of one tick whose answer is a line of the input."""
    x = torch.linspace(-1, 1, count).reshape(count, 1, 1)
    return Sequences(list(x), list(slope * x[:, 0, 0] + 1.0))


def splits(valid_slope=2.0):
    return Splits(line(16), line(8, valid_slope), line(8))


def error(model, batch):
    return (model(batch.x)[0, :, 0] - batch.y).square()


OBJECTIVE = Objective(error, lambda m, b: {"mse": error(m, b)}, error)


def linear(seed):
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, float(seed))
    nn.init.ones_(net.bias)
    return net


LINE = Contender(linear, OBJECTIVE)


def noted():
    """Give a contender, and its weight before each update and at each judgement."""
    before, judged = [], []

    def loss(model, batch):
        before.append(model.weight.item())
        return error(model, batch)

    def watched(model, batch):
        judged.append(model.weight.item())
        return error(model, batch)

    objective = Objective(loss, OBJECTIVE.scores, watched)
    return Contender(linear, objective), before, judged


def test_a_line_is_learned():
    found = train(LINE, splits(), SCHEDULE, seed=0)
    assert evaluate(found.model, OBJECTIVE.scores, line(8), 4)["mse"] < 0.01
    assert not found.model.training
    assert found.skipped == 0
    assert len(found.history) == 40
    assert found.history[-1].loss < 0.01 < found.history[0].loss


def test_the_weights_kept_are_those_of_the_best_epoch():
    # what is learned is right for validation half way only
    found = train(LINE, splits(valid_slope=1.0), SCHEDULE, seed=0)
    assert 0 < found.best < len(found.history)
    lowest = min(epoch.valid for epoch in found.history)
    assert found.history[found.best - 1].valid == lowest
    valid = splits(valid_slope=1.0).valid
    again = evaluate(found.model, OBJECTIVE.scores, valid, 4)["mse"]
    assert again == pytest.approx(lowest)


@pytest.mark.parametrize("halvings", [0, 2])
def test_it_stops_when_every_halving_was_in_vain(halvings):
    # nothing learned helps here: the validation split wants the opposite
    schedule = SCHEDULE._replace(patience=1, halvings=halvings)
    found = train(LINE, splits(valid_slope=-9.0), schedule, seed=0)
    assert len(found.history) - found.best == 2 * (halvings + 1)


def test_halving_goes_on_from_the_best_weights_at_half_the_rate():
    contender, starts, ends = noted()
    # one update an epoch, and the first is already one too many
    schedule = SCHEDULE._replace(patience=0, halvings=2, batch=16)
    train(contender, splits(valid_slope=-9.0), schedule, seed=0)
    assert starts == [0.0, ends[0], ends[0], ends[0]]
    _, *steps = (b - a for a, b in zip(starts, ends, strict=True))
    assert steps == pytest.approx([0.05, 0.025, 0.0125], rel=0.05)


def test_the_rate_falls_along_half_a_cosine():
    contender, weights, _ = noted()
    far = Splits(line(16, 1e3), line(8, 1e3), line(8, 1e3))
    # one update an epoch, on a slope so steep that Adam takes whole steps
    schedule = SCHEDULE._replace(epochs=5, batch=16, last=0.2)
    train(contender, far, schedule, seed=0)
    steps = [b - a for a, b in itertools.pairwise(weights)]
    shares = [0.2 + 0.8 * (1 + math.cos(math.pi * k / 5)) / 2 for k in range(4)]
    assert steps == pytest.approx([0.05 * share for share in shares], rel=0.01)


def test_the_mean_of_the_weights_is_judged_and_kept():
    contender, steps, judged = noted()
    schedule = SCHEDULE._replace(epochs=4, batch=16, average=0.75)
    found = train(contender, splits(), schedule, seed=0)
    mean = steps[1]  # that of one update
    for step, at in zip(steps[2:], judged[1:], strict=False):
        mean = 0.75 * mean + 0.25 * step
        assert at == pytest.approx(mean)
    assert found.model.weight.item() == judged[found.best - 1]


def test_halving_begins_the_mean_anew_at_the_best_weights():
    contender, starts, judged = noted()
    schedule = SCHEDULE._replace(patience=0, halvings=2, batch=16, average=0.75)
    train(contender, splits(valid_slope=-9.0), schedule, seed=0)
    best, stepped = judged[0], judged[1:]
    assert starts[1:] == [best] * 3
    # Adam's step is the rate at first, and a quarter of it moves the mean
    moved = [at - best for at in stepped]
    assert moved == pytest.approx([0.25 * 0.05 / 2**k for k in range(3)], rel=0.05)


def test_weights_decay_by_the_rate():
    def still(model, batch):
        return 0.0 * error(model, batch)

    contender = Contender(linear, Objective(still, OBJECTIVE.scores, error))
    schedule = SCHEDULE._replace(epochs=1, batch=16, decay=0.5)
    found = train(contender, splits(), schedule, seed=1)
    moved = [found.model.weight.item(), found.model.bias.item()]
    assert moved == pytest.approx([1 - 0.05 * 0.5] * 2)


def test_a_seed_decides_everything_and_torch_is_left_alone():
    before = torch.get_rng_state()
    first, second = (train(LINE, splits(), SCHEDULE, seed=3) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert first.history == second.history
    assert train(LINE, splits(), SCHEDULE, seed=4).history != first.history


def test_a_gradient_that_is_not_finite_is_left_out_and_counted():
    def broken(model, batch):
        wrong = torch.where(batch.y > 2.9, torch.nan, 1.0)
        return error(model, batch) * wrong

    contender = Contender(linear, Objective(broken, OBJECTIVE.scores, error))
    found = train(contender, splits(), SCHEDULE, seed=0)
    assert found.skipped == SCHEDULE.epochs
    assert evaluate(found.model, OBJECTIVE.scores, line(8), 4)["mse"] < 0.05


def test_a_gradient_is_clipped():
    norms = []

    def watching(model, batch):
        if model.weight.grad is not None:
            gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
            norms.append(gradient.norm().item())
        return error(model, batch)

    contender = Contender(linear, Objective(watching, OBJECTIVE.scores, error))
    steep = Splits(line(16, 1e6), line(8, 1e6), line(8, 1e6))
    train(contender, steep, SCHEDULE._replace(epochs=2, clip=0.5), seed=0)
    assert norms == pytest.approx([0.5] * 7)


def test_scores_are_means_over_items_whatever_the_batches():
    model = linear(1)
    values = [
        evaluate(model, OBJECTIVE.scores, line(7), size)["mse"] for size in (1, 3, 7)
    ]
    assert values == pytest.approx([values[0]] * 3)


def test_progress_is_told_after_every_batch():
    told = []
    schedule = SCHEDULE._replace(epochs=2)
    train(LINE, splits(), schedule, seed=0, progress=lambda *a: told.append(a))
    assert told == [(done, 8) for done in range(1, 9)]
