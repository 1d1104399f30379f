"""Peers get intervals that hold what they promise, scored as ours are."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.evaluate.widths import Widths, judge
from sfm_stream.kernels.experts import interval
from sfm_stream.kernels.experts.interval import ENOUGH

LEVELS = (0.5, 0.8, 0.9)


def test_intervals_of_a_storm_hold_their_levels():
    rng = np.random.default_rng(0)
    storm = np.exp(1.5 * np.sin(np.arange(6_000) / 200)) * rng.standard_normal(6_000)
    widths, said = Widths(1, LEVELS), []
    for error in storm:
        said.append(widths.say()[0])
        widths.learn(np.array([0]), np.array([1]), np.array([error]), said[-1][None])
    assert np.isnan(said[:ENOUGH]).all()
    known = np.array(said[ENOUGH:])
    assert (np.diff(known, axis=1) >= 0).all()
    held = (np.abs(storm[ENOUGH:, None]) <= known).mean(0)
    np.testing.assert_allclose(held, LEVELS, atol=0.02)


def test_scores_are_those_of_our_own_intervals():
    rng = np.random.default_rng(1)
    error = rng.standard_normal(40)
    said = np.sort(rng.random((40, 3)), axis=1)
    said[:5] = np.nan
    found = judge(LEVELS, error, said)
    assert (found.covered[:5] == -1).all()
    assert np.isnan(found.winkler[:5]).all()
    for i in range(5, 40):
        bounds = np.concatenate([[0.0], -said[i][::-1], said[i]])
        levels, truth = np.array(LEVELS), error[i]
        assert found.covered[i] == (abs(truth) <= said[i, -1])
        ours = (
            interval.winkler(bounds, levels, truth),
            interval.crps(bounds, levels, truth),
        )
        assert (found.winkler[i], found.crps[i]) == pytest.approx(ours)


def test_an_error_too_large_to_square_leaves_the_widths_known():
    widths = Widths(1, LEVELS)
    for error in [1.0] * 30 + [1e300] + [1.0] * 30:
        widths.learn(np.array([0]), np.array([1]), np.array([error]), widths.say())
    assert (widths.say() < 10).all()


def test_late_errors_of_a_stream_with_bursts_leave_the_widths_in_proportion():
    rng = np.random.default_rng(2)
    wait, count = 400, 20_000
    # quiet for long, then a burst: all forecasts that wait miss together
    burst = np.where(np.arange(count) % 1_500 < 300, 30.0, 0.01)
    errors = burst * rng.standard_normal(count)
    widths, said = Widths(1, LEVELS), []
    for at, _ in enumerate(errors):
        said.append(widths.say()[0])
        if at >= wait:
            late = at - wait
            widths.learn(
                np.array([0]), np.array([wait]), errors[[late]], said[late][None]
            )
    assert np.nanmax(said) < 1e4 * errors.std()
    held = np.abs(errors[5_000:]) <= np.array(said)[5_000:, -1]
    assert 0.75 < held.mean() < 0.95
