"""Dropout is the same for every model, and for training alone."""

from __future__ import annotations

import pytest
import torch

from sfm_stream.cell.baselines.catalogue import CELLS, model
from sfm_stream.paper.data.sequences import Batch
from sfm_stream.paper.training.dropouts import Dropouts
from sfm_stream.paper.training.objectives import answer

SOME = Dropouts(inputs=0.25, said=0.5)


def batch(ticks=6, streams=3, inputs=26):
    x = torch.ones(ticks, streams, inputs)
    mask = torch.ones(ticks, streams, dtype=torch.bool)
    return Batch(x, torch.zeros(ticks, streams), mask, None)


@pytest.mark.parametrize("name", CELLS)
def test_a_model_that_is_not_trained_loses_nothing(name):
    plain = model(name, "phonemes", seed=3).eval()
    made = SOME.born(name, "phonemes", {}, 3).eval()
    expected = answer(plain, batch()).outputs
    assert torch.equal(SOME.ask(made, batch()).outputs, expected)


def test_inputs_are_dropped_at_their_rate_and_the_rest_is_raised():
    torch.manual_seed(0)
    made = SOME.born("sfm", "phonemes", {}, 0).train()
    read = SOME.read(made, batch(ticks=200)).x
    assert read.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (read == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)


def test_what_the_layer_says_is_dropped_before_the_head():
    made = SOME.born("gru", "phonemes", {}, 0).train()
    heard = []
    made.head[-1].register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    SOME.ask(made, batch())
    assert (heard[0] == 0).double().mean().item() == pytest.approx(0.5, abs=0.03)


def test_options_reach_the_cell():
    made = SOME.born("a-sfm", "music", {"longest_memory": 7.0}, 0)
    assert made.layer.cell.sizes.longest_memory == 7.0
