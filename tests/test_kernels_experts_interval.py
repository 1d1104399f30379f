"""The interval holds as many truths as it promises."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from sfm_stream.kernels.experts import interval
from sfm_stream.state.places import CORRECTION, LOG_WIDTH, SIGHT, TRACKERS
from tests.kernels_rig import Rig

COUNT = 6_000
LEVELS = (0.5, 0.8, 0.9, 0.99)
ENOUGH = int(interval.ENOUGH)


class Widths:
    """The intervals of one horizon, driven by errors alone."""

    def __init__(self, levels=LEVELS):
        rig = Rig({"forecast": {"levels": list(levels)}})
        self.at = {name: rig.view(name)[0] for name in (
            "interval", "spread_theta", "spread_cov", "trackers")}  # fmt: skip
        self.levels = np.array(levels)
        self.usual = np.array([NormalDist().inv_cdf(0.5 + p / 2) for p in levels])
        self.widths = np.zeros((len(levels), TRACKERS + 1))
        self.sight, self.work = np.zeros((2, SIGHT))
        self.moves = np.zeros(24)

    def say(self):
        """Give the half-widths [L]."""
        at = self.at
        interval.look_at_moves(self.moves, self.sight)
        interval.say(
            at["interval"], at["spread_theta"], at["trackers"], self.usual, self.sight,
            self.widths,
        )  # fmt: skip
        return self.widths[:, interval.BOTH].copy()

    def learn(self, error, wait=1):
        """Take the error of the forecast the widths were said of."""
        at = self.at
        interval.update(
            at["interval"], at["spread_theta"], at["spread_cov"], at["trackers"],
            self.levels, np.full(TRACKERS, 0.5), self.sight, self.widths, error, wait,
            self.work,
        )  # fmt: skip
        self.moves[:] = np.concatenate([[np.clip(error, -8, 8)], self.moves[:-1]])


def inside(errors):
    """Say which errors lay inside the intervals stated before each [T, L]."""
    widths, found = Widths(), []
    for error in errors:
        found.append(np.append(widths.say(), abs(error)))
        widths.learn(error)
    said = np.array(found)
    assert np.isnan(said[:ENOUGH, :-1]).all()
    assert np.isfinite(said).all(1)[ENOUGH:].all()
    assert (np.diff(said[ENOUGH:, :-1], axis=1) >= 0).all()
    return said[ENOUGH:, -1:] <= said[ENOUGH:, :-1]


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


@pytest.mark.parametrize(
    "errors", [gaussian, heavy, waxing_and_waning, jumping, tied, mostly_zero]
)
def test_coverage_is_the_level_whatever_the_errors(errors):
    covered = inside(errors(np.random.default_rng(0))).mean(0)
    # Where four of five errors are zero, an interval of no width holds them.
    least = 0.8 if errors is mostly_zero else 0.0
    np.testing.assert_allclose(covered, np.maximum(LEVELS, least), atol=0.015)


def test_coverage_holds_on_every_long_stretch():
    covered = inside(gaussian(np.random.default_rng(1)))[:, LEVELS.index(0.9)]
    stretches = covered[: len(covered) // 500 * 500].reshape(-1, 500).mean(1)
    np.testing.assert_allclose(stretches, 0.9, atol=0.05)


def test_intervals_of_calm_and_storm_are_narrower_than_of_one_width():
    errors = waxing_and_waning(np.random.default_rng(2))
    widths, scores, of_one = Widths((0.9,)), [], []
    constant = np.quantile(np.abs(errors), 0.9)
    for error in errors:
        (width,) = widths.say()
        widths.learn(error)
        for said, into in ((width, scores), (constant, of_one)):
            into.append(2 * said + 20 * max(abs(error) - said, 0.0))
    assert np.mean(scores[ENOUGH:]) < 0.7 * np.mean(of_one[ENOUGH:])


def test_widths_stay_finite_on_errors_that_vanish_and_explode():
    errors = np.concatenate([np.zeros(2_000), np.full(50, 1e9), np.zeros(2_000)])
    widths = Widths()
    for error in errors:
        widths.say()
        widths.learn(error)
        for name, state in widths.at.items():
            assert np.isfinite(state).all(), name
    assert np.isfinite(widths.say()).all()


def test_scores_of_intervals_are_their_definitions():
    rng = np.random.default_rng(3)
    levels = np.array([0.5, 0.8, 0.9])
    for truth in rng.standard_normal(50) * 2:
        low, high = -np.sort(rng.random(3)), np.sort(rng.random(3))
        bounds = np.concatenate([[0.1], low[::-1], high])
        below, above = max(low[2] - truth, 0), max(truth - high[2], 0)
        expected = high[2] - low[2] + 20 * (below + above)
        assert interval.winkler(bounds, levels, truth) == pytest.approx(expected)
        tails = (1 - levels) / 2
        shares = np.concatenate([[0.5], tails[::-1], 1 - tails])
        away = truth - bounds
        pinball = np.maximum(shares * away, (shares - 1) * away)
        found = interval.crps(bounds, levels, truth)
        assert found == pytest.approx(2 * pinball.mean())


@pytest.mark.parametrize("error", [0.0, 50.0])
def test_what_comes_late_moves_the_widths_by_the_root_of_that_less(error):
    """After as many scores, a step at a wait of 16 is a quarter of one at a wait of 1."""
    steps = {}
    for wait in (1, 16):
        widths = Widths()
        for one in np.random.default_rng(5).standard_normal(ENOUGH + 30):
            widths.say()
            widths.learn(one)
        widths.say()
        before = widths.at["trackers"].copy()
        widths.learn(error, wait)
        steps[wait] = widths.at["trackers"] - before
    for part, count in ((LOG_WIDTH, TRACKERS), (CORRECTION, 1)):
        now, late = (steps[wait][:, part, :count] for wait in (1, 16))
        assert (np.abs(now) > 1e-4).all()
        np.testing.assert_allclose(late, now / 4, rtol=1e-9)
