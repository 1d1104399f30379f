from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from connectors import open_feed
from connectors.venues.protocol import History, Subscribed, open_venue
from sfm_stream.config import from_tree
from sfm_stream.events import Gap, Tick
from tests.venue_frames import (
    NOW,
    dumps,
    kraken_candle,
    kraken_ticker,
    kraken_trade,
    news,
)
from tests.venue_frames import settings_of as configured

CAPTURES = Path(__file__).parents[2] / "shared/data/captures"
real = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the shared data sets are not here"
)


def protocol(channel="trade"):
    return open_venue(configured("kraken", channel), "kraken")


def test_a_snapshot_is_history_and_closes_the_gap_of_a_cut():
    venue = protocol()
    venue.receive(dumps(kraken_trade(0)), NOW)
    venue.opened()
    records = [kraken_trade(i)["data"][0] for i in range(4)]
    frame = dumps({"channel": "trade", "type": "snapshot", "data": records})
    assert [type(x) for x in news(venue.receive(frame, NOW))] == [History] * 3
    assert [type(x) for x in venue.receive(dumps(kraken_trade(4)), NOW)] == [Tick]
    assert venue.counters == {"duplicates": 1}


def test_an_address_may_try_to_connect_150_times_in_ten_minutes():
    assert protocol().limits.connects == (150, 600.0)


def test_snapshots_are_asked_for_and_quotes_at_every_change():
    (frame,) = protocol("ticker").subscribe(["BTC/USD"])
    assert msgspec.json.decode(frame)["params"] == {
        "channel": "ticker", "snapshot": True, "event_trigger": "bbo",
        "symbol": ["BTC/USD"],
    }  # fmt: skip
    (frame,) = protocol("ohlc-5").subscribe(["BTC/USD"])
    assert msgspec.json.decode(frame)["params"]["interval"] == 5


def test_one_garbage_record_is_a_gap_but_does_not_spoil_the_others():
    venue = protocol()
    venue.receive(dumps(kraken_trade(0)), NOW)
    records = [kraken_trade(i)["data"][0] for i in (1, 2)]
    records[0]["price"] = ""
    frame = dumps({"channel": "trade", "type": "update", "data": records})
    assert [type(x) for x in venue.receive(frame, NOW)] == [Gap, Tick]
    assert venue.counters == {"garbage": 1}


def test_an_empty_book_of_1970_is_no_quote():
    venue, frame = protocol("ticker"), kraken_ticker(0)
    frame["data"][0] |= {"bid": 0, "ask": 0, "timestamp": "1970-01-01T00:00:00.000000Z"}
    assert venue.receive(dumps(frame), NOW) == []
    assert venue.counters == {"absurd times": 1, "empty": 1}


def test_candles_of_another_length_are_counted():
    venue = protocol("ohlc-5")
    assert venue.receive(dumps(kraken_candle(0)), NOW) == []
    assert venue.counters == {"ohlc": 1}


@real
def test_the_version_before_is_unknown():
    feed = open_feed(from_tree({"feed": {
        "connector": "capture", "options": {"venue": "kraken", "channel": "trade"},
        "path": str(CAPTURES / "kraken/v1_KRAKEN.ws.50.0.gz")}}))  # fmt: skip
    assert sum(map(len, feed.blocks(1_000))) == 0
    assert feed.counters == {"connections": 1, "sent": 1, "unknown": 4321}


@real
def test_recorded_messages_are_read():
    def said(channel, name):
        path = CAPTURES / "messages/kraken" / name
        return protocol(channel).receive(path.read_bytes(), NOW)

    ticks = said("trade", "ws_trade_update.json")
    assert [x.values for x in ticks] == [
        (105944.2, 0.00027625, 1.0), (105910.5, 0.0001246, -1.0),
    ]  # fmt: skip
    assert ticks[0].time == 1_696_613_755_440_295_000
    assert said("ticker", "ws_subscribe_response.json") == [Subscribed("BTC/USD")]
    assert isinstance(said("ticker", "ws_ticker_snapshot.json")[0], History)
    rows = (CAPTURES / "messages/venues.jsonl").read_text().splitlines()
    mine = [r["message"] for r in map(json.loads, rows) if r["exchange"] == "kraken"]
    venue = protocol("trade")
    heard = [x for m in mine for x in venue.receive(dumps(m), NOW)]
    assert [type(x) for x in heard] == [History, Tick]
