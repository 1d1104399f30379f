from __future__ import annotations

from pathlib import Path

import pytest

from connectors import open_feed
from connectors.venues.protocol import open_venue
from sfm_stream.config import from_tree
from sfm_stream.events import TICK
from sfm_stream.events.blocks import concatenate
from tests.venue_frames import NOW, bitstamp_book, bitstamp_trade, dumps, settings_of

CAPTURE = Path(__file__).parents[2] / "shared/data/captures/bitstamp/BITSTAMP.ws.1.0.gz"


def protocol(channel="live_trades"):
    return open_venue(settings_of("bitstamp", channel), "bitstamp")


@pytest.mark.parametrize(("kind", "side"), [(0, 1.0), (1, -1.0)])
def test_the_type_of_a_trade_is_its_side(kind, side):
    frame = bitstamp_trade(0)
    frame["data"]["type"] = kind
    (tick,) = protocol().receive(dumps(frame), NOW)
    assert tick.values == (100.25, 0.006, side)


def test_an_id_left_out_is_no_gap_for_other_pairs_share_them():
    venue = protocol()
    said = [venue.receive(dumps(bitstamp_trade(i)), NOW) for i in (0, 5)]
    assert [len(x) for x in said] == [1, 1]


def test_an_empty_side_of_the_book_is_missing():
    frame = bitstamp_book(0)
    frame["data"]["bids"] = []
    (tick,) = protocol("order_book").receive(dumps(frame), NOW)
    assert str(tick.values) == "(nan, nan, 200.5, 1.54698)"


@pytest.mark.skipif(not CAPTURE.exists(), reason="the shared data sets are not here")
def test_a_real_capture_is_read():
    feed = open_feed(from_tree({"feed": {
        "connector": "capture", "options": {"venue": "bitstamp", "channel": "live_trades"},
        "path": str(CAPTURE)}}))  # fmt: skip
    block = concatenate(list(feed.blocks(1_000)))
    assert len(block) == 10
    assert (block.kind == TICK).all()
    assert block.streams == ("ethusd",)
    assert block.time[0] == 1_641_343_699_596_000_000
    assert feed.counters == {
        "connections": 1, "sent": 20, "acknowledgements": 20, "diff_order_book": 717,
    }  # fmt: skip
