"""A whole sequence of SFM against the fold of its ticks, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell import Cell, Layer, SFMCell
from sfm_stream.cell.parameters import columns
from sfm_stream.errors import InvalidState

torch.set_num_threads(1)

N, M, D, K, T, B = 3, 4, 5, 6, 7, 2

every_kind = pytest.mark.parametrize(
    ("adaptive", "readout"),
    [
        (False, "amplitude"),
        (False, "amplitude+phase"),
        (True, "amplitude"),
        (True, "amplitude+phase"),
    ],
)


def make(**changes):
    options = {"states": D, "frequencies": K, "longest_memory": 8.0, "seed": 1}
    cell = SFMCell(N, M, **{**options, "dtype": torch.float64, **changes})
    if cell.delta is not None:  # zero at birth, they would leave their path untested
        moving = cell.w_in[:, columns(cell.sizes)["omega"]]
        with torch.no_grad():
            moving.copy_(0.5 * noise(*moving.shape))
    return cell


def noise(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(drawn)


def start(batch=(B,)):
    cell = make()
    return [noise(*part.shape, seed=9) for part in cell.initial_state(batch)]


def told(run, cell, x, state):
    """Give all that a run says, and the gradients of a sum that sees all of it."""
    given = [x, *state, *cell.parameters()]
    for part in given:
        part.requires_grad_()
    every, after = run(cell, x, type(cell.initial_state())(*state))
    said = (every, *after)
    total = sum(
        (part * noise(*part.shape, seed=i)).sum() for i, part in enumerate(said)
    )
    return (*said, *torch.autograd.grad(total, given))


@every_kind
@pytest.mark.parametrize("batch", [(), (B,), (2, 3)])
def test_values_and_gradients_equal_those_of_the_fold(adaptive, readout, batch):
    cell = make(adaptive=adaptive, readout=readout)
    x, state = noise(T, *batch, N), start(batch)
    expected = told(Cell.run, cell, x, state)
    for a, b in zip(expected, told(SFMCell.run, cell, x, state), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-11, atol=1e-12)


@every_kind
def test_its_gradient_passes_gradcheck(adaptive, readout):
    cell = make(adaptive=adaptive, readout=readout, states=2, frequencies=2)
    named = dict(cell.named_parameters())
    empty = cell.initial_state((1,))

    def ticks(x, re, im, z, *weights):
        parts = {f"cell.{name}": w for name, w in zip(named, weights, strict=True)}
        state = type(empty)(re, im, z)
        every, after = torch.func.functional_call(Layer(cell), parts, (x, state))
        return (every, *after)

    state = [noise(*part.shape, seed=9) for part in empty]
    given = [noise(2, 1, N, seed=2), *state, *(p.detach() for p in named.values())]
    assert torch.autograd.gradcheck(ticks, [v.requires_grad_() for v in given])


def test_a_gradient_may_be_asked_for_again():
    cell = make(adaptive=True)
    every, _ = cell.run(noise(T, B, N), cell.initial_state((B,)))
    first, second = (
        torch.autograd.grad(every.sum(), cell.w_in, retain_graph=True)[0]
        for _ in range(2)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_gradient_of_the_gradient_is_refused():
    cell = make()
    every, _ = cell.run(noise(T, B, N), cell.initial_state((B,)))
    with pytest.raises(InvalidState, match="expected create_graph=False, was True"):
        torch.autograd.grad(every.sum(), cell.w_in, create_graph=True)


@every_kind
def test_under_autocast_the_recurrence_stays_precise(adaptive, readout):
    cell = make(adaptive=adaptive, readout=readout, dtype=torch.float32)
    x = noise(T, B, N).float()
    state = [part.float() for part in start()]
    precise, _ = cell.run(x, type(cell.initial_state())(*state))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        every, after = cell.run(x, type(cell.initial_state())(*state))
        every.sum().backward()
    assert {part.dtype for part in (every, *after)} == {torch.float32}
    # only the input products are coarse
    torch.testing.assert_close(every, precise, rtol=0.02, atol=0.02)
    assert all(p.grad.isfinite().all() for p in cell.parameters())


def test_the_compiler_is_given_the_fold(monkeypatch):
    folded = []
    cell, x = make(), noise(T, B, N)
    expected, _ = cell.run(x, cell.initial_state((B,)))
    fold = Cell.run

    def watched(self, *given):
        folded.append(True)
        return fold(self, *given)

    monkeypatch.setattr(Cell, "run", watched)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    every, _ = cell.run(x, cell.initial_state((B,)))
    assert folded
    torch.testing.assert_close(every, expected)
