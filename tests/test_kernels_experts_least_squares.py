"""Recursive least squares equals its batch solution and survives idle streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from sfm_stream.backends import contract
from sfm_stream.kernels.experts import least_squares

# Throws away what older sources were compiled to.
contract.choose("numba", "cpu")

RIDGE = 0.7


@njit
def learn(theta, cov, x, y, noise, forgetting, ridge, work):
    for t in range(len(x)):
        least_squares.update(
            theta, cov, x[t], y[t], noise[t], forgetting, ridge, work, len(theta)
        )


def start(size):
    """Give a beginning; what stands above the diagonal's squares is not to be read."""
    squares = np.arange(size) // least_squares.BLOCK
    above = squares[:, None] < squares
    cov = np.where(above, 1e9, np.eye(size) / RIDGE)
    return np.zeros(size), cov, np.zeros(size)


def whole(cov):
    lower = np.tril(cov)
    return lower + np.tril(lower, -1).T


@pytest.mark.parametrize("size", [1, 4, 6, 8, 19])
@pytest.mark.parametrize("forgetting", [1.0, 0.99])
def test_recursion_equals_the_weighted_ridge_solution(forgetting, size):
    rng, count = np.random.default_rng(0), 300
    x, y = rng.standard_normal((count, size)), rng.standard_normal(count)
    noise = rng.uniform(0.1, 9.0, count)
    theta, cov, work = start(size)
    learn(theta, cov, x, y, noise, forgetting, RIDGE, work)
    weight = forgetting ** np.arange(count)[::-1] / noise
    normal = forgetting**count * RIDGE * np.eye(size) + (x.T * weight) @ x
    np.testing.assert_allclose(theta, np.linalg.solve(normal, x.T @ (weight * y)),
                               rtol=1e-8)  # fmt: skip
    found = np.linalg.inv(normal)
    np.testing.assert_allclose(whole(cov), found, rtol=1e-6, atol=1e-12)


def test_regressors_that_come_into_use_later_begin_as_they_were_born():
    rng, count, used, size = np.random.default_rng(4), 200, 5, 7
    x, y = rng.standard_normal((count, size)), rng.standard_normal(count)
    theta, cov, work = start(size)
    for t in range(count):
        seen = used if t < count // 2 else size
        least_squares.update(theta, cov, x[t], y[t], 1.0, 1.0, RIDGE, work, seen)
    x[: count // 2, used:] = 0.0
    normal = RIDGE * np.eye(size) + x.T @ x
    np.testing.assert_allclose(theta, np.linalg.solve(normal, x.T @ y), rtol=1e-8)
    np.testing.assert_allclose(whole(cov), np.linalg.inv(normal), rtol=1e-6, atol=1e-12)


def idle(kind, count, size):
    rng = np.random.default_rng(1)
    if kind == "nothing":
        return np.zeros((count, size))
    if kind == "constant":
        return np.ones((count, size))
    if kind == "tiny":
        return 1e-7 * rng.standard_normal((count, size))
    if kind == "bias alone":
        x = np.zeros((count, size))
        x[:, -1] = 1.0
        return x
    # Long idle stretches between bursts at the clip.
    x = 8.0 * np.sign(rng.standard_normal((count, size)))
    x[np.arange(count) % 5_000 > 50, :-1] = 0.0
    return x


@pytest.mark.parametrize(
    "kind", ["nothing", "constant", "tiny", "bias alone", "bursts"]
)
@pytest.mark.parametrize("forgetting", [0.9999, 0.9])
def test_200000_idle_labels_leave_it_finite_symmetric_and_definite(kind, forgetting):
    count, size = 200_000, 8
    x = idle(kind, count, size)
    y = np.random.default_rng(2).choice([-8.0, 0.0, 8.0], count)
    theta, cov, work = start(size)
    learn(theta, cov, x, y, np.ones(count), forgetting, RIDGE, work)
    assert np.isfinite(theta).all()
    assert np.abs(theta).max() < 1e6
    assert np.isfinite(cov).all()
    for i in range(0, size, least_squares.BLOCK):
        square = cov[i : i + least_squares.BLOCK, i : i + least_squares.BLOCK]
        np.testing.assert_array_equal(square, square.T)
    cov = whole(cov)
    cap = least_squares.CAP / RIDGE
    assert (np.diag(cov) <= cap * (1 + 1e-12)).all()
    assert np.linalg.eigvalsh(cov).min() > -1e-9 * cap


@given(st.integers(0, 2**32 - 1), st.integers(1, 11), st.floats(1e-3, 1e3))
def test_bounded_variances_make_no_direction_less_known(seed, size, cap):
    rng = np.random.default_rng(seed)
    # regressors that are nearly the same: known together, and hardly each alone
    roots = rng.standard_normal((size, size)) * np.geomspace(1e-4, 40.0, size)
    before = roots @ roots.T + 1e-9 * np.eye(size)
    after = before.copy()
    least_squares.bound_variances(after, cap, np.zeros(size), size)
    after = whole(after)
    assert (np.diag(after) <= cap * (1 + 1e-9)).all()
    tiny = 1e-9 * np.linalg.eigvalsh(before).max()
    assert np.linalg.eigvalsh(before - after).min() > -tiny
    assert np.linalg.eigvalsh(after).min() > -tiny


def test_quiet_regressors_teach_nothing():
    theta, cov, work = start(3)
    theta[:] = 1.0
    least_squares.update(theta, cov, np.full(3, 1e-6), 5.0, 1.0, 0.99, RIDGE, work, 3)
    np.testing.assert_array_equal(theta, np.ones(3))
    np.testing.assert_array_equal(whole(cov), np.eye(3) / RIDGE)


def test_what_was_idle_for_a_day_is_learned_at_once():
    truth, count = np.array([0.5, -1.0, 0.0]), 86_400
    theta, cov, work = start(3)
    still = np.zeros((count, 3))
    still[:, -1] = 1.0
    learn(theta, cov, still, np.zeros(count), np.ones(count), 0.999, RIDGE, work)
    x = np.random.default_rng(3).standard_normal((20, 3))
    x[:, -1] = 1.0
    learn(theta, cov, x, x @ truth, np.ones(len(x)), 0.999, RIDGE, work)
    np.testing.assert_allclose(theta, truth, atol=1e-2)
