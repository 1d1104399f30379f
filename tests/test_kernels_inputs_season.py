"""The day is found from the clock alone, and what it tells is used, never foreseen."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.kernels.inputs import season
from sfm_stream.state import places
from tests.kernels_rig import START, Rig, ticks

MINUTE, HOUR = 60 * 10**9, 3_600 * 10**9
MIDNIGHT = START // (24 * HOUR) * 24 * HOUR


def counted(r, counter):
    return int(r.view("counters")[counter])


@pytest.mark.parametrize(
    ("step", "expected"),
    [(HOUR, 24), (30 * MINUTE, 48), (5 * MINUTE, 288), (6 * HOUR, 4), (8 * HOUR, 0),
     (MINUTE, 0), (7 * MINUTE, 0), (10**9, 0)],
)  # fmt: skip
def test_steady_step_that_divides_the_day_is_recognised(step, expected):
    r = Rig()
    values = np.random.default_rng(0).standard_normal(60)
    r.run(ticks(values, START + step * np.arange(60)))
    assert counted(r, places.TICKS_OF_DAY) == expected


def test_missing_and_stray_ticks_do_not_hide_the_day_and_another_step_ends_it():
    r, rng = Rig(), np.random.default_rng(1)
    there = np.sort(rng.choice(200, 180, replace=False))
    time = START + HOUR * there
    r.run(ticks(rng.standard_normal(180), time))
    assert counted(r, places.TICKS_OF_DAY) == 24
    later = time[-1] + 1_000 * np.arange(1, 200)
    r.run(ticks(rng.standard_normal(199), later))
    assert counted(r, places.TICKS_OF_DAY) == 0


def test_regressors_are_the_moves_of_other_days():
    r, count = Rig({"target": {"horizons": [1, 30]}}), 24 * 10
    values = np.random.default_rng(2).standard_normal(count).cumsum()
    r.run(ticks(values, MIDNIGHT + HOUR * np.arange(count)))
    t, slot = count - 1, (count - 1) % (r.sizes.ring - 1)
    units = r.view("origin_scale")[slot]
    seen = r.view("origin_season")[slot]
    for q, (ahead, back) in enumerate(((1, 24), (30, 48))):
        due = t + ahead
        then, week = values[due - back], values[due - 168]
        expected = [then - values[t], then - values[t - back],
                    week - values[t], week - values[t - 168]]  # fmt: skip
        held = np.clip(np.array(expected) / units[q], -8, 8)
        np.testing.assert_allclose(seen[q, 2:], held, rtol=1e-9)


def test_averages_are_of_the_labels_forecast_at_that_time_of_day():
    r, count = Rig(), 24 * 8
    values = np.tile(np.arange(24.0) ** 2, 8)
    r.run(ticks(values, MIDNIGHT + HOUR * np.arange(count)))
    means = r.view("season_mean")[0, :24]
    slot = (count - 1) % (r.sizes.ring - 1)
    unit = r.view("origin_scale")[slot, 0]
    np.testing.assert_allclose(means[:22, 0] * unit, 2 * np.arange(22) + 1, rtol=0.3)
    assert (means[:, 2] >= 5).all()


def daily(count, seed):
    """Give a walk of hours whose moves have a shape over the day."""
    rng = np.random.default_rng(seed)
    shape = rng.permutation(24) - 11.5
    moves = shape[np.arange(count) % 24] / 7 + 0.3 * rng.standard_normal(count)
    return MIDNIGHT + HOUR * np.arange(count), moves.cumsum()


def skill(tree, time, values):
    engine = Engine(config.from_tree(tree), ["x"])
    scores = engine.run(Block.ticks(time, values[:, None], streams=("s",)))
    columns = {k: v[600:] for k, v in scores.columns["scores"].items()}
    mse, naive = (
        np.square(columns["truth"] - columns[k]).mean() for k in ("mean", "naive")
    )
    return 1 - mse / naive


def test_a_day_is_forecast_better_than_without_it():
    time, values = daily(1_500, 3)
    tree = {"features": {"inputs": ["change"], "lags": 3},
            "forecast": {"experts": ["last", "rls"]}}  # fmt: skip
    blind = {**tree, "features": {**tree["features"], "seasons": False}}
    assert skill(tree, time, values) > skill(blind, time, values) + 0.2


def test_without_a_day_nothing_is_seen_and_nothing_is_lost():
    _, values = daily(400, 4)
    seconds = START + 10**9 * np.arange(400)
    seasons, blind = Rig(), Rig({"features": {"seasons": False}})
    ours, theirs = (r.run(ticks(values, seconds)) for r in (seasons, blind))
    np.testing.assert_array_equal(ours.forecast_numbers, theirs.forecast_numbers)
    assert blind.view("season_value").size == 0


def test_experts_see_the_day_after_three_of_it():
    r, (time, values) = Rig(), daily(200, 6)
    events, first = ticks(values, time), None
    for t in range(200):
        r.run(events, start=t, stop=t + 1)
        if first is None and r.view("origin_season")[t % (r.sizes.ring - 1)].any():
            first = t
    recognised = season.SURE
    assert recognised + 3 * 24 - 2 <= first <= recognised + 3 * 24 + 2


def test_stop_and_resume_in_the_middle_of_a_day_says_the_same():
    time, values = daily(400, 5)
    block = Block.ticks(time, values[:, None], streams=("s",))
    whole = Engine(config.Config(), ["x"])
    expected = whole.run(block).columns["forecasts"]["mean"][201:]
    first, second = (Engine(config.Config(), ["x"]) for _ in range(2))
    first.run(block[:201])
    second.restore(*first.snapshot())
    found = second.run(block[201:]).columns["forecasts"]["mean"]
    np.testing.assert_array_equal(found, expected)
