"""Periods are found where values repeat, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.state import periods
from sfm_stream.state.places import LONGEST_PERIOD
from tests.kernels_rig import SECOND, START

SMALL = {
    "model": {"states": 4, "frequencies": 2, "outputs": 4},
    "features": {"inputs": ["change"], "lags": 2},
    "forecast": {"experts": ["last", "rls"]},
}
HOUR = 3_600 * SECOND


def engine_of(*columns, step=SECOND // 7, block=10_000):
    names = [f"x{i}" for i in range(len(columns))]
    engine = Engine(config.from_tree({**SMALL, "target": {"values": names}}), names)
    values = np.stack(columns, axis=1)
    time = START // HOUR * HOUR + step * np.arange(len(values))
    for first in range(0, len(values), block):
        part = slice(first, first + block)
        engine.run(Block.ticks(time[part], values[part], streams=("s",)))
    return engine


def periods_of(engine):
    memory = engine.config.features.scale
    return periods.found(engine.view, engine.targets, engine.ticks, memory)


def wave(period, count=4_000, seed=0, noise=0.5):
    t, rng = np.arange(count), np.random.default_rng(seed)
    return np.sin(2 * np.pi * t / period) + noise * rng.standard_normal(count)


def test_each_target_has_its_own():
    walk = np.random.default_rng(1).standard_normal(4_000).cumsum()
    square = np.sign(wave(201, noise=0.0))
    engine = engine_of(wave(37), walk, square)
    assert periods_of(engine) == {"x0": {"s": 37}, "x1": {}, "x2": {"s": 201}}


def test_beats_that_come_unevenly_have_the_usual_distance():
    rng, values, at = np.random.default_rng(2), np.zeros(12_000), 0
    while at < len(values) - 20:
        values[at : at + 20] += np.hanning(20) * 10
        at += int(rng.normal(150, 4))
    found = periods_of(engine_of(values + 0.2 * rng.standard_normal(12_000)))
    assert abs(found["x0"]["s"] - 150) <= 3


def test_the_day_of_the_clock_comes_first():
    assert periods_of(engine_of(wave(7, 200), step=HOUR)) == {"x0": {"s": 24}}


@pytest.mark.parametrize("length", [1, 2, 30])
def test_few_ticks_have_none(length):
    assert periods_of(engine_of(wave(20, length))) == {"x0": {}}


def test_blocks_ticks_and_resumed_runs_find_the_same():
    values = wave(37, 600)
    whole, single = engine_of(values), engine_of(values, block=1)
    half = engine_of(values[:300])
    resumed = Engine(half.config, half.fields)
    resumed.restore(*half.snapshot())
    time = START // HOUR * HOUR + SECOND // 7 * np.arange(600)
    resumed.run(Block.ticks(time[300:], values[300:, None], streams=("s",)))
    assert periods_of(whole) == {"x0": {"s": 37}}
    for other in (single, resumed):
        assert periods_of(other) == periods_of(whole)
        for name in ("period_past", "period_products", "period_gauges"):
            np.testing.assert_array_equal(other.view(name), whole.view(name))


def test_a_snapshot_from_before_begins_to_look():
    engine = engine_of(wave(37, 300))
    arrays, meta = engine.snapshot()
    older = {k: v for k, v in arrays.items() if not k.startswith("period_")}
    resumed = Engine(engine.config, engine.fields)
    resumed.restore(older, meta)
    assert resumed.ticks == engine.ticks
    assert periods_of(resumed) == {"x0": {}}


def products_of(values):
    lags = min(len(values), LONGEST_PERIOD + 1)
    found = np.zeros(LONGEST_PERIOD + 1)
    for lag in range(lags):
        found[lag] = values[lag:] @ values[: len(values) - lag] / len(values)
    return found


@settings(max_examples=30)
@given(period=some.integers(3, 400), seed=some.integers(0, 2**32 - 1))
def test_any_period_up_to_400_is_found_under_as_much_noise(period, seed):
    rng = np.random.default_rng(seed)
    shape = rng.standard_normal(period)
    values = np.resize(shape - shape.mean(), 6_000)
    values += values.std() * rng.standard_normal(len(values))
    assert periods.strongest(products_of(values), len(values)) == period


@settings(max_examples=100)
@given(seed=some.integers(0, 2**32 - 1), memory=some.floats(0.0, 0.98))
def test_noise_without_a_period_has_none(seed, memory):
    noise = np.random.default_rng(seed).standard_normal(4_000)
    for t in range(1, len(noise)):
        noise[t] += memory * noise[t - 1]
    assert periods.strongest(products_of(noise), len(noise)) == 0
