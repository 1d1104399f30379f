"""The cell in torch against the paper's absolute-time form and its golden facts."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from sfm_stream.cell import SFM, SFMCell
from sfm_stream.cell.frequencies import frequencies, spacing
from sfm_stream.cell.oracle import oracle_start, oracle_step
from sfm_stream.cell.parameters import Sizes, Weights, columns
from sfm_stream.cell.step import SFMState, project, sigmoid, step
from sfm_stream.errors import ConfigError, ShapeError

torch.set_num_threads(1)

READOUTS = ("amplitude", "amplitude+phase")
N, M, D, K = 3, 4, 5, 6
both_readouts = pytest.mark.parametrize("readout", READOUTS)
both_cells = pytest.mark.parametrize("adaptive", [False, True])


def make(kind=SFMCell, **changes):
    options = {
        "states": D,
        "frequencies": K,
        "longest_period": 50.0,
        "longest_memory": 64.0,
        "dtype": torch.float64,
        "seed": 1,
    }
    return kind(N, M, **{**options, **changes})


# Zero at birth, the frequency weights would leave the adaptive path untested.
def stir(cell):
    if cell.delta is not None:
        at = columns(cell.sizes)["omega"]
        with torch.no_grad():
            cell.w_in[:, at] = 0.5 * noise(cell.w_in.shape[0], K).to(cell.w_in)
    return cell


def noise(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(drawn)


def run_cell(cell, x, elapsed=None):
    """Fold `step` and stack z, R and A of every tick."""
    state, seen = cell.initial_state(x.shape[1:-1]), []
    with torch.no_grad():
        for t, tick in enumerate(x):
            span = None if elapsed is None else elapsed[t]
            z, state, inside = step(
                cell.weights, cell.omega, cell.delta, tick, state, elapsed=span
            )
            seen.append((z, torch.complex(state.re, state.im), inside.amplitude))
    return tuple(torch.stack(part) for part in zip(*seen, strict=True))


def run_oracle(cell, x, *, phase, start=0.0, elapsed=None):
    """Fold `oracle_step` and stack z, S e^{-jφ}, A and S of every tick."""
    state, seen = oracle_start(cell.sizes, cell.omega, x.shape[1], start), []
    with torch.no_grad():
        for t, tick in enumerate(x):
            z, state, shown = oracle_step(
                cell.sizes,
                cell.weights,
                cell.omega,
                cell.delta,
                tick,
                state,
                phase=phase,
                elapsed=None if elapsed is None else elapsed[t],
            )
            seen.append((z, shown.r, shown.amplitude, state.s))
    return tuple(torch.stack(part) for part in zip(*seen, strict=True))


def assert_same(expected, actual, tolerance=1e-10):
    for left, right in zip(expected, actual, strict=False):
        torch.testing.assert_close(right, left, rtol=tolerance, atol=tolerance)


# Golden facts: time and phase


@both_readouts
@pytest.mark.parametrize("grid", ["paper", "half", "log"])
def test_rotating_frame_equals_absolute_time(grid, readout):
    cell = make(grid=grid, readout=readout)
    x = noise(300, 2, N)
    assert_same(run_oracle(cell, x, phase="absolute"), run_cell(cell, x))


@both_readouts
def test_adaptive_rotating_frame_equals_accumulated_phase(readout):
    cell = stir(make(adaptive=True, readout=readout))
    x = noise(300, 2, N)
    assert_same(run_oracle(cell, x, phase="accumulated"), run_cell(cell, x))


@both_cells
def test_elapsed_time_equals_absolute_time(adaptive):
    cell = stir(make(adaptive=adaptive))
    x, elapsed = noise(200, 2, N), noise(200, 2, seed=1).exp()
    expected = run_oracle(cell, x, phase="accumulated", elapsed=elapsed)
    assert_same(expected, run_cell(cell, x, elapsed))


@both_readouts
def test_shifting_the_time_origin_changes_nothing(readout):
    cell = make(readout=readout)
    x = noise(200, 2, N)
    near = run_oracle(cell, x, phase="absolute")
    far = run_oracle(cell, x, phase="absolute", start=1e6)
    assert_same(near[:3], far[:3], tolerance=1e-8)
    assert not torch.allclose(near[3], far[3])


def test_absolute_phase_of_a_moving_frequency_depends_on_the_time_origin():
    cell = stir(make(adaptive=True))
    x = noise(100, 1, N)
    near = run_oracle(cell, x, phase="absolute")
    far = run_oracle(cell, x, phase="absolute", start=1e4)
    assert (near[2] - far[2]).abs().max() > 0.1


def test_accumulated_phase_equals_absolute_phase_for_a_constant_frequency():
    cell = make(adaptive=True)
    with torch.no_grad():
        cell.w_in[-1, columns(cell.sizes)["omega"]] = noise(K)
    x = noise(300, 2, N)
    accumulated = run_oracle(cell, x, phase="accumulated")
    assert_same(run_oracle(cell, x, phase="absolute"), accumulated)
    assert_same(accumulated, run_cell(cell, x))


def test_adaptive_cell_at_birth_equals_the_fixed_cell_with_its_weights():
    adaptive, fixed = make(adaptive=True), make(adaptive=False)
    at = columns(adaptive.sizes)["omega"]
    kept = torch.ones(adaptive.w_in.shape[1], dtype=torch.bool)
    kept[at] = False
    weights = Weights(adaptive.w_in[:, kept], adaptive.w_heads, adaptive.b_z)
    x, state = noise(2, N), fixed.initial_state((2,))
    z, _, _ = step(weights, fixed.omega, None, x, state)
    torch.testing.assert_close(adaptive(x)[0], z, rtol=0, atol=0)


# Golden facts: frequencies


# One input drives every i alike; the gates are tied to their biases.
def tone_cell(grid, count, **changes):
    cell = SFMCell(
        1,
        1,
        states=2,
        frequencies=count,
        grid=grid,
        dtype=torch.float64,
        seed=0,
        **changes,
    )
    with torch.no_grad():
        cell.w_in[:-1] = 0.0
        cell.w_in[0, columns(cell.sizes)["i"]] = 0.1
    return cell


# One stream per bin, each hearing that bin's tone.
def tones(omega, ticks):
    t = torch.arange(ticks, dtype=torch.float64)[:, None]
    return torch.cos(omega * t + 0.3)[:, :, None]


@pytest.mark.parametrize(
    ("grid", "longest"), [("half", 256.0), ("log", 64.0), ("log", 200.0)]
)
def test_pure_tone_peaks_in_its_own_bin(grid, longest):
    cell = tone_cell(grid, 7, longest_period=longest)
    amplitude = run_cell(cell, tones(cell.omega, 1500))[2]
    heard = amplitude[-400:, :, :, -1].mean(0)
    assert heard.argmax(1).tolist() == list(range(7))


def test_pure_tone_turns_through_the_imaginary_part():
    cell = tone_cell("half", 7)
    x = tones(cell.omega, 1000)
    r, s = run_cell(cell, x)[1], run_oracle(cell, x, phase="absolute")[3]
    for k in range(1, 7):
        turning, still = r[-200:, k, k, -1], s[-200:, k, k, -1]
        assert turning.imag.abs().max() > 0.5 * turning.abs().max()
        assert still.imag.abs().min() > 0.1 * still.abs().max()


def test_paper_grid_bins_k_and_count_minus_k_are_conjugates_under_tied_gates():
    count = 8
    r = run_cell(tone_cell("paper", count), noise(300, 1, 1))[1][-1, 0]
    for k in range(1, count):
        mirrored = r[count - k - 1].conj().resolve_conj()
        torch.testing.assert_close(r[k - 1], mirrored, rtol=0, atol=1e-10)
    assert r[count - 1].imag.abs().max() < 1e-10


# Golden facts: gradients


@both_readouts
@both_cells
def test_gradients_pass_gradcheck(adaptive, readout):
    cell = stir(SFMCell(
        2, 2, states=2, frequencies=K if adaptive else 3, adaptive=adaptive,
        readout=readout, longest_memory=8.0, dtype=torch.float64, seed=3,
    ))  # fmt: skip
    k = cell.sizes.frequencies
    start = (noise(2, k, 2, seed=1), noise(2, k, 2, seed=2), noise(2, 2, seed=3))
    given = [p.detach() for p in cell.weights] + [noise(2, 2), *start]

    def two_ticks(w_in, w_heads, b_z, x, *state):
        weights, state = Weights(w_in, w_heads, b_z), SFMState(*state)
        tau = x.new_tensor([0.5, 1.7])
        _, state, _ = step(weights, cell.omega, cell.delta, x, state)
        _, state, _ = step(weights, cell.omega, cell.delta, x, state, elapsed=tau)
        return tuple(state)

    assert torch.autograd.gradcheck(two_ticks, [v.requires_grad_() for v in given])


@both_readouts
@both_cells
def test_gradients_are_finite_at_an_empty_memory(adaptive, readout):
    cell = make(adaptive=adaptive, readout=readout)
    x = torch.zeros(2, N, dtype=torch.float64, requires_grad=True)
    z, state = cell(x)
    assert (state.re == 0).all()
    (z.sum() + z.square().sum()).backward()
    assert all(p.grad.isfinite().all() for p in (*cell.parameters(), x))


def test_gradients_are_finite_when_a_saturated_gate_meets_elapsed_time():
    cell = make(dtype=torch.float32)
    with torch.no_grad():
        cell.w_in[-1, columns(cell.sizes)["f_ste"]] = -100.0
    x, tau = noise(2, N).float(), torch.tensor([0.01, 3.0])
    _, state = cell(x)
    z, _ = cell(x, state, elapsed=tau)
    z.sum().backward()
    assert all(p.grad.isfinite().all() for p in cell.parameters())


# Birth


@both_readouts
def test_steady_input_does_not_saturate_the_read_out_at_birth(readout):
    cell = make(longest_memory=256.0, readout=readout, states=16)
    state = cell.initial_state()
    with torch.no_grad():
        for _ in range(1000):
            _, state, inside = step(
                cell.weights, cell.omega, None, torch.ones(N).double(), state
            )
    assert inside.q.abs().max() < 0.95
    assert inside.o.min() > 0.05
    assert inside.o.max() < 0.95


def test_no_forget_gate_reaches_one():
    cell = make(dtype=torch.float32)
    with torch.no_grad():
        cell.w_in[-1] = 50.0
    _, _, inside = step(
        cell.weights, cell.omega, None, torch.zeros(N), cell.initial_state()
    )
    assert inside.forget.max() < 1.0


def test_sigmoid_equals_the_logistic_function_and_stays_finite():
    x = torch.linspace(-50, 50, 201, dtype=torch.float64)
    torch.testing.assert_close(sigmoid(x), torch.sigmoid(x))
    assert sigmoid(torch.tensor([1e30, -1e30])).tolist() == [1.0, 0.0]


# Modules


@both_cells
def test_folding_the_cell_equals_the_sequence(adaptive):
    layer = make(SFM, adaptive=adaptive)
    cell = stir(layer.cell)
    x = noise(20, 2, N)
    every, last = layer(x)
    state = None
    for t, tick in enumerate(x):
        z, state = cell(tick, state)
        torch.testing.assert_close(every[t], z, rtol=1e-12, atol=1e-14)
    assert_same(state, last, tolerance=1e-12)


def test_sequence_in_two_parts_equals_the_sequence_at_once():
    layer, x = make(SFM), noise(20, 2, N)
    every, last = layer(x)
    first, state = layer(x[:13])
    second, state = layer(x[13:], state)
    assert_same((every, *last), (torch.cat([first, second]), *state), 1e-12)


def test_batch_first_swaps_the_first_two_axes():
    time_first, batch_first = make(SFM), make(SFM, batch_first=True)
    x, tau = noise(7, 2, N), noise(7, 2, seed=1).exp()
    expected, state = time_first(x, elapsed=tau)
    actual, last = batch_first(x.transpose(0, 1), elapsed=tau.T)
    assert_same((expected.transpose(0, 1), *state), (actual, *last))


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_stream_needs_no_batch_axis(batch_first):
    layer, x = make(SFM, batch_first=batch_first), noise(7, N)
    every, state = layer(x)
    assert every.shape == (7, M)
    assert [tuple(part.shape) for part in state] == [(K, D), (K, D), (M,)]
    expected, _ = make(SFM)(x[:, None])
    assert_same((expected[:, 0],), (every,))


def test_elapsed_one_equals_no_elapsed():
    layer, x = make(SFM), noise(9, 2, N)
    assert_same(layer(x), layer(x, elapsed=torch.ones(9, 2).double()), 1e-12)


def test_weights_of_their_own_per_stream_equal_one_cell_per_stream():
    cells = [stir(make(adaptive=True, seed=s)) for s in range(3)]
    stacked = Weights(
        *(torch.stack(w) for w in zip(*(c.weights for c in cells), strict=True))
    )
    x, omega, delta = noise(3, N), cells[0].omega, cells[0].delta
    state = SFMState(*(noise(*s) for s in ((3, K, D), (3, K, D), (3, M))))
    z, after, _ = step(stacked, omega, delta, x, state)
    for b, cell in enumerate(cells):
        alone, expected = cell(x[b], SFMState(*(part[b] for part in state)))
        torch.testing.assert_close(z[b], alone)
        assert_same(expected, (part[b] for part in after), 1e-12)


def test_state_before_a_tick_is_not_modified():
    cell, x = make(), noise(2, N)
    _, state = cell(x)
    before = [part.clone() for part in state]
    cell(x, state)
    assert_same(before, state, tolerance=0)


@both_cells
def test_state_dict_round_trip_gives_the_same_output(adaptive):
    source = make(SFM, adaptive=adaptive, grid="half")
    target = make(SFM, adaptive=adaptive, seed=99)
    target.load_state_dict(source.state_dict())
    x = noise(5, 2, N)
    assert_same(source(x)[:1], target(x)[:1], tolerance=0)


def test_deep_copy_is_independent():
    cell, x = make(adaptive=True), noise(2, N)
    twin, expected = copy.deepcopy(cell), cell(x)[0]
    with torch.no_grad():
        cell.w_in.zero_()
    assert_same((expected,), (twin(x)[0],), tolerance=0)


def test_seed_decides_the_weights_and_torch_decides_them_without_one():
    assert_same(make(seed=5).weights, make(seed=5).weights, tolerance=0)
    generator = np.random.default_rng(5)
    assert_same(make(seed=5).weights, make(seed=generator).weights, tolerance=0)
    unseeded = []
    for _ in range(2):
        torch.manual_seed(0)
        unseeded.append(make(seed=None).weights)
    assert_same(*unseeded, tolerance=0)
    assert not torch.equal(unseeded[0].w_in, make(seed=None).weights.w_in)


def test_float32_stays_near_float64():
    precise, single = make(SFM), make(SFM, dtype=torch.float32)
    x = noise(200, 2, N)
    torch.testing.assert_close(
        single(x.float())[0].double(), precise(x)[0], rtol=0, atol=1e-5
    )


@both_cells
def test_autocast_gives_finite_output_and_keeps_the_memory_in_float32(adaptive):
    layer, x = make(SFM, adaptive=adaptive, dtype=torch.float32), noise(50, 2, N)
    expected, _ = layer(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        every, state = layer(x.float())
    every.sum().backward()
    assert {torch.float32} == {part.dtype for part in (every, *state)}
    torch.testing.assert_close(every, expected, rtol=0, atol=0.1)
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@both_cells
def test_compile_traces_the_cell_as_one_graph(adaptive):
    cell, x = make(adaptive=adaptive), noise(2, N)
    compiled = torch.compile(cell, backend="eager", fullgraph=True)
    assert_same(cell(x)[:1], compiled(x)[:1])


def test_omega_and_reach_come_from_the_grid():
    cell = make(grid="half", adaptive=True)
    omega = frequencies("half", K, 50.0)
    np.testing.assert_array_equal(omega, cell.omega.numpy())
    np.testing.assert_array_equal(spacing(omega), cell.delta.numpy())
    assert make().delta is None


def test_frequencies_can_be_kept_from_moving_far():
    cell, near = (make(grid="half", adaptive=True, reach=reach) for reach in (1.0, 0.1))
    torch.testing.assert_close(near.delta, 0.1 * cell.delta)


@pytest.mark.parametrize("reach", [0.0, -0.1, 1.1, float("nan")])
def test_a_reach_that_would_let_frequencies_change_places_is_refused(reach):
    with pytest.raises(ConfigError, match="reach: expected more than 0 and at most 1"):
        make(adaptive=True, reach=reach)


def test_printed_module_shows_its_sizes():
    assert "states=5, frequencies=6" in repr(make())


# Errors


@pytest.mark.parametrize("shape", [(2, N + 1), (N - 1,)])
def test_input_of_another_width_is_refused(shape):
    with pytest.raises(ShapeError, match=r"x: expected shape \[\.\.\., 3\]"):
        make()(torch.zeros(*shape).double())


@pytest.mark.parametrize("part", ["re", "im", "z"])
def test_state_of_another_batch_is_refused_by_name(part):
    cell = make()
    state = cell.initial_state((2,))
    state = state._replace(**{part: getattr(state, part)[:1]})
    with pytest.raises(ShapeError, match=rf"state\.{part}: expected shape \[2,"):
        cell(noise(2, N), state)


def test_sequence_without_a_tick_is_refused():
    with pytest.raises(ShapeError, match="T at least 1"):
        make(SFM)(torch.zeros(0, 2, N).double())


def test_elapsed_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"elapsed: expected shape \[4, 2\]"):
        make(SFM)(noise(4, 2, N), elapsed=torch.ones(4).double())


def test_unknown_read_out_is_refused():
    with pytest.raises(ConfigError, match="was 'phase'; the paper's is amplitude"):
        make(readout="phase")


def test_project_of_one_tick_is_the_affine_map_of_the_input_rows():
    cell, x = make(), noise(2, N)
    expected = x @ cell.w_in[:N] + cell.w_in[-1]
    torch.testing.assert_close(project(cell.weights, x), expected)


def test_sizes_of_the_cell_are_those_of_its_weights():
    expected = Sizes(N, D, K, M, longest_period=50.0, longest_memory=64.0)
    assert expected == make().sizes
    assert math.prod(make().w_in.shape) == (N + M + 1) * expected.gate_columns
