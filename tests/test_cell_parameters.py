"""The layout of the parameters and their values at birth."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.cell.parameters import (
    FORGET_CAP,
    FREQUENCY_BIAS,
    Sizes,
    birth,
    columns,
    horizons,
)
from sfm_stream.errors import ConfigError

SIZES = Sizes(inputs=5, states=8, frequencies=4, outputs=6)
some = st.integers(1, 9)
flag = st.booleans()
memory = st.floats(2.0, 800.0)
all_sizes = st.builds(Sizes, some, some, some, some, flag, flag, memory, memory)


def born(sizes, seed=0):
    return birth(sizes, np.random.default_rng(seed))


def logistic(x):
    return 1 / (1 + np.exp(-x))


@given(all_sizes)
def test_columns_cover_every_gate_column_once_and_in_order(sizes):
    covered = np.concatenate(
        [np.arange(at.start, at.stop) for at in columns(sizes).values()]
    )
    np.testing.assert_array_equal(np.arange(sizes.gate_columns), covered)
    assert ("omega" in columns(sizes)) == sizes.adaptive


def test_columns_stand_in_the_documented_order():
    expected = ["f_ste", "f_fre", "g", "i", "omega", "o"]
    assert expected == list(columns(SIZES._replace(adaptive=True)))


@given(all_sizes)
def test_arrays_have_the_documented_shapes_and_are_contiguous_float64(sizes):
    n, d, k, m = sizes[:4]
    weights = born(sizes)
    gates = 3 * d + k + k * m + (k if sizes.adaptive else 0)
    rows = 3 * d if sizes.phase else d
    assert (n + m + 1, gates) == weights.w_in.shape
    assert (k, rows, 2 * m) == weights.w_heads.shape
    assert (k, m) == weights.b_z.shape
    assert all(w.dtype == np.float64 and w.flags.c_contiguous for w in weights)


@pytest.mark.parametrize("longest", [2.0, 40.0, 256.0, 800.0])
def test_product_of_both_gates_remembers_from_two_to_the_longest_memory(longest):
    sizes = SIZES._replace(longest_memory=longest)
    bias, at = born(sizes).w_in[-1], columns(sizes)
    f = FORGET_CAP * np.outer(logistic(bias[at["f_fre"]]), logistic(bias[at["f_ste"]]))
    expected = np.tile(np.geomspace(2.0, longest, sizes.states), (sizes.frequencies, 1))
    np.testing.assert_allclose(expected, 1 / (1 - f), rtol=1e-9)


def test_one_state_alone_takes_the_longest_memory():
    np.testing.assert_allclose([256.0], horizons(SIZES._replace(states=1)))


def test_biases_but_those_of_the_forget_gates_are_zero():
    sizes = SIZES._replace(adaptive=True)
    weights, at = born(sizes), columns(sizes)
    bias = weights.w_in[-1]
    assert (bias[at["f_fre"]] == FREQUENCY_BIAS).all()
    assert all((bias[at[name]] == 0).all() for name in ("g", "i", "omega", "o"))
    assert (weights.b_z == 0).all()


def test_adaptive_cell_starts_on_its_grid():
    sizes = SIZES._replace(adaptive=True)
    assert (born(sizes).w_in[:, columns(sizes)["omega"]] == 0).all()


@pytest.mark.parametrize("phase", [False, True])
def test_read_out_of_a_state_is_scaled_by_what_it_forgets(phase):
    sizes = SIZES._replace(phase=phase, outputs=200)
    heads = born(sizes).w_heads
    blocks = heads.reshape(sizes.frequencies, -1, sizes.states, 2 * sizes.outputs)
    limit = np.sqrt(6 / (sizes.head_rows + sizes.outputs))
    largest = np.abs(blocks).max(axis=(0, 3))
    expected = np.broadcast_to(limit / horizons(sizes), largest.shape)
    assert (largest <= expected).all()
    np.testing.assert_allclose(largest, expected, rtol=0.02)


def test_recurrent_weights_start_small_beside_the_input_weights():
    w_in, n = born(SIZES).w_in, SIZES.inputs
    assert np.abs(w_in[n:-1]).max() < 0.2 * np.abs(w_in[:n]).max()
    assert (np.abs(w_in[n:-1]) > 0).all()


def test_same_seed_gives_the_same_weights_and_another_does_not():
    for first, second in zip(born(SIZES, 7), born(SIZES, 7), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (born(SIZES, 7).w_in != born(SIZES, 8).w_in).any()


@pytest.mark.parametrize("name", ["inputs", "states", "frequencies", "outputs"])
def test_size_below_one_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"{name}: expected at least 1, was 0"):
        born(SIZES._replace(**{name: 0}))


@pytest.mark.parametrize("longest", [1.0, 5000.0, np.nan])
def test_memory_that_the_gates_cannot_hold_is_refused(longest):
    with pytest.raises(ConfigError, match=r"longest_memory: expected 2 to 865 ticks"):
        born(SIZES._replace(longest_memory=longest))


def test_birth_and_grids_do_not_import_torch():
    script = (
        "import sys, sfm_stream.cell, sfm_stream.cell.parameters, sfm_stream.cell.frequencies\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)  # noqa: S603
    assert done.returncode == 0


def test_package_names_load_on_first_use_and_unknown_ones_do_not_exist():
    import sfm_stream.cell as room

    assert room.SFM.__name__ == "SFM"
    assert {"SFM", "SFMCell", "SFMState"} <= set(dir(room))
    with pytest.raises(AttributeError, match="no attribute 'GRU'"):
        _ = room.GRU
