"""A young stream forecasts no worse than the last value, in whatever units it comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Tick
from sfm_stream.state import places

START, HOUR = 1_700_000_000 * 10**9, 3_600 * 10**9
COUNT = 120


def said(values, predict="change"):
    """Give the engine that took a series, and its forecasts [T, Q]."""
    tree = {"target": {"horizons": [1, 3], "predict": predict}}
    engine = Engine(config.from_tree(tree), ["value"])
    ticks = [Tick("a", START + i * HOUR, (float(x),)) for i, x in enumerate(values)]
    means = engine.run(Block.of(ticks, 1)).columns["forecasts"]["mean"]
    return engine, means.reshape(-1, 2)


def series(seed):
    """Give whole numbers that begin with a standstill, then walk and jump."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-9, 10, COUNT) * rng.choice(
        [0, 1, 40], COUNT, p=[0.3, 0.6, 0.1]
    )
    steps[: rng.integers(0, 9)] = 0
    return 1_000.0 + np.cumsum(steps)


@settings(max_examples=15)
@given(
    st.integers(0, 10**6), st.integers(-200, 200), st.sampled_from(["change", "level"])
)
def test_series_in_other_units_is_the_same_series(seed, power, predict):
    values = series(seed)
    _, usual = said(values, predict)
    _, other = said(values * 2.0**power, predict)
    np.testing.assert_array_equal(other, usual * 2.0**power)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(10, 40))
def test_series_moved_far_from_zero_says_the_same_changes(seed, power):
    values = series(seed)
    usual, _ = said(values)
    far, _ = said(values + 2.0**power)
    np.testing.assert_array_equal(far.view("origin_mixed"), usual.view("origin_mixed"))
    np.testing.assert_array_equal(far.view("weights"), usual.view("weights"))


@pytest.mark.parametrize("still", [0, 1, 7])
def test_last_value_is_said_until_something_moved(still):
    values = np.concatenate([np.full(still, 5.0), series(3)])
    _, means = said(values)
    first = int(np.flatnonzero(np.diff(values))[0]) + 1
    np.testing.assert_array_equal(means[: first + 1, 0], values[: first + 1])


def test_stream_that_stood_still_for_long_finds_its_scale_when_it_moves():
    walk = np.random.default_rng(1).standard_normal(300).cumsum()
    engine, _ = said(np.concatenate([np.full(200, 5.0), 5.0 + walk]))
    slot = int(engine.view("counters")[0, places.TICKS] - 1) % (
        engine.view("origin_scale").shape[1] - 1
    )
    assert 0.5 < engine.view("origin_scale")[0, slot, 0] < 2.0
    known = engine.view("input_var")[0][:4]
    assert (known > 0.1).all()


def test_young_random_walks_cost_no_more_than_a_hundredth():
    walks = np.random.default_rng(0).standard_normal((300, 100)).cumsum(0)
    engine = Engine(config.from_tree({}), ["value"])
    names = [f"walk {i}" for i in range(100)]
    ticks = [
        Tick(name, START + t * HOUR, (float(x),))
        for t, row in enumerate(walks)
        for name, x in zip(names, row, strict=True)
    ]
    scores = engine.run(Block.of(ticks, 1)).columns["scores"]
    ours = np.square(scores["truth"] - scores["mean"]).sum()
    assert ours < 1.01 * np.square(scores["truth"] - scores["naive"]).sum()
