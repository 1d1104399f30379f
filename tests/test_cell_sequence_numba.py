"""A sequence as machine code in float32 against torch's in float64."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.cell import SFMCell
from sfm_stream.cell.parameters import columns
from sfm_stream.cell.sequence import numba, numba_kernels
from sfm_stream.cell.sequence import torch as sequence
from sfm_stream.errors import InvalidState

torch.set_num_threads(1)

READOUTS = ("amplitude", "amplitude+phase")


def noise(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(drawn)


def make(n, m, d, k, *, adaptive=True, readout="amplitude"):
    cell = SFMCell(n, m, states=d, frequencies=k, longest_memory=8.0, seed=1,
                   adaptive=adaptive, readout=readout)  # fmt: skip
    if adaptive:  # zero at birth, they would leave their path untested
        moving = cell.w_in[:, columns(cell.sizes)["omega"]]
        with torch.no_grad():
            moving.copy_(0.5 * noise(*moving.shape))
    return cell


def told(cell, x, state):
    """Give all that a run says, and the gradients of a sum that sees all of it."""
    kind = cell.w_in.dtype
    x, *state = (part.to(kind).requires_grad_() for part in (x, *state))
    said = sequence.run(cell.weights, cell.omega, cell.delta, cell.project(x), *state)
    total = sum(
        (part * noise(*part.shape, seed=i).to(kind)).sum()
        for i, part in enumerate(said)
    )
    asked = [x, *state, *cell.parameters()]
    return [part.detach() for part in (*said, *torch.autograd.grad(total, asked))]


def assert_near(cell, ticks, batch):
    x = noise(ticks, *batch, cell.input_size)
    state = [noise(*part.shape, seed=9) for part in cell.initial_state(batch)]
    fast = told(cell, x, state)
    true = told(cell.double(), x, state)
    assert all(part.dtype == torch.float32 for part in fast)
    for said, expected in zip(fast, true, strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(said.double(), expected, rtol=0, atol=3e-5 * scale)


@given(
    n=st.integers(1, 4),
    m=st.integers(1, 14),
    d=st.integers(1, 11),
    k=st.integers(1, 5),
    ticks=st.integers(1, 12),
    batch=st.sampled_from([(), (1,), (3,), (8,), (2, 5), (16,), (27,), (70,)]),
    adaptive=st.booleans(),
    readout=st.sampled_from(READOUTS),
)
@settings(max_examples=60)
def test_values_and_gradients_are_those_of_torch_in_double(
    n, m, d, k, ticks, batch, adaptive, readout
):
    assert_near(make(n, m, d, k, adaptive=adaptive, readout=readout), ticks, batch)


@pytest.mark.parametrize("adaptive", [False, True])
def test_they_are_over_hundreds_of_ticks(adaptive):
    assert_near(make(3, 8, 12, 4, adaptive=adaptive), 400, (10,))


def test_a_stream_is_not_touched_by_those_beside_it():
    cell = make(3, 5, 6, 4)
    x, empty = noise(9, 13, 3).float(), cell.initial_state((13,))
    every, _ = cell.run(x, empty)
    one, _ = cell.run(x[:, 4:5], cell.initial_state((1,)))
    torch.testing.assert_close(every[:, 4:5], one, rtol=1e-6, atol=1e-6)
    foul = x.clone()
    foul[:, 5] = float("nan")
    beside, _ = cell.run(foul, empty)
    assert beside[:, 5].isnan().all()
    torch.testing.assert_close(beside[:, :5], every[:, :5], rtol=0, atol=0)
    torch.testing.assert_close(beside[:, 6:], every[:, 6:], rtol=0, atol=0)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("adaptive", [False, True])
def test_threads_say_what_one_thread_says(adaptive):
    batch = 2 * numba.PART + 3
    cell, x = make(3, 5, 6, 4, adaptive=adaptive), noise(20, batch, 3)
    state = [noise(*part.shape, seed=9) for part in cell.initial_state((batch,))]
    many = told(cell, x, state)
    torch.set_num_threads(1)
    one = told(cell, x, state)
    said = 3 + 1 + len(state)  # what a run says, and gradients of what it was given
    assert all(map(torch.equal, many[:said], one[:said]))
    for left, right in zip(many, one, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-6 * right.abs().max())


@pytest.mark.usefixtures("two_threads")
def test_parts_of_a_batch_are_worked_at_side_by_side(monkeypatch):
    meeting = threading.Barrier(2, timeout=60)
    forth = numba_kernels.forth

    def met(*arrays):
        meeting.wait()
        forth(*arrays)

    monkeypatch.setattr(numba_kernels, "forth", met)
    cell = make(3, 5, 6, 4)
    batch = (2 * numba.PART,)
    cell.run(noise(4, *batch, 3).float(), cell.initial_state(batch))


def test_a_sequence_in_two_parts_is_the_sequence_at_once():
    cell, x = make(3, 5, 6, 4), noise(20, 2, 3).float()
    whole, last = cell.run(x, cell.initial_state((2,)))
    first, state = cell.run(x[:7], cell.initial_state((2,)))
    second, state = cell.run(x[7:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(map(torch.equal, state, last))


def test_what_was_given_is_not_written_to():
    cell, x = make(3, 5, 6, 4), noise(5, 8, 3).float()
    projected, state = cell.project(x), cell.initial_state((8,))
    kept = [part.clone() for part in (projected, *state, *cell.parameters())]
    every, _, _ = sequence.run(cell.weights, cell.omega, cell.delta, projected, *state)
    every.square().sum().backward()
    for before, after in zip(
        kept, (projected, *state, *cell.parameters()), strict=True
    ):
        assert torch.equal(before, after)


def test_autocast_leaves_its_gradient_precise():
    cell, x = make(3, 5, 6, 4), noise(9, 8, 3).float()
    state, found = cell.initial_state((8,)), []
    for coarse in (False, True):
        projected = cell.project(x)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=coarse):
            every, _, _ = sequence.run(
                cell.weights, cell.omega, cell.delta, projected, *state
            )
            found.append(torch.autograd.grad(every.sum(), cell.w_heads)[0])
    assert torch.equal(*found)


def test_a_gradient_may_be_asked_for_again():
    cell = make(3, 5, 6, 4)
    every, _ = cell.run(noise(5, 2, 3).float(), cell.initial_state((2,)))
    first, second = (
        torch.autograd.grad(every.sum(), cell.w_in, retain_graph=True)[0]
        for _ in range(2)
    )
    assert torch.equal(first, second)


def test_a_gradient_of_the_gradient_is_refused():
    cell = make(3, 5, 6, 4)
    every, _ = cell.run(noise(5, 2, 3).float(), cell.initial_state((2,)))
    with pytest.raises(InvalidState, match="expected create_graph=False, was True"):
        torch.autograd.grad(every.sum(), cell.w_in, create_graph=True)


@pytest.mark.parametrize(
    ("kind", "device", "expected"),
    [
        (torch.float32, "cpu", True),
        (torch.float64, "cpu", False),
        (torch.bfloat16, "cpu", False),
        (torch.float32, "meta", False),
    ],
)
def test_it_is_for_single_precision_on_the_processor(kind, device, expected):
    assert numba.suits(torch.empty(1, dtype=kind, device=device)) == expected


def test_a_cell_in_single_precision_runs_it(monkeypatch):
    runs, forth = [], numba_kernels.forth
    monkeypatch.setattr(
        numba_kernels, "forth", lambda *given: runs.append(forth(*given))
    )
    cell = make(3, 5, 6, 4)
    cell.run(noise(5, 2, 3).float(), cell.initial_state((2,)))
    cell.double().run(noise(5, 2, 3), cell.initial_state((2,)))
    assert len(runs) == 1
