from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.daemon.views.figures import FEW, KEEP, Figures


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


def test_recent_figures_let_each_score_count_for_less_with_each_further_one():
    rows, horizons, table, bounds = made(2_500)
    figures = folded([(rows * 0, horizons * 0, table, bounds)])
    truth, mean, naive, *_ = table
    weight = KEEP ** np.arange(2_500)[::-1]
    ratio = (weight * np.square(truth - mean)).sum() / (
        weight * np.square(truth - naive)
    ).sum()
    assert figures.skill(lately=True)[0, 0] == pytest.approx(1 - ratio)


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
