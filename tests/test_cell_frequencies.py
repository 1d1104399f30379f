"""The frequency grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.cell.frequencies import frequencies, period, spacing
from sfm_stream.errors import ConfigError

GRIDS = ("paper", "half", "log")


def test_paper_grid_is_two_pi_k_over_k_count_from_one():
    expected = 2 * np.pi * np.array([1, 2, 3, 4]) / 4
    np.testing.assert_allclose(expected, frequencies("paper", 4, 256.0))


def test_paper_grid_ends_in_dc():
    assert np.cos(frequencies("paper", 7, 256.0)[-1] * 3) == pytest.approx(1.0)


def test_half_grid_starts_at_dc_and_stays_below_nyquist():
    expected = np.pi * np.array([0, 1, 2, 3, 4]) / 5
    np.testing.assert_allclose(expected, frequencies("half", 5, 256.0))


def test_log_grid_is_dc_then_periods_from_longest_to_two():
    omega = frequencies("log", 6, 512.0)
    periods = 2 * np.pi / omega[1:]
    assert omega[0] == 0.0
    np.testing.assert_allclose([512.0, 128.0, 32.0, 8.0, 2.0], periods)


def test_log_grid_of_one_is_dc_alone():
    np.testing.assert_array_equal([0.0], frequencies("log", 1, 64.0))


def test_log_grid_of_two_is_dc_and_the_longest_period():
    np.testing.assert_allclose([0.0, 2 * np.pi / 64], frequencies("log", 2, 64.0))


@given(st.sampled_from(GRIDS), st.integers(1, 40), st.floats(2.5, 1e6))
def test_every_grid_has_k_distinct_float64_frequencies(grid, count, longest):
    omega = frequencies(grid, count, longest)
    assert omega.dtype == np.float64
    assert omega.shape == (count,)
    assert np.unique(omega).size == count


@given(st.sampled_from(GRIDS), st.integers(1, 40), st.floats(2.5, 1e6))
def test_adaptive_frequencies_cannot_change_places(grid, count, longest):
    omega = np.sort(frequencies(grid, count, longest))
    reach = spacing(omega)
    assert reach.shape == (count,)
    assert (reach > 0).all()
    assert ((omega + reach)[:-1] <= (omega - reach)[1:] + 1e-12).all()


def test_spacing_of_the_half_grid_is_half_its_step():
    np.testing.assert_allclose(
        np.full(8, np.pi / 16), spacing(frequencies("half", 8, 256.0))
    )


def test_the_period_of_a_frequency_is_in_ticks_and_the_constant_has_none():
    found = [period(omega) for omega in frequencies("log", 3, 256.0).tolist()]
    assert found == [None, pytest.approx(256.0), pytest.approx(2.0)]


def test_spacing_of_one_frequency_is_half_the_band():
    np.testing.assert_allclose([np.pi / 2], spacing(np.array([0.0])))


def test_spacing_does_not_depend_on_the_order():
    omega = frequencies("log", 5, 100.0)
    np.testing.assert_array_equal(spacing(omega)[::-1], spacing(omega[::-1]))


def test_unknown_grid_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"half, log, paper, was 'mel'; use log"):
        frequencies("mel", 4, 256.0)


def test_grid_of_no_frequency_is_refused():
    with pytest.raises(ConfigError, match="at least 1, was 0"):
        frequencies("half", 0, 256.0)


@pytest.mark.parametrize("longest", [2.0, -1.0, np.inf, np.nan])
def test_longest_period_that_no_tick_can_show_is_refused(longest):
    with pytest.raises(ConfigError, match=r"longest_period: expected more than 2"):
        frequencies("log", 4, longest)
