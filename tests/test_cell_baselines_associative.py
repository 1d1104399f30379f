"""The associative LSTM against its definition, and its memory as a memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import AssociativeCell, AssociativeState, Layer
from sfm_stream.cell.baselines.associative import bound
from sfm_stream.errors import ConfigError


def make(**changes):
    options = {"copies": 4, "dtype": torch.float64, "seed": 1}
    return AssociativeCell(2, 6, **{**options, **changes})


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def pairs(halves):
    v = halves[:3] + 1j * halves[3:]
    return v / np.maximum(1, abs(v))


def test_memory_is_written_and_read_under_permuted_keys():
    cell, x = make(), 3 * noise(15, 2)
    w_x, w_h, b = (p.detach().numpy() for p in (cell.w_x, cell.w_h, cell.b))
    h, memory, every = np.zeros(6), np.zeros((4, 3), complex), []
    for tick in x:
        pre = tick @ w_x + h @ w_h + b
        f, i, o = (1 / (1 + np.exp(-part)) for part in np.split(pre[:9], 3))
        r_i, r_o, u = (pairs(part) for part in np.split(pre[9:], 3))
        read = np.zeros(3, complex)
        for copy, order in enumerate(cell.order.numpy()):
            memory[copy] = f * memory[copy] + r_i[order] * (i * u)
            read += r_o[order] * memory[copy] / 4
        read = o * read / np.maximum(1, abs(read))
        h = np.concatenate([read.real, read.imag])
        every.append(h)
    actual, state = Layer(cell)(torch.from_numpy(x))
    np.testing.assert_allclose(actual.detach(), every, atol=1e-14)
    real, imaginary = state.memory.detach().numpy()
    np.testing.assert_allclose(real + 1j * imaginary, memory, atol=1e-14)


def test_every_copy_permutes_the_units_in_its_own_way():
    order = AssociativeCell(2, 32, seed=1).order
    assert all(sorted(copy) == list(range(16)) for copy in order.tolist())
    assert len({tuple(copy) for copy in order.tolist()}) == 4


def test_output_stays_inside_the_unit_circle_whatever_is_remembered():
    cell = make()
    memory = torch.full((2, 4, 3), 1e6, dtype=torch.float64)
    z, _ = cell(
        torch.ones(2).double(), AssociativeState(torch.ones(6).double(), memory)
    )
    assert torch.complex(*z.chunk(2, -1)).abs().max() <= 1.0


def test_bound_keeps_the_angle_and_what_is_inside():
    v = torch.tensor([[3.0, 0.3, 0.0], [4.0, -0.4, 0.0]])
    expected = torch.tensor([[0.6, 0.3, 0.0], [0.8, -0.4, 0.0]])
    torch.testing.assert_close(bound(v), expected)


def test_an_odd_width_is_refused():
    with pytest.raises(ConfigError, match="expected an even number, was 5"):
        AssociativeCell(2, 5, seed=1)


def test_no_copy_at_all_is_refused():
    with pytest.raises(ConfigError, match="copies: expected at least 1, was 0"):
        make(copies=0)
