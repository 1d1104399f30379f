from __future__ import annotations

from pathlib import Path

import pytest

from connectors import open_feed
from connectors.venues.protocol import History, open_venue
from sfm_stream.config import from_tree
from sfm_stream.events import TICK, Tick
from sfm_stream.events.blocks import concatenate
from tests.venue_frames import NOW, coinbase_match, coinbase_ticker, dumps, settings_of

CAPTURE = (
    Path(__file__).parents[2] / "shared/data/captures/coinbase/COINBASE.ws.28.0.gz"
)


def protocol(channel):
    return open_venue(settings_of("coinbase", channel), "coinbase")


def test_the_aggressor_is_the_other_side_of_the_maker():
    for side, sign in (("sell", 1.0), ("buy", -1.0)):
        frame = dumps({**coinbase_match(0), "side": side})
        (tick,) = protocol("matches").receive(frame, NOW)
        assert tick.values == (100.25, 0.006, sign)


def test_the_last_match_before_the_subscription_is_history():
    venue = protocol("matches")
    last = {**coinbase_match(0), "type": "last_match"}
    (past,) = venue.receive(dumps(last), NOW)
    assert isinstance(past, History)
    assert isinstance(venue.receive(dumps(coinbase_match(1)), NOW)[0], Tick)


def test_the_first_ticker_of_each_connection_is_history():
    venue = protocol("ticker")
    kinds = []
    for i in range(4):
        if i == 2:
            venue.opened()
        kinds.append(type(venue.receive(dumps(coinbase_ticker(i)), NOW)[0]))
    assert kinds == [History, Tick, History, Tick]


def test_a_ticker_without_sizes_has_missing_ones():
    old = {k: v for k, v in coinbase_ticker(0).items() if not k.endswith("size")}
    (past,) = protocol("ticker").receive(dumps(old), NOW)
    assert str(past.tick.values) == "(100.25, nan, 200.5, nan)"


def test_a_year_one_time_becomes_that_of_receipt():
    venue = protocol("matches")
    frame = dumps({**coinbase_match(0), "time": "0001-01-01T00:00:00.000000Z"})
    assert venue.receive(frame, NOW)[0].time == NOW
    assert venue.counters == {"absurd times": 1}


@pytest.mark.parametrize("price", ["0.-10000", "", None, "nan", "inf", []])
def test_garbage_prices_are_counted(price):
    venue = protocol("matches")
    assert venue.receive(dumps({**coinbase_match(0), "price": price}), NOW) == []
    assert venue.counters == {"garbage": 1}


@pytest.mark.skipif(not CAPTURE.exists(), reason="the shared data sets are not here")
@pytest.mark.parametrize(("channel", "ticks"), [("matches", 97), ("ticker", 97)])
def test_a_real_capture_is_read_without_gaps(channel, ticks):
    feed = open_feed(from_tree({"feed": {
        "connector": "capture", "path": str(CAPTURE),
        "options": {"venue": "coinbase", "channel": channel}}}))  # fmt: skip
    block = concatenate(list(feed.blocks(1_000)))
    assert len(block) == ticks
    assert (block.kind == TICK).all()
    assert not {"garbage", "unknown", "duplicates"} & set(feed.counters)
    assert feed.counters["l2update"] == 9719
