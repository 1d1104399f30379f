"""The recurrent highway network against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import Layer, RHNCell
from sfm_stream.errors import ConfigError


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_layers_follow_each_other_and_the_first_alone_reads_the_input():
    cell, x = RHNCell(2, 3, depth=4, dtype=torch.float64, seed=1), noise(15, 2)
    w_x, w_s, b = (p.detach().numpy() for p in (cell.w_x, cell.w_s, cell.b))
    s, every = np.zeros(3), []
    for tick in x:
        for level in range(4):
            pre = s @ w_s[level] + b[level] + (tick @ w_x if level == 0 else 0)
            h, t, c = pre[:3], pre[3:6], pre[6:]
            s = np.tanh(h) * sigmoid(t) + s * (1 - 2**-12) * sigmoid(c)
        every.append(s)
    actual, _ = Layer(cell)(torch.from_numpy(x))
    np.testing.assert_allclose(actual.detach(), every, atol=1e-14)


def test_state_stays_bounded_with_every_gate_open():
    cell = RHNCell(1, 3, seed=1)
    with torch.no_grad():
        cell.w_s.zero_()
        cell.b.fill_(100.0)
        # where f + t = 1 would go on growing, this is where it must stand still
        full = torch.full((3,), 4096.0)
        z, _ = cell(torch.zeros(1), type(cell.initial_state())(full))
    torch.testing.assert_close(z, full)


def test_at_birth_most_of_the_state_is_carried():
    cell = RHNCell(1, 8, seed=1)
    carry = torch.sigmoid(cell.b.reshape(4, 3, 8)[:, 2])
    transform = torch.sigmoid(cell.b.reshape(4, 3, 8)[:, 1])
    assert carry.min() > 0.8
    assert transform.max() < 0.2


def test_no_layer_at_all_is_refused():
    with pytest.raises(ConfigError, match="depth: expected at least 1, was 0"):
        RHNCell(2, 3, depth=0, seed=1)
