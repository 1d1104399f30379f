"""Eight numbers at once do what numpy does with each."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from sfm_stream.jit.lanes import (
    LANES,
    fma,
    hold,
    load,
    load_or,
    root,
    splat,
    spread,
    store,
    total,
    totals,
)

X = np.array([3.0, -1.5, 0.25, 8.0, -0.125, 2.0, 1.0, -4.0, 5.0], np.float32)
Y = np.array([0.5, 2.0, -3.0, 1.0, 4.0, -1.0, 6.0, 7.0, 9.0], np.float32)
TWO = np.float32(2.0)


@njit
def arithmetic(x, y, out):
    a, b = load(x, 0, LANES), load(y, 0, LANES)
    store(out, 0, LANES, (a + b) * TWO - a / b + TWO * fma(a, b, splat(TWO)))


@njit
def part(x, left, filler, out):
    store(out, 0, left, load_or(x, 1, left, filler) + load(x, 0, left))
    return total(load(x, 0, left)), total(load_or(x, 0, left, filler))


@njit
def held(x, out):
    store(out, 0, LANES, hold(load(x, 0, LANES), -TWO, TWO))


@njit
def roots(x, out):
    store(out, 0, LANES, root(load(x, 0, LANES)))


@njit
def folded(rows, out):
    flat = rows.reshape(rows.size)
    store(out, 0, LANES, totals(
        load(flat, 0, 8), load(flat, 8, 8), load(flat, 16, 8), load(flat, 24, 8),
        load(flat, 32, 8), load(flat, 40, 8), load(flat, 48, 8), spread(flat, 3),
    ))  # fmt: skip


@njit
def misread(x):
    return total(load(x, 0, LANES))


def test_operators_are_those_of_numpy_between_lanes_and_with_numbers():
    out = np.zeros(8, np.float32)
    arithmetic(X, Y, out)
    x, y = X[:8].astype(float), Y[:8].astype(float)
    expected = (x + y) * 2 - x / y + 2 * (x * y + 2)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("left", range(1, 9))
def test_a_part_is_read_and_written_and_nothing_beyond(left):
    out = np.full(8, 99.0, np.float32)
    zeros, ones = part(X, left, np.float32(1.0), out)
    np.testing.assert_array_equal(out[:left], X[1 : left + 1] + X[:left])
    assert (out[left:] == 99.0).all()
    assert zeros == X[:left].sum()
    assert ones == X[:left].sum() + (LANES - left)


def test_held_lanes_stay_between_the_bounds_and_nan_stays_nan():
    out = np.zeros(8, np.float32)
    held(np.where(np.arange(9) == 4, np.float32(np.nan), X), out)
    expected = np.clip(X[:8], -2, 2)
    expected[4] = np.nan
    np.testing.assert_array_equal(out, expected)


def test_roots_are_those_of_numpy():
    out = np.zeros(8, np.float32)
    roots(np.abs(X), out)
    np.testing.assert_allclose(out, np.sqrt(np.abs(X[:8])), rtol=1e-7)


def test_totals_are_the_sums_of_eight_values_in_order():
    rows = np.arange(56, dtype=np.float32).reshape(7, 8)
    out = np.zeros(8, np.float32)
    folded(rows, out)
    np.testing.assert_array_equal(out, [*rows.sum(1), 8 * rows[0, 3]])


@pytest.mark.parametrize(
    "array", [X.astype(np.float64), X[::2], X.reshape(3, 3)[:, :2]]
)
def test_other_than_contiguous_float32_is_refused_by_the_compiler(array):
    with pytest.raises(TypingError):
        misread(array)
