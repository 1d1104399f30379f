from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import FIRST_TIME
from connectors.venues.base import AHEAD, Exchange
from sfm_stream.config import Config
from sfm_stream.events import Gap, Tick
from tests.venue_frames import NOW


class Plain(Exchange):
    channels = {"trades": ("price", "qty", "side"), "candles": ("open",)}  # noqa: RUF012
    candles = {"candles": 60}  # noqa: RUF012


def observe(exchange, time, price=1.0, **more):
    said = []
    exchange._observe(said, "a", time, (price, 0.0, 1.0), NOW, **more)
    return said


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


@pytest.mark.parametrize("price", [float("inf"), float("-inf"), float("nan")])
def test_what_is_not_finite_is_garbage(price):
    exchange = Plain(Config())
    assert observe(exchange, NOW, price=price) == []
    assert exchange.counters == {"garbage": 1}


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
    exchange, said = Plain(Config()), []
    exchange._channel = "candles"
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
