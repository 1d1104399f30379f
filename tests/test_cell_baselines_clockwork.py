"""The clockwork RNN against its definition, module by module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import CWRNNCell, Layer
from sfm_stream.errors import ConfigError

PERIODS = (1, 2, 6)


def make(**changes):
    options = {"periods": PERIODS, "dtype": torch.float64, "seed": 1}
    return CWRNNCell(2, 6, **{**options, **changes})


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


def literal(cell, x):
    """Step the modules one by one, with the tick's own number."""
    w_x, w_h, b = (p.detach().numpy() for p in (cell.w_x, cell.w_h, cell.b))
    modules = [slice(2 * i, 2 * i + 2) for i in range(len(PERIODS))]
    h, every = np.zeros(6), []
    for t, tick in enumerate(x.numpy()):
        after = h.copy()
        for mine, period in zip(modules, PERIODS, strict=True):
            if t % period == 0:
                heard = tick @ w_x[:, mine] + b[mine]
                for other, theirs in zip(modules, PERIODS, strict=True):
                    if theirs >= period:
                        heard += h[other] @ w_h[other, mine]
                after[mine] = np.tanh(heard)
        h = after
        every.append(h)
    return np.array(every)


def test_modules_step_at_their_periods_and_hear_the_slower_ones():
    cell, x = make(), noise(40, 2)
    every, _ = Layer(cell)(x)
    np.testing.assert_allclose(every.detach(), literal(cell, x), atol=1e-14)


def test_counter_stays_below_the_common_multiple_of_the_periods():
    cell, x = make(periods=(4, 6)), noise(30, 2)
    state, seen = None, []
    for tick in x:
        _, state = cell(tick, state)
        seen.append(state.tick.item())
    assert seen == [(t + 1) % 12 for t in range(30)]


def test_a_million_ticks_later_the_clock_strikes_as_ever():
    cell, x = make(), noise(12, 2)
    far = cell.initial_state()
    far = far._replace(tick=torch.tensor(1_000_000 % cell.cycle))
    every, state = Layer(cell)(x, far)
    assert state.tick.dtype == torch.int64
    assert 0 <= state.tick < cell.cycle
    # tick 1,000,000 is even and no multiple of 6: the third module waits until +2
    moved = (every.diff(dim=0) != 0).reshape(11, 3, 2).all(-1)
    assert moved[:, 1].tolist() == [(t + 1) % 2 == 0 for t in range(11)]
    assert moved[:, 2].tolist() == [(1_000_001 + t) % 6 == 0 for t in range(11)]


def test_each_stream_has_a_clock_of_its_own():
    cell, x = make(), noise(2, 2)
    state = cell.initial_state((2,))._replace(tick=torch.tensor([0, 1]))
    _, state = cell(x, state)
    assert state.tick.tolist() == [1, 2]
    assert (state.h[0] != 0).all()
    assert (state.h[1] != 0).tolist() == [True, True, False, False, False, False]


def test_modules_of_unequal_width_are_refused():
    with pytest.raises(ConfigError, match="expected a multiple of 3, was 7"):
        CWRNNCell(2, 7, periods=PERIODS, seed=1)


@pytest.mark.parametrize(
    ("periods", "said"), [((), "modules: expected"), ((1, 0), "period: expected")]
)
def test_periods_that_cannot_be_are_refused(periods, said):
    with pytest.raises(ConfigError, match=f"{said} at least 1, was 0"):
        make(periods=periods)
