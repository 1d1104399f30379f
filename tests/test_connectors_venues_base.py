from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.venues.base import Exchange
from connectors.venues.course import AHEAD, CATCH_UP, SLACK
from connectors.venues.protocol import Alive
from sfm_stream.config import Config, from_tree
from sfm_stream.events import Gap, Tick
from sfm_stream.feeds import FIRST_TIME
from tests.venue_frames import NOW

SECOND = 10**9
HOUR = 3600 * SECOND


class Plain(Exchange):
    channels = {"trades": ("price", "qty", "side"), "candles": ("open",)}  # noqa: RUF012
    candles = {"candles": 60}  # noqa: RUF012


def observe(exchange, time, price=1.0, received=NOW, **more):
    said = []
    exchange._observe(said, "a", time, (price, 0.0, 1.0), received, **more)
    return said


def times(exchange, pairs):
    """Give the times at which records with these times and receipts are taken."""
    said = (observe(exchange, time, received=at) for time, at in pairs)
    return [tick.time for (tick,) in said]


@pytest.mark.parametrize(
    "time", [NOW, NOW + 1_270_000_000, NOW + AHEAD, NOW - 107 * 10**9]
)
def test_a_clock_ahead_or_behind_is_left_as_it_is(time):
    exchange = Plain(Config())
    assert observe(exchange, time) == [Tick("a", time, (1.0, 0.0, 1.0), NOW)]
    assert not exchange.counters


@pytest.mark.parametrize(
    "time", [0, -1, FIRST_TIME - 1, NOW + AHEAD + 1, 2**200, -(2**63)]
)
def test_an_absurd_time_becomes_that_of_receipt_and_is_counted(time):
    exchange = Plain(Config())
    (tick,) = observe(exchange, time)
    assert tick.time == NOW
    assert exchange.counters == {"absurd times": 1}


def test_equal_times_are_kept_and_earlier_ones_counted():
    exchange = Plain(Config())
    said = [observe(exchange, time)[0].time for time in (NOW, NOW, NOW - 5, NOW)]
    assert said == [NOW, NOW, NOW - 5, NOW]
    assert exchange.counters == {"earlier times": 1}


def test_a_price_of_nothing_is_no_tick_but_its_id_is_known():
    exchange = Plain(Config())
    observe(exchange, NOW, first=1, last=1)
    assert observe(exchange, NOW, price=0.0, first=2, last=2) == []
    assert len(observe(exchange, NOW, first=3, last=3)) == 1
    assert exchange.counters == {"empty": 1}


def test_a_gap_is_told_even_if_its_tick_is_empty():
    exchange = Plain(Config())
    observe(exchange, NOW, first=1, last=1)
    (gap,) = observe(exchange, NOW, price=0.0, first=9, last=9)
    assert gap == Gap("a", NOW, "ids 2..8 missing", 7)


def test_the_largest_prices_are_finite():
    assert len(observe(Plain(Config()), NOW, price=1.7e308)) == 1


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 4)), min_size=1))
def test_ranges_of_ids_are_each_taken_once_and_the_missing_counted(ranges):
    exchange, taken, seen, missed = Plain(Config()), 0, None, 0
    for last, count in ranges:
        said = observe(exchange, NOW, first=last - count + 1, last=last)
        fresh = seen is None or last > seen
        assert any(isinstance(x, Tick) for x in said) == fresh
        missed += sum(x.missed for x in said if isinstance(x, Gap))
        if fresh:
            taken += max(0, last - count - seen) if seen is not None else 0
            seen = last
    assert missed == taken


def test_a_growing_candle_is_told_when_the_next_one_starts():
    exchange, said = Plain(from_tree({"feed": {"options": {"channel": "candles"}}})), []
    base = NOW // 60 * 60
    for start, value in (
        (0, 1.0),
        (0, 2.0),
        (60, 3.0),
        (0, 9.0),
        (60, 4.0),
        (180, 5.0),
    ):
        exchange._growing(said, "a", base + start, (value,), NOW)
    assert [(x.time - base, x.values) for x in said] == [(60, (2.0,)), (120, (4.0,))]
    exchange.opened()
    exchange._growing(said, "a", base + 240, (6.0,), NOW)
    assert len(said) == 2  # what was cut off is not taken for finished


def test_a_time_that_the_stream_has_not_had_time_for_is_taken_at_receipt():
    exchange = Plain(Config())
    late = NOW + SECOND
    taken = times(exchange, [(NOW, NOW), (NOW + HOUR, late), (late, late + 5)])
    assert taken == [NOW, late, late]
    assert exchange.counters == {"absurd times": 1}


@given(st.integers(-300 * HOUR, 23 * HOUR), st.lists(st.integers(0, HOUR), max_size=20))
def test_a_clock_wrong_by_a_constant_is_left_as_it_is(off, steps):
    exchange, at = Plain(Config()), NOW
    pairs = [(at := at + step, at + off) for step in steps]
    assert times(exchange, [(t, r) for r, t in pairs]) == [t for _, t in pairs]
    assert not exchange.counters


