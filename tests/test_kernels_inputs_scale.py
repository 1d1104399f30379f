"""Fields become inputs as the plan says, scaled by what came before alone."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest

from sfm_stream.kernels.inputs.accept import ABSENT, INFINITE
from sfm_stream.kernels.inputs.scale import LONGEST_TAU, OUTLIER, STEADY_AFTER
from sfm_stream.state.places import UNIT_NS
from tests.kernels_rig import OBSERVE, SECOND, START, Rig, irregular, ticks

QUOTES = ("bid", "ask", "bid_qty", "ask_qty")
CLIP = 8.0


def test_inputs_are_scaled_with_the_statistics_up_to_the_tick_before():
    scale, count = 40, 200
    r = Rig({"features": {"inputs": ["level"], "scale": scale},
             "learn": {"window": 200}})  # fmt: skip
    x = 100 + np.cumsum(np.random.default_rng(0).standard_normal(count))
    r.run(ticks(x), OBSERVE)
    mean, variance = 0.0, 0.0
    for t in range(count):
        sd = math.sqrt(variance)
        away = x[t] - x[0] - mean
        expected = np.clip(away / sd, -CLIP, CLIP) if sd > 0 else 0.0
        assert r.view("tape_u")[t, 0] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        rate = 1 / min(t + 1, scale)
        if t > STEADY_AFTER:
            away = np.clip(away, -OUTLIER * CLIP * sd, OUTLIER * CLIP * sd)
        mean += rate * away
        variance = (1 - rate) * (variance + rate * away**2)
    assert r.view("input_mean")[0] == pytest.approx(mean, rel=1e-12)
    assert r.view("input_var")[0] == pytest.approx(variance, rel=1e-9)


def test_statistics_are_the_plain_ones_until_they_forget():
    r = Rig({"features": {"inputs": ["level"]}})
    x = np.random.default_rng(0).standard_normal(50)
    r.run(ticks(x), OBSERVE)
    assert r.view("input_base")[0] == x[0]
    assert r.view("input_mean")[0] == pytest.approx(x.mean() - x[0])
    assert r.view("input_var")[0] == pytest.approx(x.var())


def test_one_wild_tick_is_clipped_and_hardly_moves_the_statistics():
    r = Rig({"features": {"inputs": ["level"]}})
    x = np.random.default_rng(0).standard_normal(1_001)
    x[-1] = 1e9
    r.run(ticks(x), OBSERVE, stop=1_000)
    before = float(r.view("input_var")[0])
    r.run(ticks(x), OBSERVE, start=1_000)
    assert r.view("tape_u")[1_000 % (r.sizes.ring - 1), 0] == CLIP
    assert before < r.view("input_var")[0] < 3 * before
    assert abs(r.view("input_base")[0] + r.view("input_mean")[0]) < 0.1


def test_one_wild_tick_at_most_doubles_young_statistics():
    r = Rig({"features": {"inputs": ["level"]}})
    x = np.random.default_rng(0).standard_normal(61)
    x[-1] = 1e9
    names = ("input_var", "label_square")
    r.run(ticks(x), OBSERVE, stop=60)
    before = [float(r.view(name)[0]) for name in names]
    r.run(ticks(x), OBSERVE, start=60)
    after = [float(r.view(name)[0]) for name in names]
    for small, large in zip(before, after, strict=True):
        assert 1.8 * small < large <= 2.0 * small


@pytest.mark.parametrize("wide", [4.0, 20.0, 1e12])
def test_least_squares_that_see_further_are_told_of_jumps_as_they_were(wide):
    r = Rig({"features": {"inputs": ["change"]}, "forecast": {"wide_clip": wide}})
    x = np.random.default_rng(0).standard_normal(300).cumsum()
    x[-1] += 50.0
    r.run(ticks(x), OBSERVE)
    slot, first = 299 % (r.sizes.ring - 1), r.sizes.z_seen
    away = (x[-1] - x[-2] - np.diff(x[:-1]).mean()) / np.diff(x[:-1]).std()
    change, move = r.view("origin_regressors")[slot, [first, first + 1]]
    assert change == pytest.approx(min(away, max(wide, CLIP)), rel=0.05)
    assert move == pytest.approx(min(away, max(wide, CLIP)), rel=0.05)
    assert r.view("tape_u")[slot, 0] == CLIP


def raw_inputs(r, events):
    """Give what each input was before scaling [T, N], from the steps of its mean."""
    found = []
    for t in range(len(events.kind)):
        before = r.view("input_mean").copy()
        r.run(events, OBSERVE, t, t + 1)
        away = before + (t + 1) * (r.view("input_mean") - before)
        found.append(r.view("input_base") + away)
    return np.array(found)


def quotes(count=40):
    rng = np.random.default_rng(0)
    bid = 100 + np.cumsum(rng.standard_normal(count)) * 0.1
    ask = bid + rng.integers(1, 5, count) * 0.01
    quantities = rng.integers(0, 9, (2, count)).astype(float)
    quantities[:, 7] = 0.0
    return np.stack([bid, ask, *quantities], 1)


def test_every_signal_and_transform_is_what_numpy_says():
    inputs = ["mid", "spread", "imbalance", "microprice", "bid", "change",
              "log-return", "change(ask)", "level(*)", "log-return(mid)"]  # fmt: skip
    r = Rig({"features": {"inputs": inputs}, "target": {"values": ["mid"]}}, QUOTES)
    values = quotes()
    bid, ask, bid_qty, ask_qty = values.T
    mid, total = (bid + ask) / 2, bid_qty + ask_qty
    some = np.where(total > 0, total, 1.0)
    expected = {
        "mid": mid,
        "spread": ask - bid,
        "imbalance": np.where(total > 0, (bid_qty - ask_qty) / some, 0.0),
        "microprice": np.where(total > 0, (bid * ask_qty + ask * bid_qty) / some, mid),
        "bid": bid,
        "change": np.diff(mid, prepend=mid[0]),
        "log-return": np.diff(np.log(mid), prepend=np.log(mid[0])),
        "change(ask)": np.diff(ask, prepend=ask[0]),
        "level(ask)": ask,
        "level(bid_qty)": bid_qty,
        "level(ask_qty)": ask_qty,
    }
    found = raw_inputs(r, ticks(values))
    names = r.bank.layout.plan.names[0]
    assert set(expected) == set(names)
    for column, name in zip(found.T, names, strict=True):
        np.testing.assert_allclose(column, expected[name], atol=1e-9, err_msg=name)


def test_clock_inputs_are_the_time_of_day_and_week_and_the_time_passed():
    r = Rig({"features": {"inputs": ["elapsed", "hour", "weekday"]}})
    at = irregular(40, most=4 * 3_600_000)
    found = raw_inputs(r, ticks(np.zeros(40), at))
    moments = [dt.datetime.fromtimestamp(t // SECOND, dt.UTC) for t in at]
    hours = np.array([m.hour + m.minute / 60 + m.second / 3600 for m in moments])
    # Thursday, on which the epoch fell, begins the week.
    days = np.array([(m.weekday() - 3) % 7 for m in moments]) + hours / 24
    for column, angle in ((1, hours / 24), (3, hours / 12), (5, days / 7)):
        expected = np.stack([np.sin(2 * np.pi * angle), np.cos(2 * np.pi * angle)], 1)
        np.testing.assert_allclose(found[:, column : column + 2], expected, atol=1e-9)
    tau, unit = [1.0], 0.0
    for passed in np.diff(at).astype(float):
        tau.append(min(passed / unit, LONGEST_TAU) if unit > 0 else 1.0)
        if passed > 0:
            unit = passed if unit <= 0 else unit * 1.02 ** np.sign(passed - unit)
    np.testing.assert_allclose(found[:, 0], np.log1p(tau), atol=1e-9)
    assert r.view("gauges")[UNIT_NS] == pytest.approx(unit)


def hands(step):
    r = Rig({"features": {"inputs": ["hour"]}})
    read = []
    for t in range(200):
        r.run(ticks(np.zeros(1), np.array([START + t * step])), OBSERVE)
        read.append(r.view("tape_u")[t % (r.sizes.ring - 1), :4].copy())
    return np.array(read)


def test_hands_turn_at_full_size_between_hours_and_hardly_between_milliseconds():
    assert np.square(hands(3600 * SECOND)).mean(0) == pytest.approx(1.0, abs=0.2)
    assert np.abs(hands(SECOND // 1000)[2:]).max() < 1e-4


def test_unit_of_time_settles_on_the_median_step():
    r = Rig()
    rng = np.random.default_rng(0)
    steps = (SECOND * rng.lognormal(0.0, 1.0, 5_000)).astype(np.int64)
    r.run(ticks(np.zeros(5_000), START + np.cumsum(steps)), OBSERVE)
    assert r.view("gauges")[UNIT_NS] == pytest.approx(SECOND, rel=0.3)


def missing(policy):
    tree = {"stream": {"missing": policy}, "features": {"inputs": ["level(*)"]}}
    r = Rig(tree, ("a", "b"))
    values = np.random.default_rng(0).standard_normal((20, 2))
    values[10, 1] = np.nan
    return r, values, r.run(ticks(values), OBSERVE)


def test_void_rejects_a_tick_that_misses_a_value_and_names_the_field():
    _, _, said = missing("void")
    # kind, seq, stream, time, field, reason
    assert said.notices.tolist() == [[2, 10, 0, START + 10 * SECOND, 1, ABSENT]]
    assert len(said.forecasts) == 19


def test_hold_takes_the_last_value():
    _, values, said = missing("hold")
    assert len(said.notices) == 0
    held = values.copy()
    held[10, 1] = held[9, 1]
    other = Rig({"features": {"inputs": ["level(*)"]}}, ("a", "b"))
    expected = other.run(ticks(held), OBSERVE)
    np.testing.assert_array_equal(said.forecast_numbers, expected.forecast_numbers)


def test_mean_is_an_input_of_zero_that_teaches_the_scaler_nothing():
    r, _, said = missing("mean")
    assert len(said.notices) == 0
    assert r.view("tape_u")[10, 1] == 0.0
    assert r.view("tape_u")[10, 0] != 0.0
    assert np.isfinite(r.view("input_mean")).all()


@pytest.mark.parametrize("policy", ["void", "hold", "mean"])
def test_stream_cannot_begin_with_a_missing_target(policy):
    r = Rig({"stream": {"missing": policy}}, ("a", "b"))
    said = r.run(ticks([[np.nan, 1.0], [1.0, 2.0]]), OBSERVE)
    assert said.notices[:, 4:].tolist() == [[0, ABSENT]]


@pytest.mark.parametrize("policy", ["void", "hold", "mean"])
def test_stream_begins_with_a_missing_input_where_the_mean_stands_for_it(policy):
    r = Rig({"stream": {"missing": policy}}, ("a", "b"))
    said = r.run(ticks([[1.0, np.nan], [1.0, 2.0]]), OBSERVE)
    refused = [] if policy == "mean" else [[1, ABSENT]]
    assert said.notices[:, 4:].tolist() == refused
    assert len(said.forecasts) == 2 - len(refused)


def test_infinite_value_is_rejected_and_names_the_field():
    r = Rig(None, ("a", "b"))
    said = r.run(ticks([[1.0, 2.0], [1.0, -np.inf], [1.0, 2.0]]), OBSERVE)
    assert said.notices[:, 4:].tolist() == [[1, INFINITE]]
    assert len(said.forecasts) == 2
