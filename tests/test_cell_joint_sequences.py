"""A recurrent layer that says what the next binary vector hangs on."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from sfm_stream.cell import GRUCell, Layer
from sfm_stream.cell.joint.nade import NADE
from sfm_stream.cell.joint.rbm import RBM
from sfm_stream.cell.joint.sequences import FrameModel, rnn
from sfm_stream.errors import ShapeError

torch.set_num_threads(1)

V = 4
both_outputs = pytest.mark.parametrize("output", [NADE, RBM])


def make(output, **changes):
    options = {"recurrent": 3, "hidden": 5, "dtype": torch.float64, "seed": 1}
    return rnn(output, V, **{**options, **changes})


def frames(*shape):
    chance = torch.Generator().manual_seed(0)
    return torch.randint(2, (*shape, V), generator=chance).double()


@both_outputs
def test_context_of_a_vector_is_made_of_those_before_it(output):
    model, v = make(output), frames(9, 2)
    contexts, state = model(v)
    z, _ = model.layer(v)
    assert (contexts[0] == 0).all()
    assert torch.equal(contexts[1:], z[:-1])
    assert torch.equal(state.z, z[-1])


@both_outputs
def test_vector_by_vector_equals_the_sequence(output):
    model, v = make(output), frames(9, 2)
    contexts, last = model(v)
    state = None
    for t in range(9):
        context, state = model(v[t : t + 1], state)
        torch.testing.assert_close(context[0], contexts[t])
    torch.testing.assert_close(state.z, last.z)
    torch.testing.assert_close(state.layer.h, last.layer.h)


@both_outputs
@pytest.mark.parametrize("batch_first", [False, True])
def test_axes_are_those_of_the_layer(output, batch_first):
    model, v = make(output, batch_first=batch_first), frames(9, 2)
    expected, _ = make(output)(v)
    given = v.transpose(0, 1) if batch_first else v
    contexts, state = model(given)
    actual = contexts.transpose(0, 1) if batch_first else contexts
    torch.testing.assert_close(actual, expected)
    assert state.z.shape == (2, 3)
    alone, state = model(v[:, 0])
    torch.testing.assert_close(alone, expected[:, 0])
    assert state.z.shape == (3,)


def test_likelihood_over_all_sequences_sums_to_one():
    model = make(NADE)
    single = list(product([0.0, 1.0], repeat=V))
    every = torch.tensor(list(product(single, repeat=2)), dtype=torch.float64)
    v = every.transpose(0, 1)
    contexts, _ = model(v)
    total = model.output.log_likelihood(v, contexts).sum(0).exp().sum()
    assert total.item() == pytest.approx(1.0, rel=1e-12)


def test_training_finds_what_follows_what():
    model = make(NADE, recurrent=8, dtype=torch.float32)
    turn = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]]).float()
    v = turn.repeat(8, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        contexts, _ = model(v)
        loss = -model.output.log_likelihood(v, contexts)[3:].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # three vectors of equal chance without their order: log 3 is 1.10
    assert loss.item() < 0.2


@both_outputs
def test_gradients_from_an_empty_memory_are_finite_and_reach_every_weight(output):
    model, v = make(output), frames(4, 2)
    contexts, _ = model(v)
    if output is NADE:
        loss = model.output.log_likelihood(v, contexts)
    else:
        loss = model.output.contrast(v, contexts, 1, torch.Generator().manual_seed(0))
    loss.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all((p.grad != 0).any() for p in model.parameters())


def test_any_layer_can_read_the_vectors():
    layer = Layer(GRUCell(V, 3, seed=1, dtype=torch.float64))
    model = FrameModel(layer, RBM(3, V, 5, seed=1, dtype=torch.float64))
    contexts, _ = model(frames(5, 2))
    assert contexts.shape == (5, 2, 3)


@both_outputs
def test_a_seed_decides_a_model_and_leaves_torch_alone(output):
    untouched = torch.get_rng_state()
    first, second = make(output, seed=3), make(output, seed=3)
    assert torch.equal(untouched, torch.get_rng_state())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_state_of_another_batch_is_refused():
    model = make(NADE)
    _, state = model(frames(3, 2))
    with pytest.raises(ShapeError, match=r"state\.z: expected shape \[2, 3\]"):
        model(frames(3, 2), state._replace(z=state.z[:1]))