def test_an_absurd_time_of_a_clock_ahead_is_taken_at_the_pace_of_its_stream():
    exchange = Plain(Config())
    ahead = NOW + 8 * HOUR
    pairs = [
        (ahead, NOW),
        (ahead + 20 * HOUR, NOW + SECOND),
        (ahead + 2 * SECOND, NOW + 2 * SECOND),
    ]
    assert times(exchange, pairs) == [ahead, ahead + SECOND, ahead + 2 * SECOND]


def test_a_receipt_clock_set_back_does_not_change_the_times_of_a_venue():
    exchange = Plain(Config())
    pairs = [(NOW + i * SECOND, NOW + i * SECOND - HOUR * (i > 2)) for i in range(6)]
    assert times(exchange, pairs) == [time for time, _ in pairs]
    assert not exchange.counters


def ids(exchange, rows):
    """Observe (id, time since NOW in s) and give the events by kind and id."""
    said = []
    for number, second in rows:
        at = NOW + round(second * SECOND)
        exchange._observe(said, "a", at, (1.0, 0.0, number), at, number)
    return [
        x.values[2] if isinstance(x, Tick) else x.reason
        for x in said
        if not isinstance(x, Alive)
    ]


def test_ids_that_begin_anew_are_a_gap_and_go_on():
    exchange = Plain(Config())
    rows = [(10**9 + i, i) for i in range(5)] + [(i, 5 + i) for i in range(1, 7)]
    said = ids(exchange, rows)
    assert said[:5] == [10**9 + i for i in range(5)]
    assert said[5:] == ["ids began anew at 3 after 1000000004", 3, 4, 5, 6]
    assert exchange.counters == {"stray ids": 2, "restarts": 1}


def test_a_single_absurd_id_silences_nothing():
    exchange = Plain(Config())
    rows = [(1, 1), (2, 2), (2**62, 3), *((i, i + 1) for i in range(3, 9))]
    assert ids(exchange, rows) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert exchange.counters == {"stray ids": 1}


def test_an_absurd_id_that_comes_first_silences_nothing():
    exchange = Plain(Config())
    said = ids(exchange, [(2**62, 0), *((i, i) for i in range(1, 6))])
    assert said == [2**62, "ids began anew at 3 after 4611686018427387904", 3, 4, 5]


def test_lower_ids_with_earlier_times_are_duplicates_however_many():
    exchange = Plain(Config())
    ids(exchange, [(i, i) for i in range(1, 500)])
    at = NOW + 499 * SECOND
    for number in range(1, 490):  # all at once, as a snapshot would be
        assert observe(exchange, NOW + number * SECOND, received=at, last=number) == []
    assert exchange.counters == {"duplicates": 489}


def test_a_device_whose_ids_and_clock_both_begin_anew_goes_on_after_a_while():
    exchange = Plain(Config())
    ids(exchange, [(i, i) for i in range(100, 200)])
    said = []
    for i in range(20):
        back, at = NOW - HOUR + i * SECOND, NOW + (200 + i) * SECOND
        exchange._observe(said, "a", back, (1.0, 0.0, i), at, i)
    assert isinstance(said[0], Gap)
    assert [x.values[2] for x in said[1:]] == list(range(10, 20))


def test_lower_ids_first_on_a_new_connection_are_a_restart_at_once():
    exchange = Plain(Config())
    ids(exchange, [(i, i) for i in range(100, 110)])
    exchange.opened()
    assert ids(exchange, [(1, 200), (2, 201)]) == [
        "ids began anew at 1 after 109",
        1,
        2,
    ]


def test_what_two_connections_bring_at_the_same_time_is_taken_once():
    exchange = Plain(Config())
    rows = [(NOW + i // 3 * SECOND, float(1 + i % 3)) for i in range(30)]
    for time, price in rows[:24]:
        observe(exchange, time, price, received=time + 5)
    exchange.opened()
    for time, price in rows[12:24]:  # held meanwhile, and handed on now
        (alive,) = observe(exchange, time, price, received=time + 7)
        assert alive == Alive("a")
    assert all(observe(exchange, t, p, received=t + 7) for t, p in rows[24:])
    assert exchange.counters == {"duplicates": 12}


def test_a_record_of_the_same_time_that_only_the_new_connection_brings_is_taken():
    exchange = Plain(Config())
    observe(exchange, NOW, 1.0)
    exchange.opened()
    assert observe(exchange, NOW, 1.0) == [Alive("a")]
    assert observe(exchange, NOW, 2.0) == [Tick("a", NOW, (2.0, 0.0, 1.0), NOW)]


def test_a_clock_set_back_over_a_new_connection_is_heard_soon():
    exchange = Plain(Config())
    observe(exchange, NOW)
    exchange.opened()
    at = NOW + CATCH_UP + 1
    assert observe(exchange, NOW - HOUR, received=at)
    assert exchange.counters == {"earlier times": 1}


def test_a_growing_candle_of_the_future_is_left_out():
    exchange, said = Plain(from_tree({"feed": {"options": {"channel": "candles"}}})), []
    for start in (0, 2 * SLACK, 60):
        exchange._growing(said, "a", NOW + start, (1.0,), NOW)
    assert len(said) == 1
    assert exchange.counters == {"unfinished": 2, "absurd times": 1}
