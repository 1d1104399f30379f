from __future__ import annotations

from pathlib import Path

import pytest

from connectors.venues.protocol import History, Subscribed, open_venue
from sfm_stream.events import Gap, Tick
from tests.venue_frames import (
    NOW,
    advanced_candle,
    advanced_ticker,
    advanced_trade,
    dumps,
    settings_of,
)

MESSAGES = Path(__file__).parents[2] / "shared/data/captures/messages/coinbase"


def protocol(channel="market_trades"):
    return open_venue(settings_of("coinbase-advanced", channel), "coinbase-advanced")


def trades(number, *ids, kind="update"):
    frame = advanced_trade(number)
    part = frame["events"][0]
    part["type"] = kind
    part["trades"] = [{**part["trades"][0], "trade_id": str(i)} for i in ids]
    return dumps(frame)


def test_a_number_left_out_is_a_gap_of_all_streams():
    venue = protocol()
    venue.receive(trades(0, 1), NOW)
    gap, tick = venue.receive(trades(4, 2), NOW)
    assert gap == Gap("", NOW, "messages 1..3 missing")
    assert isinstance(tick, Tick)


def test_numbers_count_heartbeats_and_other_channels_too():
    venue = protocol()
    venue.receive(trades(0, 1), NOW)
    for number, channel in ((1, "heartbeats"), (2, "l2_data"), (3, "novelty")):
        frame = dumps({"channel": channel, "sequence_num": number, "events": []})
        assert not any(isinstance(x, Gap) for x in venue.receive(frame, NOW))
    assert [type(x) for x in venue.receive(trades(4, 2), NOW)] == [Tick]


def test_numbers_start_anew_with_each_connection():
    venue = protocol()
    venue.receive(trades(700, 1), NOW)
    venue.opened()
    assert [type(x) for x in venue.receive(trades(0, 2), NOW)] == [Tick]


def test_a_message_that_came_before_is_dropped_whole():
    venue = protocol("ticker")
    for i in (0, 1, 1, 0):
        venue.receive(dumps(advanced_ticker(i)), NOW)
    assert venue.counters == {"duplicates": 2}


def test_lists_from_the_newest_to_the_oldest_are_turned_round():
    said = protocol().receive(trades(0, 9, 8, 7, kind="snapshot"), NOW)
    assert [type(x) for x in said] == [History] * 3


def test_one_garbage_record_does_not_spoil_the_others():
    venue = protocol()
    frame = advanced_trade(0)
    good = frame["events"][0]["trades"][0]
    frame["events"][0]["trades"] = [{**good, "price": "0.-1"}, good]
    assert [type(x) for x in venue.receive(dumps(frame), NOW)] == [Tick]
    assert venue.counters == {"garbage": 1}
    assert venue.receive(trades(1, 995098701), NOW)


def test_candles_of_a_snapshot_are_history_but_for_the_one_that_grows():
    venue = protocol("candles")
    frame = advanced_candle(0)
    first = frame["events"][0]["candles"][0]
    older = [{**first, "start": str(int(first["start"]) + 300 * i)} for i in (2, 1, 0)]
    frame |= {"events": [{"type": "snapshot", "candles": older}], "sequence_num": 2}
    assert [type(x) for x in venue.receive(dumps(frame), NOW)] == [History, History]
    (tick,) = venue.receive(dumps(advanced_candle(3)), NOW)
    assert isinstance(tick, Tick)
    assert tick.time == (int(first["start"]) + 900) * 10**9


@pytest.mark.skipif(not MESSAGES.is_dir(), reason="the shared data sets are not here")
def test_recorded_messages_are_read():
    def said(channel, name):
        return protocol(channel).receive((MESSAGES / name).read_bytes(), NOW)

    sides = [x.values[2] for x in said("market_trades", "ws_market_trades.json")]
    assert sides == [1.0, -1.0]
    (past,) = said("ticker", "ws_ticker.json")
    assert past.tick.values == (68900.0, 1.5, 68901.0, 0.5)
    topics = said("market_trades", "ws_subscriptions.json")
    assert topics == [Subscribed("BTC-USD"), Subscribed("ETH-USD")]
    assert said("candles", "ws_candles.json") == []
