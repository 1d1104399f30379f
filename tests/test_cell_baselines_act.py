"""Adaptive computation time against its definition, stream by stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import ACTCell, Layer
from sfm_stream.errors import ConfigError


def make(**changes):
    options = {"longest": 6, "dtype": torch.float64, "seed": 1}
    return ACTCell(2, 5, **{**options, **changes})


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


# With halting weights this large streams take different numbers of steps.
def undecided(cell):
    with torch.no_grad():
        cell.w_halt *= 15.0
        cell.b_halt.fill_(-1.0)
    return cell


def literal(cell, x, h):
    """Think about one tick of one stream; give the new h, N and R."""
    states, chances = [], []
    while sum(chances) < 0.99 and len(states) < cell.longest:
        flag = x.new_tensor([not states])
        h = cell.core(torch.cat([x, flag]), h)
        states.append(h)
        chances.append(torch.sigmoid(h @ cell.w_halt + cell.b_halt).item())
    rest = 1.0 - sum(chances[:-1])
    shares = [*chances[:-1], rest]
    mean = sum(p * s for p, s in zip(shares, states, strict=True))
    return mean, len(states), rest


def test_each_stream_thinks_as_long_as_its_halting_says():
    cell, x = undecided(make()), 2 * noise(12, 4, 2)
    state, steps = cell.initial_state((4,)), set()
    for tick in x:
        z, after = cell(tick, state)
        for b in range(4):
            mean, count, rest = literal(cell, tick[b], state.h[b])
            torch.testing.assert_close(z[b], mean)
            assert after.ponder[b].item() == pytest.approx(count + rest)
            steps.add(count)
        state = after
    assert len(steps) >= 3


def test_one_step_is_enough_where_halting_is_sure():
    cell, x = make(), noise(3, 2)
    with torch.no_grad():
        cell.b_halt.fill_(50.0)
    z, state = cell(x)
    first = cell.core(torch.cat([x, torch.ones(3, 1)], -1).double())
    torch.testing.assert_close(z, first)
    assert state.ponder.tolist() == [2.0, 2.0, 2.0]


def test_thinking_ends_at_the_longest():
    cell = make(longest=3)
    with torch.no_grad():
        cell.b_halt.fill_(-50.0)
    assert cell(noise(2, 2))[1].ponder.tolist() == pytest.approx([4.0, 4.0])


def test_a_sequence_costs_what_its_ticks_cost():
    cell, x = undecided(make()), noise(50, 2, 2)
    traced = [state.ponder for _, state in cell.trace(x, cell.initial_state((2,)))]
    assert torch.stack(traced).max() <= cell.longest + 1
    _, costs = cell.run_pondered(x, cell.initial_state((2,)))
    torch.testing.assert_close(torch.stack(traced), costs)
    torch.testing.assert_close(traced[-1], Layer(cell)(x)[1].ponder)


def test_descending_the_ponder_shortens_the_thinking():
    cell, x = make(), noise(10, 2, 2)
    with torch.no_grad():
        cell.b_halt.fill_(-3.0)
    optimizer = torch.optim.Adam(cell.parameters(), lr=0.1)
    costs = []
    for _ in range(40):
        _, every = cell.run_pondered(x, cell.initial_state((2,)))
        cost = every.mean()
        costs.append(cost.item())
        if costs[-1] == 2.0:  # one step each, R = 1: there is nothing left to descend
            break
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    assert costs[0] > 6.0
    assert costs[-1] == 2.0


def test_no_step_at_all_is_refused():
    with pytest.raises(ConfigError, match="longest: expected at least 1, was 0"):
        make(longest=0)
