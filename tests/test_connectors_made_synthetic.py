from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError
from sfm_stream.events.blocks import concatenate

SHAPES = ["tones", "chirp", "regimes", "square", "sawtooth"]


def opened(signal="tones", ticks=5000, period="1s", **others):
    own = {"signal": signal, "ticks": ticks, **others}
    feed = {"connector": "synthetic", "period": period, "options": own}
    return open_feed(from_tree({"feed": feed}))


def values(feed, size=512, after=0):
    return concatenate(list(feed.blocks(size, after))).values[:, 0]


@pytest.mark.parametrize("signal", SHAPES)
def test_signal_is_the_same_from_any_tick_on_and_in_any_blocks(signal):
    feed = opened(signal)
    whole = concatenate(list(feed.blocks(5000)))
    for size, after in ((1, 4990), (700, 0), (1024, 1), (333, 2047), (9999, 4999)):
        part = concatenate(list(feed.blocks(size, after)))
        np.testing.assert_array_equal(part.values, whole.values[after:])
        np.testing.assert_array_equal(part.time, whole.time[after:])
    assert list(feed.blocks(10, 5000)) == []


@pytest.mark.parametrize("signal", SHAPES)
def test_signal_depends_on_its_seed_and_stays_bounded(signal):
    quiet = values(opened(signal, seed=1, noise=0))
    assert not np.array_equal(quiet, values(opened(signal, seed=2, noise=0)))
    assert np.isfinite(quiet).all()
    assert np.abs(quiet).max() < 4
    assert quiet.std() > 0.3


def test_noise_has_the_deviation_asked_for():
    difference = values(opened(noise=0.5)) - values(opened(noise=0))
    assert difference.std() == pytest.approx(0.5, rel=0.05)


def test_tones_do_not_jump_between_chunks():
    for signal in ("tones", "chirp"):
        smooth = values(opened(signal, noise=0, ticks=20_000))
        bend = np.abs(np.diff(smooth, 2))
        border = bend[1022::1024]
        assert border.max() <= bend.max()
        assert bend.max() < 2.0


def test_regimes_jump_at_other_moments_than_the_chunks():
    level = values(opened("regimes", noise=0, ticks=50_000))
    means = level[: 48 * 1024].reshape(-1, 256).mean(1)
    assert means.std() > 0.5


def test_square_has_two_values_and_a_period_in_range():
    wave = values(opened("square", noise=0, ticks=4000))
    assert len(np.unique(wave)) == 2
    assert 0.75 <= wave.max() <= 2
    rises = np.flatnonzero(np.diff(wave) > 0)
    assert 15 <= np.diff(rises).mean() <= 125


def test_sawtooth_falls_once_per_period():
    wave = values(opened("sawtooth", noise=0, ticks=4000))
    falls = np.flatnonzero(np.diff(wave) < 0)
    assert 15 <= np.diff(falls).mean() <= 125
    assert 0.7 <= wave.max() <= 2


def test_times_are_a_period_apart_from_2000_on():
    block = next(opened(period="250ms").blocks(10))
    assert block.time[0] == np.datetime64("2000-01-01", "ns").astype(np.int64)
    assert set(np.diff(block.time)) == {250_000_000}
    assert block.streams == ("main",)


def test_source_tells_seed_and_parameters():
    assert opened(seed=3).source() == {
        "connector": "synthetic", "signal": "tones", "ticks": 5000, "noise": 0.1,
        "seed": 3, "period": "1s",
    }  # fmt: skip
    assert opened().total() == 5000


def test_a_field_it_does_not_have_is_refused():
    tree = {"stream": {"fields": ["bid"]}}
    with pytest.raises(FeedError, match="'bid': no such field"):
        open_feed(from_tree(tree))


@settings(max_examples=10)
@given(st.integers(1, 3000), st.integers(0, 5000), st.sampled_from(SHAPES))
def test_any_resumption_equals_the_tail(size, after, signal):
    feed = opened(signal)
    parts = list(feed.blocks(size, after))
    assert sum(map(len, parts)) == 5000 - after
    if parts:
        assert max(map(len, parts)) <= size
        tail = concatenate(list(feed.blocks(5000))).values[after:]
        np.testing.assert_array_equal(concatenate(parts).values, tail)
