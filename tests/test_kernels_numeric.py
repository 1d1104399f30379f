"""The arithmetic that all compiled stages share."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from sfm_stream import kernels
from sfm_stream.kernels import numeric

# Throws away what older sources were compiled to.
kernels.choose("numba", "cpu")


@njit(fastmath=numeric.FAST)
def squash(x, out):
    for i in range(len(x)):
        out[i] = numeric.tanh(x[i])


@njit(fastmath=numeric.FAST)
def squash_half(x, out):
    for i in range(len(x)):
        out[i] = numeric.logistic(x[i])


def through(function, x):
    out = np.empty_like(x)
    function(x, out)
    return out


def test_tanh_is_within_3e7_of_libm_and_never_beyond_one():
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


def test_logistic_is_within_2e7_and_inside_zero_and_one():
    x = np.linspace(-40, 40, 100_001).astype(np.float32)
    found = through(squash_half, x)
    assert np.abs(found - 1 / (1 + np.exp(-x.astype(np.float64)))).max() < 2e-7
    assert found.min() >= 0.0
    assert found.max() <= 1.0


@pytest.mark.parametrize("function", [squash, squash_half])
def test_nan_stays_nan(function):
    x = np.array([np.nan, 1.0, np.nan, -3.0], np.float32)
    assert np.isnan(through(function, x)).tolist() == [True, False, True, False]


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 8, 9, 17, 24])
@pytest.mark.parametrize("width", [1, 5, 32, 33])
def test_products_equal_numpys_for_any_number_of_rows(rows, width):
    rng = np.random.default_rng(rows)
    w = rng.standard_normal((rows, width)).astype(np.float32)
    u, v = rng.standard_normal(rows), rng.standard_normal(width)
    u, v = u.astype(np.float32), v.astype(np.float32)
    added = np.ones(width, np.float32)
    numeric.weighted_rows(u, w, added)
    np.testing.assert_allclose(added, 1 + u.astype(float) @ w, rtol=1e-5, atol=1e-5)
    product = np.ones(rows, np.float32)
    numeric.row_products(w, v, product)
    np.testing.assert_allclose(product, w.astype(float) @ v, rtol=1e-5, atol=1e-5)
