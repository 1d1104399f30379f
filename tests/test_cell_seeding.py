"""Weights drawn from a seed."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sfm_stream.cell.seeding import drawn, generator, uniform


def test_a_generator_goes_on_where_it_stood():
    rng = np.random.default_rng(3)
    first, second = generator(rng).random(), generator(rng).random()
    assert [first, second] == np.random.default_rng(3).random(2).tolist()


def test_weights_fill_the_bounds_of_the_width():
    draw = uniform(16, generator(0), torch.float64, None)
    weights = draw(100, 100)
    assert weights.dtype == torch.float64
    assert 0.2499 < weights.max() <= 0.25
    assert -0.2499 > weights.min() >= -0.25


def test_a_module_of_torchs_is_drawn_whole_without_its_generator():
    untouched = torch.get_rng_state()
    module = drawn(nn.LSTM, 2, 3, draw=uniform(9, generator(0), torch.float64, None))
    assert torch.equal(untouched, torch.get_rng_state())
    values = torch.cat([p.flatten() for p in module.parameters()])
    assert values.dtype == torch.float64
    assert values.unique().numel() == values.numel()
    assert values.abs().max() <= 1 / 3
