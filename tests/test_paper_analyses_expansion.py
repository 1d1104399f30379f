"""The memory is the windowed Fourier transform of what it was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell.oracle import oracle_start, oracle_step
from sfm_stream.cell.sfm import SFMCell
from sfm_stream.paper.analyses import expansion

T = 40
CELLS = {
    "sfm": {"grid": "paper"},
    "a-sfm": {"grid": "paper", "adaptive": True},
    "log": {"grid": "log", "readout": "amplitude+phase"},
}


@pytest.fixture(params=CELLS)
def cell(request):
    made = SFMCell(2, 3, states=5, frequencies=4, seed=1, dtype=torch.float64,
                   **CELLS[request.param])  # fmt: skip
    with torch.no_grad():  # gates and frequencies that move with the input
        made.w_in += 0.3 * torch.randn(made.w_in.shape, generator=torch.manual_seed(0))
    return made


@pytest.fixture
def x():
    return torch.randn(T, 2, generator=torch.manual_seed(2), dtype=torch.float64)


@pytest.fixture
def seen(cell, x):
    return expansion.trace(cell, x)


def test_the_expansion_is_the_memory_of_the_paper_s_own_equations(cell, x, seen):
    state = oracle_start(cell.sizes, cell.omega, 1)
    with torch.no_grad():
        for t in range(T):
            _, state, tick = oracle_step(
                cell.sizes, cell.weights, cell.omega, cell.delta, x[t][None], state
            )
            expanded = expansion.expand(seen, t)
            np.testing.assert_allclose(expanded, state.s[0].numpy(), atol=1e-12)
            np.testing.assert_allclose(seen.omega[t], tick.omega[0].numpy())
    assert np.abs(expanded).max() > 0.1
    assert expansion.error(seen) < 1e-12


def test_an_expansion_that_is_not_the_memory_is_seen(seen):
    wrong = seen._replace(forget=0.999 * seen.forget)
    assert expansion.error(wrong) > 1e-3


def test_a_window_is_one_now_and_only_shrinks_into_the_past(seen):
    window = expansion.window(seen, T - 1)
    assert window.shape == seen.forget.shape
    np.testing.assert_array_equal(window[-1], 1.0)
    assert (np.diff(window, axis=0) > 0).all()
    np.testing.assert_allclose(window[0], seen.forget[1:].prod(0))
    np.testing.assert_array_equal(expansion.window(seen, 0), np.ones((1, 4, 5)))


def test_the_window_of_steady_gates_has_their_horizon(seen):
    steady = seen._replace(forget=np.full((1000, 1, 1), 0.95))
    np.testing.assert_allclose(expansion.lengths(steady, 999), 1.0 / (1.0 - 0.95))


def test_at_its_own_frequency_the_transform_is_the_amplitude():
    fixed = SFMCell(2, 3, states=5, frequencies=4, grid="half", seed=1)
    given = torch.randn(T, 2, generator=torch.manual_seed(2))
    seen = expansion.trace(fixed, given)
    omega = seen.omega[0]
    for k in range(4):
        found = expansion.transform(seen, 25, k, 3, omega)
        np.testing.assert_allclose(found[k], np.abs(seen.memory[25, k, 3]))


def test_a_trace_leaves_the_cell_as_it_was(x):
    cell = SFMCell(2, 3, states=5, frequencies=4, seed=1)
    expansion.trace(cell, x)
    assert cell.w_in.dtype == torch.float32
