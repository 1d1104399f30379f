"""The interval holds as many truths as it promises."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.kernels import interval
from tests.kernels_rig import Rig

COUNT = 6_000
PLACES = Rig().bank.layout.places


def born():
    return np.zeros(next(p.size for p in PLACES if p.name == "interval"))


def coverage(errors, level):
    """Give the share of errors inside the interval stated before each."""
    state, inside = born(), []
    for error in errors:
        width = interval.half_width(state)
        covered = -1 if np.isnan(width) else int(abs(error) <= width)
        interval.update(state, error, covered, level, 1)
        inside.append(covered)
    stated = np.array(inside)
    assert (stated[: int(interval.ENOUGH)] == -1).all()
    assert (stated[int(interval.ENOUGH) :] >= 0).all()
    return stated[int(interval.ENOUGH) :]


def gaussian(rng):
    return rng.standard_normal(COUNT)


def heavy(rng):
    return rng.standard_t(2.5, COUNT)


def waxing_and_waning(rng):
    t = np.arange(COUNT)
    return rng.standard_normal(COUNT) * np.exp(2 * np.sin(2 * np.pi * t / 1_500))


def jumping(rng):
    return rng.standard_normal(COUNT) * np.where(np.arange(COUNT) < COUNT // 2, 1, 50)


def tied(rng):
    return rng.choice([-0.1, 0.0, 0.1], COUNT, p=[0.3, 0.4, 0.3])


def mostly_zero(rng):
    return rng.choice([-0.1, 0.0, 0.1], COUNT, p=[0.1, 0.8, 0.1])


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
@pytest.mark.parametrize(
    "errors", [gaussian, heavy, waxing_and_waning, jumping, tied, mostly_zero]
)
def test_coverage_is_the_level_whatever_the_errors(errors, level):
    covered = coverage(errors(np.random.default_rng(0)), level)
    if errors is mostly_zero and level <= 0.8:
        # An interval of no width at all already holds four of five.
        assert covered.mean() >= 0.8
    else:
        assert covered.mean() == pytest.approx(level, abs=0.012)


def test_coverage_holds_on_every_long_stretch():
    covered = coverage(gaussian(np.random.default_rng(1)), 0.9)
    stretches = covered[: len(covered) // 500 * 500].reshape(-1, 500).mean(1)
    np.testing.assert_allclose(stretches, 0.9, atol=0.05)


def test_width_stays_finite_on_errors_that_vanish_and_explode():
    errors = np.concatenate([np.zeros(2_000), np.full(50, 1e100), np.zeros(2_000)])
    state = born()
    for error in errors:
        width = interval.half_width(state)
        covered = -1 if np.isnan(width) else int(abs(error) <= width)
        interval.update(state, error, covered, 0.9, 1)
        assert np.isfinite(state).all()
    assert np.isfinite(interval.half_width(state))
