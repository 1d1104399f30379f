"""What no tidy stream does: wild ticks, overflow, labels too early, long silences."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.errors import ConfigError, FeatureError
from sfm_stream.events import Block, Label, Tick
from sfm_stream.records import Forecast, Rejected, Score
from tests.test_engine_core import at, copy_of, drive, make, noise, of, tick

HUGE = 1.7e308


def errors(records, first, last):
    """Give the mean absolute errors of forecasts and of the last values."""
    scores = [r for r in of(Score, records) if first <= r.origin < last]
    return (
        np.mean([abs(r.truth - r.mean) for r in scores]),
        np.mean([abs(r.truth - r.naive) for r in scores]),
    )


@pytest.mark.parametrize("predict", ["level", "change", "log-return"])
def test_one_wild_tick_does_not_ruin_what_follows(predict):
    calm = [100 + np.sin(i / 5) for i in range(800)]
    wild = [*calm[:400], 1e6, *calm[401:]]
    found = drive(
        make(target={"predict": predict}), [tick(i, v) for i, v in enumerate(wild)]
    )
    ours, last = errors(found, 405, 800)
    assert ours < 3 * last


@pytest.mark.parametrize("values", [(HUGE, HUGE), (-HUGE, HUGE)])
def test_a_derived_value_that_no_float_holds_is_rejected(values):
    engine = make(("bid", "ask"), target={"values": ["mid", "spread"]})
    good = [tick(i, 1 + i % 3, 2 + i % 3) for i in range(40)]
    found = drive(engine, [*good[:20], tick(20, *values), *good[20:]])
    (rejected,) = of(Rejected, found)
    assert (rejected.field, rejected.reason) == ("bid", "value is infinite")
    for name, array in copy_of(engine).items():
        if name in ("weights", "theta", "input_mean", "input_var", "gauges"):
            assert np.isfinite(array).all(), name


@pytest.mark.parametrize("predict", ["change", "level", "log-return"])
def test_bounds_are_finite_and_in_order_whatever_the_values(predict):
    rng = np.random.default_rng(0)
    values = [*(-100 + rng.standard_normal(60)), *(HUGE * rng.uniform(-1, 1, 20))]
    found = drive(
        make(target={"predict": predict}), [tick(i, v) for i, v in enumerate(values)]
    )
    with_bounds = [r for r in of(Forecast, found) if r.lower is not None]
    assert with_bounds
    assert all(np.isfinite([r.mean, r.lower, r.upper]).all() for r in with_bounds)
    assert all(r.lower <= r.upper for r in with_bounds)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_label_before_its_streams_first_tick_is_ignored_in_any_block(size):
    learn = {"learn": {"window": 4, "every": 4}}
    ticks = noise(30)
    events = [Label("a", at(-1), (5.0,)), *ticks]
    expected = drive(make(**learn), ticks)
    engine, found = make(**learn), []
    for start in range(0, len(events), size):
        block = Block.of(events[start : start + size], 1)
        found += engine.run(block).rows()
    kinds = (Forecast, Score)
    shifted = [repr(r).replace(f"seq={r.seq},", f"seq={r.seq - 1},") for r in found]
    wanted = [repr(r) for r in expected if isinstance(r, kinds)]
    assert [
        s for s, r in zip(shifted, found, strict=True) if isinstance(r, kinds)
    ] == wanted


def test_a_peek_before_an_answer_changes_nothing_across_a_silence():
    tables = {"stream": {"max_gap": "5s"}, "learn": {"window": 4, "every": 4}}
    peeked, plain = make(**tables), make(**tables)
    for i, event in enumerate([*noise(20), *noise(20, start=100)]):
        label = Label("a", event.time, (float(i),))
        peeked.peek_array(event)
        peeked.observe_labelled(event, label)
        plain.observe_labelled(event, label)
    ours, theirs = copy_of(peeked), copy_of(plain)
    for name, array in theirs.items():
        if name in ("weights", "theta", "input_mean", "counters"):
            np.testing.assert_array_equal(ours[name], array, err_msg=name)


# Widening.


def test_bins_are_widened_with_the_rest():
    settings = {"stream": {"every": "2s"}, "target": {"values": ["x"]}}
    before, after = noise(41), noise(40, start=41)
    narrow, alone = make(**settings), make(**settings)
    drive(narrow, before)
    wide = narrow.widen(("y", "x"))
    drive(alone, before)
    found = drive(wide, [Tick(e.stream, e.time, (0.0, *e.values)) for e in after])
    first = of(Forecast, found)[0]
    expected = of(Forecast, drive(alone, after))[0]
    assert (first.time, first.origin) == (expected.time, expected.origin)
    assert first.mean == pytest.approx(expected.mean, rel=1e-5)
    assert [r.truth for r in of(Score, found)][:1] == [
        of(Score, drive(make(**settings), [*before, *after]))[19].truth
    ]


def test_a_new_first_field_does_not_become_the_target_unsaid():
    narrow = make(("x",))
    drive(narrow, noise(10))
    with pytest.raises(
        ConfigError, match=r"stream.fields: expected the targets \['x'\]"
    ):
        narrow.widen(("y", "x"))
    assert narrow.widen(("x", "y")).targets == ("x",)


def test_a_peek_is_kept_for_the_next_event_alone():
    peeked, plain = make(), make()
    label = Label("a", at(0), (1.0,))
    for engine in (peeked, plain):
        for event in noise(20):
            engine.observe_labelled(event, label)
    later = tick(40, 2.0)
    peeked.peek_array(later)
    for engine in (peeked, plain):
        engine.observe_labelled(tick(30, -3.0), label)
        engine.observe_labelled(later, label)
    assert peeked.snapshot()[0].keys() == plain.snapshot()[0].keys()
    memory = (engine.memory("a") for engine in (peeked, plain))
    np.testing.assert_array_equal(*memory)


NO_FLOATS = [None, "3", [1], 10**400, 1j]


def tidy_after(calls):
    """Refuse each call, then tell what a tidy engine and this one say next."""
    engine, twin = make(), make()
    for i in range(40):
        drive(engine, [tick(i, i % 5)])
        drive(twin, [tick(i, i % 5)])
    for call in calls:
        with pytest.raises(FeatureError):
            call(engine)
    return drive(engine, [tick(40, 3.0)]), drive(twin, [tick(40, 3.0)])


@pytest.mark.parametrize("value", NO_FLOATS, ids=repr)
def test_a_value_that_is_no_float_is_refused_and_leaves_the_engine_as_it_was(value):
    name = r"tick\.values\[0\].*expected a float.*give NaN"
    with pytest.raises(FeatureError, match=name):
        make().observe(Tick("new", at(0), (value,)))
    now, alone = tidy_after([
        lambda engine: engine.observe(Tick("a", at(40), (value,))),
        lambda engine: engine.peek(Tick("a", at(40), (value,))),
        lambda engine: engine.observe_labelled(
            tick(40, 3.0), Label("a", at(40), (value,))
        ),
    ])  # fmt: skip
    assert now == alone


@pytest.mark.parametrize("time", [1.5, "x", None])
def test_a_time_that_is_no_whole_number_is_refused(time):
    with pytest.raises(FeatureError, match=r"tick\.time.*whole number of ns"):
        make().observe(Tick("new", time, (1.0,)))
    now, alone = tidy_after([lambda engine: engine.observe(Tick("a", time, (1.0,)))])
    assert now == alone


def test_a_tick_that_cannot_be_peeked_at_does_not_stand_for_the_one_before():
    engine, twin = make(), make()
    for one in (engine, twin):
        drive(one, [tick(i, i % 5) for i in range(40)])
    engine.peek(tick(40, 3.0))
    with pytest.raises(FeatureError):
        engine.peek(Tick("a", at(40), (None,)))
    label = Label("a", at(40), (2.0,))
    for one in (engine, twin):
        one.observe_labelled(tick(40, 3.0), label)
    after = [drive(one, [tick(41, 2.0)]) for one in (engine, twin)]
    assert after[0] == after[1]
    assert engine.seq == twin.seq
