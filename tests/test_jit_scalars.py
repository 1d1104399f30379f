"""The arithmetic that all compiled stages share."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from sfm_stream.backends import contract
from sfm_stream.jit import scalars
from sfm_stream.jit.lanes import LANES, load, store

# Throws away what older sources were compiled to.
contract.choose("numba", "cpu")


@njit(fastmath=scalars.FAST)
def squash(x, out):
    for i in range(len(x)):
        out[i] = scalars.tanh(x[i])


@njit(fastmath=scalars.FAST)
def squash_half(x, out):
    for i in range(len(x)):
        out[i] = scalars.logistic(x[i])


@njit(fastmath=scalars.FAST)
def squash_lanes(x, out):
    for i in range(0, len(x), LANES):
        left = len(x) - i
        store(out, i, left, scalars.tanh_lanes(load(x, i, left)))


@njit(fastmath=scalars.FAST)
def squash_half_lanes(x, out):
    for i in range(0, len(x), LANES):
        left = len(x) - i
        store(out, i, left, scalars.logistic_lanes(load(x, i, left)))


def through(function, x):
    out = np.empty_like(x)
    function(x, out)
    return out


@pytest.mark.parametrize("squash", [squash, squash_lanes])
def test_tanh_is_within_3e7_of_libm_and_never_beyond_one(squash):
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [np.linspace(-12, 12, 400_001), rng.standard_normal(100_000) * 1e-3,
         [1e-30, 0.0, 1e30, np.inf, -np.inf]]
    ).astype(np.float32)  # fmt: skip
    found = through(squash, x)
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(found - exact).max() < 3e-7
    assert np.abs(found).max() <= 1.0
    np.testing.assert_array_equal(found, -through(squash, -x))


@pytest.mark.parametrize("squash_half", [squash_half, squash_half_lanes])
def test_logistic_is_within_2e7_and_inside_zero_and_one(squash_half):
    x = np.linspace(-40, 40, 100_001).astype(np.float32)
    found = through(squash_half, x)
    assert np.abs(found - 1 / (1 + np.exp(-x.astype(np.float64)))).max() < 2e-7
    assert found.min() >= 0.0
    assert found.max() <= 1.0


@pytest.mark.parametrize(
    "function", [squash, squash_half, squash_lanes, squash_half_lanes]
)
def test_nan_stays_nan(function):
    x = np.array([np.nan, 1.0, np.nan, -3.0], np.float32)
    assert np.isnan(through(function, x)).tolist() == [True, False, True, False]
