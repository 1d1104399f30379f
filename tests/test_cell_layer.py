"""What every cell owes to whoever folds it, whatever it computes inside."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from sfm_stream import cell as rooms
from sfm_stream.cell import (
    ACTCell,
    AssociativeCell,
    CWRNNCell,
    GRUCell,
    Layer,
    LSTMCell,
    PhasedLSTMCell,
    RHNCell,
    RNNCell,
    SFMCell,
)
from sfm_stream.cell.sequence import torch as sequence
from sfm_stream.cell.sfm import UNTAPED
from sfm_stream.errors import ConfigError, ShapeError

torch.set_num_threads(1)

N, M = 3, 4


def act(*sizes, **options):
    return ACTCell(*sizes, longest=4, **options)


def clockwork(*sizes, **options):
    return CWRNNCell(*sizes, periods=(1, 3), **options)


def phased(*sizes, **options):
    return PhasedLSTMCell(*sizes, open_ratio=0.5, periods=(3.0, 9.0), **options)


def sfm(*sizes, **options):
    return SFMCell(*sizes, states=2, frequencies=3, longest_memory=8.0, **options)


KINDS = [
    act,
    AssociativeCell,
    clockwork,
    RHNCell,
    RNNCell,
    GRUCell,
    LSTMCell,
    phased,
    sfm,
]
every_cell = pytest.mark.parametrize("kind", KINDS)


def make(kind, **changes):
    return kind(N, M, **{"dtype": torch.float64, "seed": 1, **changes})


def noise(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(drawn)


def assert_same(expected, actual, tolerance=1e-12):
    for a, b in zip(expected, actual, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@every_cell
def test_folding_the_cell_equals_the_sequence(kind):
    cell, x = make(kind), noise(20, 2, N)
    every, last = Layer(cell)(x)
    state = None
    for t, tick in enumerate(x):
        z, state = cell(tick, state)
        assert_same((every[t],), (z,))
    assert_same(last, state)
    assert every.shape == (20, 2, M)


@every_cell
def test_sequence_in_two_parts_equals_the_sequence_at_once(kind):
    layer, x = Layer(make(kind)), noise(20, 2, N)
    every, last = layer(x)
    first, state = layer(x[:13])
    second, state = layer(x[13:], state)
    assert_same((every, *last), (torch.cat([first, second]), *state))


@every_cell
def test_what_is_still_to_come_changes_nothing_before(kind):
    layer, x = Layer(make(kind)), noise(9, 2, N)
    later = torch.cat([x[:5], noise(4, 2, N, seed=1)])
    assert_same(layer(x)[0][:5], layer(later)[0][:5], tolerance=0)
    assert not torch.equal(layer(x)[0], layer(later)[0])


@every_cell
def test_streams_of_a_batch_do_not_meet(kind):
    layer, x = Layer(make(kind)), noise(9, 3, N)
    together, state = layer(x)
    alone, last = layer(x[:, 1])
    assert_same((together[:, 1], *(part[1] for part in state)), (alone, *last))


@every_cell
def test_batch_first_swaps_the_first_two_axes(kind):
    cell, x = make(kind), noise(7, 2, N)
    expected, state = Layer(cell)(x)
    actual, last = Layer(cell, batch_first=True)(x.transpose(0, 1))
    assert_same((expected.transpose(0, 1), *state), (actual, *last))


@every_cell
def test_gradients_pass_gradcheck(kind):
    cell = kind(2, 2, dtype=torch.float64, seed=3)
    named = dict(cell.named_parameters())
    _, state = Layer(cell)(noise(1, 2, 2, seed=1))
    start = [part.detach() for part in state]
    real = [part for part in start if part.dtype != torch.int64]

    def three_ticks(x, *given):
        parts = iter(given[: len(real)])
        before = type(state)(
            *(p if p.dtype == torch.int64 else next(parts) for p in start)
        )
        weights = dict(zip(named, given[len(real) :], strict=True))
        z, after = torch.func.functional_call(Layer(cell), within(weights), (x, before))
        return (z, *(part for part in after if part.dtype != torch.int64))

    given = [noise(3, 2, 2, seed=2), *real, *(p.detach() for p in named.values())]
    assert torch.autograd.gradcheck(three_ticks, [v.requires_grad_() for v in given])


def within(weights):
    return {f"cell.{name}": weight for name, weight in weights.items()}


@every_cell
def test_gradients_are_finite_at_an_empty_memory(kind):
    layer = Layer(make(kind))
    x = torch.zeros(3, 2, N, dtype=torch.float64, requires_grad=True)
    z, _ = layer(x)
    (z.sum() + z.square().sum()).backward()
    reached = [p.grad for p in (*layer.parameters(), x) if p.grad is not None]
    assert len(reached) > len(list(layer.parameters())) / 2
    assert all(grad.isfinite().all() for grad in reached)


@every_cell
def test_state_before_a_tick_is_not_modified(kind):
    cell, x = make(kind), noise(2, N)
    _, state = cell(x)
    before = [part.clone() for part in state]
    cell(x, state)
    assert_same(before, state, tolerance=0)


@every_cell
def test_a_seed_decides_the_weights_and_leaves_torch_alone(kind):
    torch.manual_seed(0)
    untouched = torch.get_rng_state()
    first, second = make(kind, seed=5), make(kind, seed=5)
    generated = make(kind, seed=np.random.default_rng(5))
    assert torch.equal(untouched, torch.get_rng_state())
    for twin in (second, generated):
        assert_same(first.state_dict().values(), twin.state_dict().values(), 0)
    other = make(kind, seed=6)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(first.parameters(), other.parameters(), strict=True)
    )


@every_cell
def test_without_a_seed_torch_decides_the_weights(kind):
    unseeded = []
    for _ in range(2):
        torch.manual_seed(0)
        unseeded.append(make(kind, seed=None))
    assert_same(*(cell.parameters() for cell in unseeded), tolerance=0)
    following = next(make(kind, seed=None).parameters())
    assert not torch.equal(next(unseeded[0].parameters()), following)


@every_cell
def test_parameters_and_output_have_the_type_asked_for(kind):
    cell = make(kind, dtype=torch.float32)
    z, _ = cell(noise(2, N).float())
    assert {torch.float32} == {p.dtype for p in (*cell.parameters(), z)}


@every_cell
def test_state_dict_round_trip_gives_the_same_output(kind):
    source, target = make(kind), make(kind, seed=99)
    target.load_state_dict(source.state_dict())
    x = noise(5, 2, N)
    assert_same((Layer(source)(x)[0],), (Layer(target)(x)[0],), tolerance=0)


@every_cell
def test_deep_copy_is_independent(kind):
    cell, x = make(kind), noise(2, N)
    twin, expected = copy.deepcopy(cell), cell(x)[0]
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
    assert_same((expected,), (twin(x)[0],), tolerance=0)


@every_cell
def test_input_of_another_width_is_refused(kind):
    with pytest.raises(ShapeError, match=r"x: expected shape \[\.\.\., 3\]"):
        make(kind)(torch.zeros(2, N + 1).double())


@every_cell
def test_state_of_another_batch_is_refused_by_name(kind):
    cell = make(kind)
    state = cell.initial_state((2,))
    name = state._fields[0]
    state = state._replace(**{name: state[0][:1]})
    with pytest.raises(ShapeError, match=rf"state\.{name}: expected shape \[2,"):
        cell(noise(2, N), state)


@every_cell
def test_sequence_without_a_tick_is_refused(kind):
    with pytest.raises(ShapeError, match="T at least 1"):
        Layer(make(kind))(torch.zeros(0, 2, N).double())


@every_cell
def test_sizes_below_one_are_refused(kind):
    with pytest.raises(ConfigError, match="input_size: expected at least 1, was 0"):
        kind(0, M, seed=1)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in (phased, sfm)])
def test_a_cell_that_counts_ticks_refuses_durations(kind):
    with pytest.raises(ConfigError, match="counts ticks; give the time as an input"):
        Layer(make(kind))(noise(4, 2, N), elapsed=torch.ones(4, 2).double())


@pytest.mark.parametrize("kind", [phased, sfm])
def test_durations_reach_the_ticks_they_belong_to(kind):
    cell, x, tau = make(kind), noise(6, 2, N), noise(6, 2, seed=1).exp()
    every, _ = Layer(cell, batch_first=True)(x.transpose(0, 1), elapsed=tau.T)
    state = None
    for t, tick in enumerate(x):
        z, state = cell(tick, state, elapsed=tau[t])
        assert_same((every[:, t],), (z,))
    assert not torch.allclose(every[:, -1], Layer(cell)(x)[0][-1])


@pytest.mark.parametrize("kind", [phased, sfm])
def test_durations_of_another_shape_are_refused(kind):
    with pytest.raises(ShapeError, match=r"elapsed: expected shape \[2\]"):
        make(kind)(noise(2, N), elapsed=torch.ones(3).double())


def test_every_public_name_is_kept_in_its_room():
    kept = {name: room for room, names in rooms.KEPT.items() for name in names}
    assert sorted(kept) == sorted(rooms.__all__)
    for name, room in kept.items():
        assert getattr(rooms, name).__module__ == f"sfm_stream.cell.{room}"
    with pytest.raises(AttributeError, match="no attribute 'TCN'"):
        _ = rooms.TCN


# What torch.nn.LSTM takes too.


def sfm(**given):
    return rooms.SFM(2, 3, states=4, frequencies=3, seed=0, **given)


def test_a_batch_of_none_gives_none():
    layer = sfm()
    z, state = layer(torch.zeros(5, 0, 2))
    assert z.shape == (5, 0, 3)
    assert [part.shape[0] for part in state] == [0, 0, 0]
    z.sum().backward()


def test_a_packed_sequence_is_refused_in_words():
    packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(3, 2), torch.zeros(2, 2)])
    with pytest.raises(ShapeError, match=r"pad it .* was a PackedSequence"):
        sfm()(packed)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_without_a_gradient_a_sequence_says_the_same(kind, count):
    layer = sfm(dtype=kind)
    x = torch.randn(count, 2, 2, dtype=kind, generator=torch.manual_seed(0))
    z, state = layer(x)
    with torch.no_grad():
        bare, after = layer(x)
    # one product for all ticks, or one for each part of them: the sums' order may differ
    torch.testing.assert_close(z, bare)
    for ours, theirs in zip(state, after, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_a_gradient_only_a_part_of_a_sequence_is_on_tape(monkeypatch):
    lengths = []
    run = sequence.run

    def watched(weights, omega, delta, projected, *state):
        lengths.append(len(projected))
        return run(weights, omega, delta, projected, *state)

    monkeypatch.setattr(sequence, "run", watched)
    layer, x = sfm(), torch.zeros(600, 1, 2)
    with torch.no_grad():
        layer(x)
    assert max(lengths) <= UNTAPED
    lengths.clear()
    layer(x)
    assert lengths == [600]


def test_functions_of_a_sequence_can_be_mapped_and_differentiated():
    layer = sfm()
    x = torch.randn(6, 4, 2, generator=torch.manual_seed(0))
    parameters = dict(layer.named_parameters())

    def loss(parameters, x):
        z, _ = torch.func.functional_call(layer, parameters, (x,))
        return z.square().sum()

    loss(parameters, x).backward()
    grads = torch.func.grad(loss)(parameters, x)
    for name, parameter in parameters.items():
        torch.testing.assert_close(grads[name], parameter.grad, rtol=1e-4, atol=1e-6)
    each = torch.func.vmap(lambda one: layer(one)[0], in_dims=1, out_dims=1)(x)
    torch.testing.assert_close(each, layer(x)[0], rtol=1e-4, atol=1e-6)
