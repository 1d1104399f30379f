"""What simple rules tell of a signal."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.paper.data.noisy_waves import disturbed
from sfm_stream.paper.data.waves import SAWTOOTH, SQUARE, waves
from sfm_stream.paper.tasks import rules


def test_repeated_values_give_the_paper_s_signals_away_and_nothing_else_does():
    found = rules.accuracies(waves(400, 1), waves(400, 2))
    assert found["repeats"] >= 0.99
    assert list(found) == ["repeats", *rules.STATISTICS]


def test_no_rule_solves_the_disturbed_signals():
    found = rules.accuracies(disturbed(1000, 1), disturbed(1000, 2))
    assert found["repeats"] == 0.5
    assert max(found.values()) < 0.85


@pytest.mark.parametrize("above", [SQUARE, SAWTOOTH])
def test_the_bound_that_fits_best_is_found(above):
    statistic = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 0.0])
    kinds = np.where(statistic >= 3.0, above, 1 - above)
    assert rules.fit(statistic, kinds) == (3.0, above)


@pytest.mark.parametrize("name", rules.STATISTICS)
def test_a_statistic_does_not_depend_on_scale_or_offset(name):
    value = disturbed(6, 0).value
    statistic = rules.STATISTICS[name]
    np.testing.assert_allclose(statistic(3.0 * value - 7.0), statistic(value))


@pytest.mark.parametrize("name", rules.STATISTICS)
def test_a_signal_that_never_moves_has_a_statistic(name):
    assert rules.STATISTICS[name](np.full((1, 9), 2.0)).tolist() == [0.0]


def test_kurtosis_is_least_for_two_values():
    value = np.array([[1.0, -1.0] * 6, np.linspace(-1, 1, 12)])
    two, many = rules.STATISTICS["kurtosis"](value)
    assert two == pytest.approx(1.0)
    assert 1.7 < many < 1.9
