from __future__ import annotations

from pathlib import Path

import pytest

from connectors import open_feed
from connectors.venues.protocol import Alive, History, open_venue
from sfm_stream.config import from_tree
from sfm_stream.events import TICK, Gap, Tick
from sfm_stream.events.blocks import concatenate
from tests.venue_frames import (
    NOW,
    dumps,
    okx_book,
    okx_candle,
    okx_ticker,
    okx_trade,
    settings_of,
)

CAPTURES = Path(__file__).parents[2] / "shared/data/captures"
real = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the shared data sets are not here"
)


def protocol(channel="trades"):
    return open_venue(settings_of("okx", channel), "okx")


def kinds(venue, *frames):
    return [type(x) for frame in frames for x in venue.receive(dumps(frame), NOW)]


@pytest.mark.parametrize(("count", "gap"), [("3", False), ("2", True), ("9", False)])
def test_a_trade_of_several_ids_leaves_a_gap_only_if_it_must(count, gap):
    venue = protocol()
    said = kinds(venue, okx_trade(0), okx_trade(3, more=(("count", count),)))
    assert said == [History, *[Gap] * gap, Tick]


def test_ids_without_a_count_merely_rise():
    assert kinds(protocol(), okx_trade(0), okx_trade(9, more=())) == [History, Tick]


@pytest.mark.parametrize("make", [okx_trade, okx_ticker, okx_book])
def test_the_first_of_a_stream_on_each_connection_is_history(make):
    channel = make(0)["arg"]["channel"]
    venue = protocol(channel)
    assert kinds(venue, make(0), make(1)) == [History, Tick]
    venue.opened()
    assert kinds(venue, make(2), make(3)) == [History, Tick]


def test_an_empty_side_is_missing_and_an_empty_text_garbage():
    venue, book = protocol("bbo-tbt"), okx_book(0)
    book["data"][0]["asks"] = []
    (past,) = venue.receive(dumps(book), NOW)
    assert str(past.tick.values) == "(100.25, 3.78826, nan, nan)"
    venue, ticker = protocol("tickers"), okx_ticker(0)
    ticker["data"][0]["askPx"] = ""
    assert kinds(venue, ticker) == []
    assert venue.counters == {"garbage": 1}


def test_a_book_that_is_sent_again_is_a_sign_of_life():
    venue = protocol("bbo-tbt")
    kinds(venue, okx_book(0), okx_book(1))
    again = okx_book(60_000)
    again["data"][0]["seqId"] = okx_book(1)["data"][0]["seqId"]
    assert venue.receive(dumps(again), NOW + 60 * 10**9) == [Alive("BTC-USDT")]


def test_an_unfinished_candle_is_counted():
    venue, candle = protocol("candle1m"), okx_candle(0)
    candle["data"][0][-1] = "0"
    assert kinds(venue, candle) == []
    assert venue.counters == {"unfinished": 1}


def test_candles_and_single_trades_have_an_address_of_their_own():
    assert protocol("candle1H").url().endswith("/business")
    assert protocol("trades-all").url().endswith("/business")
    assert protocol("trades").url().endswith("/public")


@real
@pytest.mark.parametrize(("channel", "ticks"), [("trades", 71), ("tickers", 25)])
def test_a_real_capture_is_read_without_gaps(channel, ticks):
    feed = open_feed(from_tree({"feed": {
        "connector": "capture", "options": {"venue": "okx", "channel": channel},
        "path": str(CAPTURES / "okx/OKX.ws.1.0.gz")}}))  # fmt: skip
    block = concatenate(list(feed.blocks(1_000)))
    assert len(block) == ticks
    assert (block.kind == TICK).all()
    assert not {"garbage", "unknown", "duplicates"} & set(feed.counters)


@real
@pytest.mark.parametrize(
    ("channel", "name", "values"),
    [
        ("trades", "ws_trades.json", (42219.9, 0.12060306, 1.0)),
        ("tickers", "ws_tickers.json", (8888.88, 5.0, 9999.99, 11.0)),
        ("bbo-tbt", "ws_bbo_tbt.json", (8476.97, 256.0, 8476.98, 415.0)),
        ("candle1D", "ws_candle.json", (8533.02, 8553.74, 8527.17, 8548.26, 45247.0)),
    ],
)
def test_recorded_messages_are_read(channel, name, values):
    frame = (CAPTURES / "messages/okx" / name).read_bytes()
    (said,) = protocol(channel).receive(frame, NOW)
    assert getattr(said, "tick", said).values == values
