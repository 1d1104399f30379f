"""The SFM of the stock-price paper against its equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import Layer
from sfm_stream.cell.baselines.stock import StockSFMCell, hard_sigmoid
from sfm_stream.errors import ConfigError, ShapeError

D, K = 5, 3


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def hs(x):
    return np.clip(0.2 * x + 0.5, 0.0, 1.0)


def born(**options):
    return StockSFMCell(2, 4, states=D, frequencies=K, seed=1, **options)


def in_absolute_time(cell, x):
    """Give p of every tick as the paper has it, time counted from 1."""
    w_x, w_h, b, mix, b_a, w_p, b_p = (p.detach().numpy() for p in cell.parameters())
    omega = 2 * np.pi * np.arange(1, K + 1) / K
    memory, h, every = np.zeros((D, K), complex), np.zeros(D), []
    for t, tick in enumerate(x, 1):
        pre = tick @ w_x + h @ w_h + b
        i, ste = hs(pre[:D]), hs(pre[D : 2 * D])
        fre, o = hs(pre[2 * D : 2 * D + K]), hs(pre[2 * D + K : 3 * D + K])
        c = i * np.tanh(pre[3 * D + K :])
        memory = np.outer(ste, fre) * memory + np.outer(c, np.exp(1j * omega * t))
        h = o * np.tanh(np.abs(memory) ** 2 @ mix + b_a)
        every.append(h @ w_p + b_p)
    return np.array(every)


def test_every_tick_is_the_papers_in_absolute_time():
    cell, x = born(dtype=torch.float64), 3.0 * noise(40, 2)
    with torch.no_grad():
        # small weights would leave the ends of the hard sigmoid untried
        for p in cell.parameters():
            p.mul_(3.0)
    actual, _ = Layer(cell)(torch.from_numpy(x))
    np.testing.assert_allclose(actual.detach(), in_absolute_time(cell, x), atol=1e-12)


def test_a_tone_is_strongest_in_its_own_frequency():
    cell = StockSFMCell(1, 1, states=1, frequencies=8, seed=1)
    with torch.no_grad():
        for p in (cell.w_x, cell.w_h):
            p.zero_()
        cell.w_x[0, -1] = 1.0  # c alone reads the input
        cell.b[1:10] = 2.4  # both forget gates at .98
    ticks = torch.arange(200.0)
    _, state = Layer(cell)(torch.cos(2 * torch.pi * 3 / 8 * ticks)[:, None])
    amplitude = torch.hypot(state.re, state.im)[:, 0]
    assert amplitude.argmax().item() in (2, 4)  # k = 3, and its conjugate
    assert state.im.abs().max() > 0.1


def test_at_birth_it_forgets_in_two_ticks():
    forget = hard_sigmoid(born().b[D : 2 * D + K])
    assert forget.tolist() == pytest.approx([0.7] * (D + K))


def test_the_hard_sigmoid_has_the_slope_of_the_released_code():
    x = torch.tensor([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 3.0])
    expected = [0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0]
    assert hard_sigmoid(x).tolist() == pytest.approx(expected)


def test_every_parameter_learns_from_a_sequence():
    cell = born(dtype=torch.float64)
    said, _ = Layer(cell)(torch.from_numpy(noise(9, 3, 2)))
    said.square().mean().backward()
    for name, p in cell.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().max() > 0, name


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="frequencies: expected at least 1, was 0"):
        StockSFMCell(2, 4, states=5, frequencies=0)
    with pytest.raises(ShapeError, match="was \\[3\\]"):
        born()(torch.zeros(3))
