"""What models of the slides' table answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sfm_stream.cell.baselines.catalogue import model
from sfm_stream.errors import ConfigError
from sfm_stream.paper.data.sequences import Batch
from sfm_stream.paper.training.objectives import PONDER, answer, at_last, objective

torch.set_num_threads(1)


@pytest.fixture
def batch():
    x = torch.linspace(-1, 1, 24).reshape(6, 2, 2)
    mask = torch.ones(6, 2, dtype=torch.bool)
    mask[4:, 1] = False
    return Batch(x, torch.zeros(2), mask, torch.rand(6, 2) + 0.5)


@pytest.mark.parametrize("name", ["gru", "sfm", "a-sfm"])
def test_a_model_that_counts_ticks_sees_no_time(name, batch):
    net = model(name, "signals", seed=0)
    said = answer(net, batch)
    assert torch.equal(said.outputs, net(batch.x)[0])
    assert said.cost == 0.0


def test_the_phased_lstm_sees_the_time_that_passes(batch):
    net = model("p-lstm", "signals", seed=0)
    said = answer(net, batch)
    assert torch.equal(said.outputs, net(batch.x, elapsed=batch.elapsed)[0])
    assert not torch.equal(said.outputs, net(batch.x)[0])


def test_the_act_rnn_says_what_its_steps_cost(batch):
    net = model("act-rnn", "signals", seed=0)
    said = answer(net, batch)
    torch.testing.assert_close(said.outputs, net(batch.x)[0])
    # at least one step per tick, at most ten and a rest
    assert 1 <= said.cost.item() / PONDER <= 11
    said.cost.backward()
    assert net.layer.cell.b_halt.grad.abs() > 0
    only = Batch(batch.x[:4], batch.y, batch.mask[:4], None)
    unpadded = answer(net, only).cost + 0 * said.cost
    assert said.cost != unpadded


def test_padding_costs_nothing(batch):
    net = model("act-rnn", "signals", seed=0)
    padded = batch.x.clone()
    padded[4:, 1] = 99.0
    torch.testing.assert_close(
        answer(net, batch).cost, answer(net, batch._replace(x=padded)).cost
    )


def test_the_last_tick_is_each_sequence_s_own(batch):
    outputs = torch.arange(12.0).reshape(6, 2, 1)
    assert at_last(outputs, batch)[:, 0].tolist() == [10.0, 7.0]


def test_an_objective_adds_the_cost_to_what_is_learned_alone(batch):
    net = model("act-rnn", "signals", seed=0)

    def loss(outputs, part):
        return at_last(outputs, part)[:, 0]

    made = objective(loss, lambda o, b: {"last": loss(o, b)}, "last")
    cost = answer(net, batch).cost
    learned = made.loss(net, batch)
    torch.testing.assert_close(learned - cost, made.scores(net, batch)["last"])
    assert torch.equal(made.watched(net, batch), made.scores(net, batch)["last"])


def test_a_model_of_another_make_is_refused(batch):
    with pytest.raises(ConfigError, match="a layer and its head, was Linear"):
        answer(nn.Linear(2, 1), batch)
