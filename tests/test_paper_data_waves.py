"""The signals of the paper's first task."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.errors import ConfigError
from sfm_stream.paper.data.waves import SAWTOOTH, SQUARE, repeats, waves


@pytest.fixture(scope="module")
def many():
    return waves(2000, 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_rule_on_repeated_values_solves_the_task(seed):
    drawn = waves(400, seed)
    assert (repeats(drawn.value) == drawn.label).mean() >= 0.99


def test_kinds_are_equally_many(many):
    assert np.bincount(many.label).tolist() == [1000, 1000]


def test_a_square_holds_two_opposite_values(many):
    size = np.abs(many.value[many.label == SQUARE])
    np.testing.assert_array_equal(size, np.broadcast_to(size[:, :1], size.shape))


def test_amplitudes_spans_and_duties_fill_their_ranges(many):
    square = many.value[many.label == SQUARE]
    amplitude = np.abs(square[:, 0])
    assert 0.75 <= amplitude.min() < 0.76
    assert 1.99 < amplitude.max() <= 2.0
    assert 14.0 < many.time[:, -1].min() < 16.0
    assert 124.0 < many.time[:, -1].max() <= 125.0
    np.testing.assert_allclose(np.median(many.time[:, -1]), 70.0, atol=3.0)
    # the whole class is high as often as low
    assert abs((square > 0).mean() - 0.5) < 0.03


def test_a_sawtooth_rises_at_its_slope_and_falls_once_a_period(many):
    saw = many.label == SAWTOOTH
    step = np.diff(many.value[saw], axis=-1)
    slope = step / np.diff(many.time[saw], axis=-1)
    steepest = np.where(step > 0, slope, np.nan)
    np.testing.assert_allclose(
        np.nanmin(steepest, axis=-1), np.nanmax(steepest, axis=-1), rtol=1e-4
    )
    # 2a / P, with a of U(.75, 2) and P of U(15, 125)
    rate = np.nanmedian(steepest, axis=-1)
    assert 1.5 / 125 <= rate.min() < 0.02
    assert 0.2 < rate.max() <= 4 / 15
    falls = (step < 0).sum(-1)
    assert falls.max() <= 125 / 15 + 1
    # half show less than a period, and of those two in five no fall
    np.testing.assert_allclose((falls == 0).mean(), 0.19, atol=0.04)


def test_times_are_irregular_and_ascending(many):
    assert (many.time >= 0).all()
    gaps = many.elapsed
    assert (gaps >= 0).all()
    np.testing.assert_allclose(gaps.cumsum(-1), many.time, atol=1e-9)
    # gaps of sorted uniform times are as spread as they are long
    spread = gaps.std(-1) / gaps.mean(-1)
    np.testing.assert_allclose(spread.mean(), 1.0, atol=0.02)


def test_inputs_are_value_and_time(many):
    assert many.inputs.shape == (2000, 500, 2)
    np.testing.assert_array_equal(many.inputs[..., 0], many.value)
    np.testing.assert_array_equal(many.inputs[..., 1], many.time)


def test_a_seed_decides_the_signals():
    first, second, other = (waves(4, seed, samples=9) for seed in (1, 1, 2))
    for a, b, c in zip(first, second, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == c.shape
    assert not np.array_equal(first.value, other.value)


@pytest.mark.parametrize("count", [0, 3])
def test_a_count_that_cannot_be_halved_is_refused(count):
    with pytest.raises(ConfigError, match=f"an even number from 2, was {count}"):
        waves(count, 0)


def test_no_samples_are_refused():
    with pytest.raises(ConfigError, match="samples: expected at least 1, was 0"):
        waves(2, 0, samples=0)
