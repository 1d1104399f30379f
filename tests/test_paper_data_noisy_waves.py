"""Signals that no rule on repeated values tells apart."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.errors import ConfigError
from sfm_stream.paper.data.noisy_waves import PERIOD, disturbed
from sfm_stream.paper.data.waves import SAWTOOTH, SQUARE, repeats


@pytest.fixture(scope="module")
def many():
    return disturbed(2000, 0)


def test_no_value_repeats(many):
    assert (np.diff(many.value, axis=-1) != 0).all()
    assert (repeats(many.value) == many.label).mean() == 0.5


def test_both_kinds_have_the_same_mean_power(many):
    power = many.value.var(-1)
    # squares of duty d have 4 d (1 - d) of a full one's, 11/12 in the mean
    ratio = power[many.label == SAWTOOTH].mean() / power[many.label == SQUARE].mean()
    assert 0.9 < ratio < 1.2


def test_signals_differ_in_offset_and_noise(many):
    offset = many.value.mean(-1)
    assert offset.std() > 0.4
    # the median step is all noise, as the signals move slowly beside it
    noise = np.median(np.abs(np.diff(many.value, axis=-1)), axis=-1) / 0.95
    assert 0.18 < np.quantile(noise, 0.02) < 0.25
    assert 0.55 < np.quantile(noise, 0.98) < 0.7


def test_sawtooths_rise_and_fall_equally_often(many):
    saw = many.value[many.label == SAWTOOTH]
    steps = np.diff(saw, axis=-1)
    # the longest step is against the slope
    longest = np.take_along_axis(steps, np.abs(steps).argmax(-1)[:, None], -1)
    assert abs((longest > 0).mean() - 0.5) < 0.05


def test_a_signal_has_several_periods(many):
    spans = many.time[:, -1]
    assert (spans / np.mean(PERIOD) > 2).mean() > 0.8


def test_a_seed_decides_the_signals():
    first, second, other = (disturbed(4, seed, samples=9) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.value, second.value)
    assert not np.array_equal(first.value, other.value)
    assert first.value.shape == (4, 9)


def test_a_count_that_cannot_be_halved_is_refused():
    with pytest.raises(ConfigError, match="an even number from 2, was 3"):
        disturbed(3, 0)
