"""The gradient of a sequence of adaptive computation time against torch's, by ticks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import ACTCell
from sfm_stream.cell.baselines.act import ACTState
from sfm_stream.errors import InvalidState


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


# With halting weights this large streams take different numbers of steps.
def undecided(longest=6):
    cell = ACTCell(2, 5, longest=longest, seed=1, dtype=torch.float64)
    with torch.no_grad():
        cell.w_halt *= 15.0
        cell.b_halt.fill_(-1.0)
    return cell


def by_ticks(cell, x, start):
    every, costs = zip(*[(z, s.ponder) for z, s in cell.trace(x, start)], strict=True)
    return torch.stack(every), torch.stack(costs)


def loss(z, cost):
    """Read every output and every cost, each with its own weight."""
    return (z * noise(*z.shape)).sum() + (cost * noise(*cost.shape)).sum()


@pytest.mark.parametrize("longest", [1, 2, 6])
@pytest.mark.parametrize("batch", [(), (4,)])
def test_a_sequence_has_the_gradients_of_its_ticks(longest, batch):
    cell = undecided(longest)
    x, h = 2 * noise(9, *batch, 2), noise(*batch, 5)
    leaves = [*cell.parameters(), x.requires_grad_(), h.requires_grad_()]
    start = ACTState(h, noise(*batch))
    literal = torch.autograd.grad(loss(*by_ticks(cell, x, start)), leaves)
    at_once = torch.autograd.grad(loss(*cell.run_pondered(x, start)), leaves)
    torch.testing.assert_close(at_once, literal)


def test_the_number_of_steps_differs_between_streams_in_these_tests():
    cell, x = undecided(), 2 * noise(9, 4, 2)
    _, costs = cell.run_pondered(x, cell.initial_state((4,)))
    assert len(costs.floor().unique()) >= 3


def test_a_second_derivative_is_refused():
    cell, x = undecided(), noise(3, 2, 2).requires_grad_()
    z, _ = cell.run_pondered(x, cell.initial_state((2,)))
    with pytest.raises(InvalidState, match="expected create_graph=False, was True"):
        torch.autograd.grad(z.sum(), x, create_graph=True)
