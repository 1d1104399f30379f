"""The phased LSTM against its definition with the time since the start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import Layer, PhasedLSTMCell
from sfm_stream.cell.baselines.phased import openness
from sfm_stream.errors import ConfigError


def make(**changes):
    options = {"open_ratio": 0.4, "dtype": torch.float64, "seed": 1}
    return PhasedLSTMCell(2, 3, **{**options, **changes})


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def literal(cell, x, times, leak):
    """Compute every phase from the time since the start."""
    named = {name: p.detach().numpy() for name, p in cell.named_parameters()}
    period, (p_i, p_f, p_o) = np.exp(named["log_period"]), named["peepholes"]
    h, c, r, every = np.zeros(3), np.zeros(3), cell.open_ratio, []
    for tick, time in zip(x, times, strict=True):
        phase = (time / period + named["shift"]) % 1
        k = np.select(
            [phase < r / 2, phase < r],
            [2 * phase / r, 2 - 2 * phase / r],
            leak * phase,
        )
        pre = tick @ named["w_x"] + h @ named["w_h"] + named["b"]
        i, f = sigmoid(pre[:3] + p_i * c), sigmoid(pre[3:6] + p_f * c)
        c_new = f * c + i * np.tanh(pre[6:9])
        h_new = sigmoid(pre[9:] + p_o * c_new) * np.tanh(c_new)
        c, h = k * c_new + (1 - k) * c, k * h_new + (1 - k) * h
        every.append(h)
    return np.array(every)


@pytest.mark.parametrize(("training", "leak"), [(True, 0.001), (False, 0.0)])
def test_accumulated_phase_equals_the_one_from_irregular_times(training, leak):
    cell, x = make().train(training), noise(60, 2)
    elapsed = np.random.default_rng(1).exponential(2.0, 60)
    expected = literal(cell, x, elapsed.cumsum(), leak)
    actual, _ = Layer(cell)(torch.from_numpy(x), elapsed=torch.from_numpy(elapsed))
    np.testing.assert_allclose(actual.detach(), expected, atol=1e-11)


def test_a_tick_without_a_duration_lasts_one():
    cell, x = make(), noise(60, 2)
    expected = literal(cell, x, np.arange(1, 61), 0.001)
    actual, _ = Layer(cell)(torch.from_numpy(x))
    np.testing.assert_allclose(actual.detach(), expected, atol=1e-11)


def test_after_a_million_ticks_the_phase_is_in_its_turn_and_right():
    cell = make(dtype=torch.float32)
    one, million = torch.ones(2), torch.tensor(1e6)
    _, state = cell(one, elapsed=million)
    for _ in range(100):
        _, state = cell(one, state)
        assert ((state.turned >= 0) & (state.turned < 1)).all()
    period = cell.log_period.double().exp()
    # float32 keeps 24 bits of the 1e6 / e turns that one gap took at once
    error = (state.turned - (1_000_100 / period) % 1 + 0.5) % 1 - 0.5
    assert error.abs().max() < 0.05


def test_a_closed_unit_keeps_its_state_to_the_bit():
    cell = make().eval()
    with torch.no_grad():
        cell.shift.fill_(0.5)
        cell.log_period.fill_(50.0)
    first = cell.initial_state()._replace(
        h=torch.tensor([0.1, 0.2, 0.3]).double(), c=torch.ones(3).double()
    )
    z, state = cell(torch.ones(2).double(), first)
    assert torch.equal(z, first.h)
    assert torch.equal(state.c, first.c)


def test_openness_rises_falls_and_leaks():
    phase = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.5, 1.0])
    expected = torch.tensor([0.0, 0.5, 1.0, 0.5, 0.05, 0.1])
    torch.testing.assert_close(openness(phase, 0.4, 0.1), expected)


def test_periods_at_birth_lie_between_shortest_and_longest():
    cell = PhasedLSTMCell(1, 500, periods=(4.0, 400.0), seed=1)
    period = cell.log_period.exp()
    assert 4.0 <= period.min() < 5.0
    assert 320.0 < period.max() <= 400.0
    assert cell.shift.min() >= 0.0
    assert 0.95 < cell.shift.max() < 1.0


def test_period_and_shift_are_learned():
    cell = make()
    z, _ = Layer(cell)(torch.from_numpy(noise(30, 2)))
    z.square().sum().backward()
    assert (cell.log_period.grad != 0).all()
    assert (cell.shift.grad != 0).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"open_ratio": 0.0}, "open_ratio: expected more than 0 and at most 1, was 0"),
        (
            {"open_ratio": 1.1},
            "open_ratio: expected more than 0 and at most 1, was 1.1",
        ),
        ({"periods": (0.0, 4.0)}, "periods: expected two positive and ascending"),
        ({"periods": (5.0, 4.0)}, "periods: expected two positive and ascending"),
    ],
)
def test_a_rhythm_that_cannot_be_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        make(**changes)
