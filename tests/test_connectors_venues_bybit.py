from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import open_feed
from connectors.live.feed import shared_out
from connectors.venues.bybit import REMEMBERED, Recent
from connectors.venues.protocol import Alive, Refused, open_venue
from sfm_stream.config import from_tree
from tests.venue_frames import (
    NOW,
    bybit_book,
    bybit_candle,
    bybit_ticker,
    bybit_trade,
    dumps,
    news,
    settings_of,
)

CAPTURES = Path(__file__).parents[2] / "shared/data/captures"
PARTS = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")
real = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the shared data sets are not here"
)


def protocol(channel="publicTrade"):
    return open_venue(settings_of("bybit", channel), "bybit")


def values(venue, *frames):
    return [x.values for f in frames for x in news(venue.receive(dumps(f), NOW))]


def test_what_a_delta_leaves_out_has_not_changed():
    venue, delta = protocol("tickers"), bybit_ticker(1)
    delta |= {"type": "delta", "data": {"symbol": "BTCUSDT", "ask1Price": "201"}}
    assert values(venue, bybit_ticker(0), delta) == [
        (100.25, 3.78826, 200.5, 1.54698), (100.25, 3.78826, 201.0, 1.54698),
    ]  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(PARTS), st.integers(1, 3))))
def test_a_quote_is_what_was_said_last_of_each_of_its_parts(changes):
    venue, known, expected = protocol("tickers"), dict.fromkeys(PARTS, 1), []
    venue.receive(dumps(bybit_ticker(0) | {"data": known}), NOW)
    for change in changes:
        if known | change != known:
            known |= change
            expected.append(tuple(known.values()))
    deltas = ({**bybit_ticker(1), "type": "delta", "data": each} for each in changes)
    assert values(venue, *deltas) == expected


def test_a_delta_without_quotes_is_no_tick():
    venue, delta = protocol("tickers"), bybit_ticker(1)
    delta |= {"type": "delta", "data": {"symbol": "BTCUSDT", "openInterest": "5"}}
    assert len(values(venue, bybit_ticker(0), delta)) == 1
    assert venue.counters == {"unchanged": 1}


def test_a_book_that_is_sent_again_unchanged_is_a_sign_of_life():
    venue = protocol("orderbook.1")
    again = bybit_book(0) | {"ts": bybit_book(3000)["ts"]}
    assert len(venue.receive(dumps(bybit_book(0)), NOW)) == 1
    assert venue.receive(dumps(again), NOW) == [Alive("BTCUSDT")]
    assert venue.counters == {"unchanged": 1}


def test_the_topics_of_a_connection_have_at_most_21_000_characters():
    venue = protocol("orderbook.1")
    topics = [f"COIN{i:06}USDT" for i in range(3000)]
    parts = shared_out(topics, venue.limits)
    assert [topic for part in parts for topic in part] == topics
    sizes = [len(json.dumps([f"orderbook.1.{topic}" for topic in part], separators=(",", ":")))
             for part in parts]  # fmt: skip
    assert 20_900 < max(sizes) <= 21_000
    assert len(parts) == 5


def test_a_delta_before_any_snapshot_of_its_connection_is_counted():
    venue = protocol("orderbook.1")
    delta = {**bybit_book(1), "type": "delta"}
    assert values(venue, bybit_book(0)) != values(venue, delta)
    venue.opened()
    assert values(venue, delta) == []
    assert venue.counters == {"changes of nothing known": 1}


def test_a_level_of_nothing_gives_way_to_the_next():
    venue, delta = protocol("orderbook.1"), {**bybit_book(1), "type": "delta"}
    delta["data"] = {"b": [["100.25", "0"], ["99", "0.7"]], "a": [], "s": "BTCUSDT"}
    assert values(venue, bybit_book(0), delta)[1] == (99.0, 0.7, 200.5, 1.54698)
    delta["data"] = {"b": [["99", "0"]], "a": [], "s": "BTCUSDT"}
    assert str(values(venue, delta)[0]) == "(nan, nan, 200.5, 1.54698)"


def test_trades_called_snapshot_are_news():
    assert values(protocol(), bybit_trade(0)) == [(100.25, 0.006, 1.0)]


def test_ids_are_remembered_across_connections_but_not_for_ever():
    recent = Recent()
    assert all(recent.is_new(str(i)) for i in range(REMEMBERED))
    assert not any(recent.is_new(str(i)) for i in range(REMEMBERED))
    assert all(recent.is_new(str(i)) for i in range(REMEMBERED, 3 * REMEMBERED))
    assert recent.is_new("0")
    assert len(recent._young) + len(recent._old) <= 2 * REMEMBERED


def test_unfinished_candles_are_counted():
    venue, candle = protocol("kline.1"), bybit_candle(0)
    candle["data"][0]["confirm"] = False
    assert values(venue, candle) == []
    assert venue.counters == {"unfinished": 1}


def test_an_answer_belongs_to_the_request_it_answers():
    venue = protocol()
    assert len(venue.subscribe([f"S{i}" for i in range(12)])) == 2
    frame = dumps({"success": True, "op": "subscribe", "req_id": "2"})
    assert [x.topic for x in venue.receive(frame, NOW)] == ["S10", "S11"]


@real
def test_the_version_before_is_unknown():
    feed = open_feed(from_tree({"feed": {
        "connector": "capture", "options": {"venue": "bybit", "channel": "publicTrade"},
        "path": str(CAPTURES / "bybit/v2_BYBIT.ws.26.0.gz")}}))  # fmt: skip
    assert sum(map(len, feed.blocks(1_000))) == 0
    assert feed.counters == {"connections": 1, "sent": 4, "unknown": 1098}


@real
def test_recorded_messages_are_read():
    def said(channel, name):
        path = CAPTURES / "messages/bybit" / name
        return protocol(channel).receive(path.read_bytes(), NOW)

    (tick,) = said("tickers", "ws_ticker_linear.json")
    assert tick.values == (17215.5, 84.489, 17216.0, 83.02)
    assert said("kline.5", "ws_kline.json") == []
    assert isinstance(said("publicTrade", "ws_subscription_failure.json")[0], Refused)
