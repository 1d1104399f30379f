from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.daemon.views.figures import (
    BLOCK,
    BLOCKS,
    FEW,
    LARGEST,
    LATELY,
    Figures,
)


def made(count, seed=0):
    """Scores of 3 rows and 2 horizons, with bounds."""
    rng = np.random.default_rng(seed)
    truth, mean, naive = rng.normal(size=(3, count))
    lower, upper = mean - 1, mean + 1
    covered = (lower <= truth) & (truth <= upper)
    beyond = np.maximum(np.abs(truth - mean) - 1, 0)
    table = np.stack([truth, mean, naive, covered, 2 + 20 * beyond])
    at = rng.integers(0, 3, count), rng.integers(0, 2, count)
    return *at, table, np.stack([lower, upper], -1)


def folded(parts):
    figures = Figures(2)
    for part in parts:
        figures.add(*part)
    return figures


def test_figures_since_the_start_are_the_means_over_all_scores():
    rows, horizons, table, bounds = made(3_000)
    figures = folded([(rows, horizons, table, bounds)])
    mine = (rows == 1) & (horizons == 1)
    truth, mean, naive, covered, _ = table[:, mine]
    lower, upper = bounds[mine].T
    ratio = np.square(truth - mean).sum() / np.square(truth - naive).sum()
    assert figures.scored[1, 1] == mine.sum()
    assert figures.skill()[1, 1] == pytest.approx(1 - ratio)
    assert figures.coverage()[1, 1] == pytest.approx(covered.mean())
    miss = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
    winkler = (upper - lower + 20 * miss).mean()
    assert figures.winkler()[1, 1] == pytest.approx(winkler)


@pytest.mark.parametrize("count", [2_500, 2_600, 2_601, 999, 4_199])
def test_recent_figures_are_of_the_latest_scores_alone(count):
    rows, horizons, table, bounds = made(count)
    figures = folded([(rows * 0, horizons * 0, table, bounds)])
    left = count - max(-(-count // BLOCK) - BLOCKS, 0) * BLOCK
    assert min(count, LATELY - BLOCK) <= left <= LATELY
    truth, mean, naive, *_ = table[:, -left:]
    ratio = np.square(truth - mean).sum() / np.square(truth - naive).sum()
    assert figures.skill(lately=True)[0, 0] == pytest.approx(1 - ratio)


def alone(table, bounds):
    """Give scores of one row and horizon."""
    nothing = np.zeros(table.shape[1], int)
    return nothing, nothing, table, bounds


def spoilt(table, at, value):
    """Have a truth absurd, which is the last value of the next score."""
    spoilt = table.copy()
    spoilt[0, at] = spoilt[1:3, at + 1] = value
    spoilt[4, at] = 20 * abs(value)
    return spoilt


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e300, -1e300, 1e20, 1e8, np.inf, np.nan])
def test_an_absurd_value_is_in_no_figure_and_counted(value):
    _, _, table, bounds = made(900)
    bad = spoilt(table, 700, value)
    parts = [alone(bad[:, a:b], bounds[a:b]) for a, b in pairwise(range(0, 901, 20))]
    figures = folded(parts)
    fine = np.delete(table, [700, 701], axis=1), np.delete(bounds, [700, 701], axis=0)
    without = folded([alone(*fine)])
    assert (figures.scored[0, 0], figures.absurd[0, 0]) == (898, 2)
    for lately in (False, True):
        for name in ("skill", "coverage", "winkler"):
            np.testing.assert_allclose(
                getattr(figures, name)(lately=lately)[0, 0],
                getattr(without, name)(lately=lately)[0, 0],
            )
    assert figures.since_start("absolute")[0, 0] == pytest.approx(
        without.since_start("absolute")[0, 0]
    )


def test_a_value_that_is_only_large_leaves_recent_figures_with_its_block():
    _, _, table, bounds = made(LATELY + BLOCK)
    figures = folded([alone(spoilt(table, 50, 1e4), bounds)])
    clean = folded([alone(table, bounds)])
    assert figures.scored[0, 0] == LATELY + BLOCK
    assert abs(figures.skill()[0, 0]) < 1e-3 < abs(clean.skill()[0, 0])
    lately = figures.skill(lately=True)[0, 0]
    assert lately == clean.skill(lately=True)[0, 0]


def test_a_stream_whose_values_stay_larger_is_followed():
    _, _, table, bounds = made(600)
    table[:3, 300:] *= 1e12
    parts = [alone(table[:, a : a + 1], bounds[a : a + 1]) for a in range(600)]
    assert folded(parts).absurd[0, 0] < 5


@pytest.mark.filterwarnings("error")
def test_sums_stay_finite_whatever_comes_first():
    _, _, table, bounds = made(300)
    figures = folded([alone(spoilt(table, 0, 1e300), bounds * 1e305)])
    assert figures.absurd[0, 0] == 2
    assert abs(figures.skill()[0, 0]) < 10
    huge = folded([alone(table * LARGEST / 100, bounds)])
    assert np.isfinite(huge.skill()[0, 0])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 600), max_size=5), st.integers(0, 99))
def test_however_scores_come_together_the_figures_are_the_same(cuts, seed):
    rows, horizons, table, bounds = made(600, seed)
    edges = [0, *sorted(cuts), 600]
    parts = [
        (rows[a:b], horizons[a:b], table[:, a:b], bounds[a:b])
        for a, b in pairwise(edges)
    ]
    one, other = folded([made(600, seed)]), folded(parts)
    for lately in (False, True):
        for name in ("skill", "coverage", "winkler"):
            np.testing.assert_allclose(
                getattr(one, name)(lately=lately), getattr(other, name)(lately=lately)
            )
    assert (one.places == other.places).all()


def test_nothing_is_said_before_there_are_enough_scores():
    rows, horizons, table, bounds = made(FEW)
    short = folded([(rows * 0, horizons * 0, table, bounds)])
    assert not np.isnan(short.skill()[0, 0])
    one_less = rows[1:] * 0, horizons[1:] * 0, table[:, 1:], bounds[1:]
    assert np.isnan(folded([one_less]).skill()[0, 0])


def test_truths_are_counted_by_where_in_the_interval_they_fell():
    truth = np.array([-1.0, 0.0, 0.05, 0.55, 0.999, 1.5, 9.0])
    table = np.stack([truth, truth, truth, truth * 0 - 1, truth * np.nan])
    bounds = np.tile([0.0, 1.0], (7, 1))
    bounds[6] = np.nan
    figures = folded([(np.zeros(7, int), np.zeros(7, int), table, bounds)])
    assert figures.places[0, 0].tolist() == [1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    assert np.isnan(figures.coverage()[0, 0])
