from __future__ import annotations

from pathlib import Path

import pytest

from connectors import open_feed
from connectors.venues.protocol import Alive, History, Subscribed, open_venue
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError
from sfm_stream.events import Tick
from tests.feed_tables import feed_table
from tests.venue_frames import ANSWERS, NOW, dumps, frames, sensor, settings_of

CAPTURES = Path(__file__).parents[2] / "shared/data/captures"
QUOTE = ("bid", "bid_qty", "ask", "ask_qty")
SIDES = {"side": {"buy": 1, "sell": -1, "BUY": 1, "SELL": -1}}

# Venues as configuration; each says the same as the venue's own protocol.
TOLD = {
    ("binance", "trade"): {
        "columns": {"price": "p", "qty": "q", "side": "m"},
        "symbol": "$.stream", "time": "T", "time_unit": "ms",
        "options": {
            "match": {"data.e": "trade"}, "records": "data", "name": "^([^@]+)@",
            "id": "t", "contiguous": True, "codes": {"side": {"true": -1, "false": 1}},
            "subscribe": ['{"method":"SUBSCRIBE","params":["{topic}@trade"],"id":1}'],
            "acknowledged": {"id": "*"},
        },
    },
    ("binance", "bookTicker"): {
        "columns": dict(zip(QUOTE, "bBaA", strict=True)), "symbol": "$.stream",
        "options": {"match": {"data.u": "*", "data.A": "*"}, "records": "data",
                 "name": "^([^@]+)@bookTicker", "id": "u"},
    },
    ("coinbase", "matches"): {
        "columns": {"price": "price", "qty": "size", "side": "side"},
        "symbol": "product_id", "time": "time", "time_unit": "iso",
        "options": {
            "match": {"type": ["match", "last_match"]}, "id": "trade_id",
            "contiguous": True, "codes": {"side": {"sell": 1, "buy": -1}},
            "history": {"type": "last_match"}, "alive": {"type": "heartbeat"},
            "acknowledged": {"type": "subscriptions"}, "refused": {"type": "error"},
        },
    },
    ("coinbase", "ticker"): {
        "columns": {"bid": "best_bid", "bid_qty": "best_bid_size",
                    "ask": "best_ask", "ask_qty": "best_ask_size"},
        "symbol": "product_id", "time": "time",
        "options": {"match": {"type": "ticker"}, "id": "sequence", "repeats": True},
    },
    ("kraken", "trade"): {
        "columns": {"price": "price", "qty": "qty", "side": "side"},
        "symbol": "symbol", "time": "timestamp",
        "options": {
            "match": {"channel": "trade"}, "records": "data", "id": "trade_id",
            "contiguous": True, "codes": SIDES, "history": {"type": "snapshot"},
            "alive": {"channel": "heartbeat"},
            "acknowledged": {"method": "subscribe", "success": "true"},
            "refused": {"method": "subscribe"}, "topic": "result.symbol",
        },
    },
    ("coinbase-advanced", "market_trades"): {
        "columns": {"price": "price", "qty": "size", "side": "side"},
        "symbol": "product_id", "time": "time",
        "options": {"match": {"channel": "market_trades"}, "records": "events.0.trades",
                 "id": "trade_id", "codes": SIDES,
                 "history": {"events.0.type": "snapshot"}},
    },
    ("okx", "trades"): {
        "columns": {"price": "px", "qty": "sz", "side": "side"},
        "symbol": "$.arg.instId", "time": "ts", "time_unit": "ms",
        "options": {
            "match": {"arg.channel": "trades", "data": "*"}, "records": "data",
            "id": "tradeId", "codes": SIDES, "repeats": True, "pong": "pong",
            "ping": "ping", "acknowledged": {"event": "subscribe"},
            "refused": {"event": "error"}, "topic": "arg.instId",
            "departing": {"event": "notice"},
        },
    },
    ("okx", "tickers"): {
        "columns": {"bid": "bidPx", "bid_qty": "bidSz", "ask": "askPx", "ask_qty": "askSz"},
        "symbol": "$.arg.instId", "time": "ts",
        "options": {"match": {"arg.channel": "tickers", "data": "*"}, "records": "data",
                 "repeats": True},
    },
    ("bybit", "publicTrade"): {
        "columns": {"price": "p", "qty": "v", "side": "S"}, "symbol": "s", "time": "T",
        "options": {"match": {"type": "snapshot", "data.0.S": "*"}, "records": "data",
                 "codes": {"side": {"Buy": 1, "Sell": -1}}},
    },
    ("bitstamp", "live_trades"): {
        "columns": {"price": "price", "qty": "amount", "side": "type"},
        "symbol": "$.channel", "time": "microtimestamp", "time_unit": "us",
        "options": {
            "match": {"event": "trade"}, "records": "data", "id": "id",
            "name": "^live_trades_(.+)", "codes": {"side": {"0": 1, "1": -1}},
            "acknowledged": {"event": "bts:subscription_succeeded"}, "topic": "channel",
            "departing": {"event": "bts:request_reconnect"},
        },
    },
}  # fmt: skip

FILES = {
    ("binance", "trade"): "binance/spot_btcusdt_20240808.gz",
    ("binance", "bookTicker"): "binance/spot_btcusdt_20240808.gz",
    ("coinbase", "matches"): "coinbase/COINBASE.ws.28.0.gz",
    ("coinbase", "ticker"): "coinbase/COINBASE.ws.28.0.gz",
    ("okx", "trades"): "okx/OKX.ws.1.0.gz",
    ("okx", "tickers"): "okx/OKX.ws.1.0.gz",
    ("bitstamp", "live_trades"): "bitstamp/BITSTAMP.ws.1.0.gz",
}
# A count of ids within a trade, and one of a connection's messages, cannot be told.
UNTOLD = {("okx", "trades"), ("coinbase-advanced", "market_trades")}


def told(name, channel):
    return open_venue(from_tree({"feed": TOLD[name, channel]}), "json")


def seen(events):
    """Make NaN equal to itself."""
    return [str(event) for event in events]


def protocol(more=(), json=()):
    tree = {"feed": {"columns": {"value": "v"}, **dict(more), "options": dict(json)}}
    return open_venue(from_tree(tree), "json")


@pytest.mark.parametrize(("name", "channel"), TOLD)
def test_a_venue_told_by_configuration_says_what_its_own_protocol_says(name, channel):
    texts = frames(name, channel, 30)
    again = [texts[3]] if "id" in TOLD[name, channel]["options"] else []
    mixed = [*texts[:5], *again, b"{", *texts[9:]]
    both = told(name, channel), open_venue(settings_of(name, channel), name)
    mine, ours = (
        [x for text in mixed for x in each.receive(text, NOW)] for each in both
    )
    if (name, channel) in UNTOLD:
        ours = [x for x in ours if isinstance(x, Tick | History)]
    assert seen(mine) == seen(ours)
    assert len(ours) >= 25


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(("name", "channel"), FILES)
def test_a_real_capture_gives_the_same_events_either_way(name, channel):
    feed = {"connector": "capture", "path": str(CAPTURES / FILES[name, channel])}
    trees = [feed_table(**TOLD[name, channel], **feed, venue="json"),
             feed_table(**feed, venue=name, channel=channel)]  # fmt: skip
    both = [
        [x for block in open_feed(from_tree({"feed": tree})).blocks(5_000)
         for x in block.events()]
        for tree in trees
    ]  # fmt: skip
    assert len(both[1]) >= 10
    assert seen(both[0]) == seen(both[1])


@pytest.mark.parametrize("name", ["coinbase", "kraken", "okx", "bitstamp"])
def test_notices_are_those_of_the_protocol(name):
    channel = ANSWERS[name]["channel"]
    for kind, frame in ANSWERS[name].items():
        if kind in ("symbol", "channel", "refused"):
            continue
        text = frame if isinstance(frame, bytes) else dumps(frame)
        both = told(name, channel), open_venue(settings_of(name, channel), name)
        mine, theirs = ([type(x) for x in each.receive(text, NOW)] for each in both)
        assert mine == theirs or (name, kind) == ("bitstamp", "alive")


def test_a_sensor_is_read_without_a_line_of_code():
    protocol = open_venue(settings_of("json"), "json")
    (tick,) = protocol.receive(dumps(sensor(0)), NOW)
    assert (tick.stream, tick.values) == ("hall-3", (21.5, 1.0))
    assert protocol.subscribe(["a", "b"]) == [
        b'{"ask":"readings","of":["a","b"]}', b'{"ask":"beats"}',
    ]  # fmt: skip


def test_a_feed_may_be_bare_numbers():
    venue = protocol()
    assert venue.receive(b'{"v":1.5}', NOW) == [Tick("main", NOW, (1.5,), NOW)]
    assert venue.subscribe([]) == []


@pytest.mark.parametrize("frame", [b'{"v":null}', b"{}", b'{"v":"x"}', b'{"v":[1]}',
                                   b'{"v":1e999}', b'{"v":"nan"}', b'{"v":nan}',
                                   b'{"v":"unavailable"}', b'{"v":%s}' % (b"9" * 400)])  # fmt: skip
def test_a_record_without_a_number_is_garbage(frame):
    venue = protocol()
    assert venue.receive(frame, NOW) == []
    assert venue.counters["garbage"] == 1


@pytest.mark.parametrize("word", [b'"x"', b'"nan"', b"nan", b"NaN", b"-Infinity", b"[1]",
                                  b'"unavailable"', b"1e999", b'"21.5 C"', b'""'])  # fmt: skip
def test_a_field_that_is_no_number_is_missing_and_not_the_record(word):
    venue = protocol(more=[("columns", {"v": "v", "w": "w"})])
    (tick,) = venue.receive(b'{"v":1.5,"w":%b}' % word, NOW)
    assert str(tick.values) == "(1.5, nan)"
    assert venue.counters["no numbers"] == (
        b"nan" not in word.lower() or b'"' in word
    ) * 1 - (word == b"-Infinity")


def test_true_and_false_are_one_and_zero():
    venue = protocol(more=[("columns", {"v": "v", "door": "door"})])
    frames = [
        b'{"v":%d,"door":%b}' % (i, (b"true", b"false", b"null")[i % 3])
        for i in range(6)
    ]
    said = [str(x.values) for frame in frames for x in venue.receive(frame, NOW)]
    assert said == ["(0.0, 1.0)", "(1.0, 0.0)", "(2.0, nan)",
                    "(3.0, 1.0)", "(4.0, 0.0)", "(5.0, nan)"]  # fmt: skip
    assert not venue.counters


@pytest.mark.parametrize("between", [b" ", b"\n", b"\r\n\x1e", b"", b",\n"])
def test_several_documents_in_a_frame_are_all_read(between):
    venue = protocol(more=[("time", "t"), ("time_unit", "ns")])
    frame = between.join(b'{"v":%d,"t":%d}' % (i, NOW + i) for i in range(5))
    said = [(x.values, x.time - NOW) for x in venue.receive(frame, NOW + 9)]
    assert said == [((float(i),), i) for i in range(5)]


def test_what_is_cut_off_after_a_document_is_counted():
    venue = protocol()
    assert len(venue.receive(b'{"v":1}{"v":2', NOW)) == 1
    assert venue.counters == {"garbage": 1}


@pytest.mark.parametrize("odd", [b"[" * 100_000, b"9" * 5_000, b"-" + b"9" * 5_000])
@pytest.mark.parametrize("before", [b"", b'{"v":1}'])
def test_nesting_and_digits_without_end_are_garbage_alone(odd, before):
    venue = protocol()
    frame = before + b'{"v":' + odd + b"}"
    assert len(venue.receive(frame, NOW)) == (before != b"")
    assert venue.counters == {"garbage": 1}


def test_records_that_stand_by_name_are_streams_of_these_names():
    venue = protocol(more=[("columns", {"t": "t"})], json={"records": "rooms"})
    frame = b'{"at":1,"rooms":{"hall":{"t":19.5},"attic":{"t":25.5},"loft":{}}}'
    said = [(x.stream, x.values) for x in venue.receive(frame, NOW)]
    assert said == [("hall", (19.5,)), ("attic", (25.5,))]
    assert venue.counters == {"garbage": 1}
    assert [x.stream for x in venue.receive(b'{"rooms":{"t":1}}', NOW)] == ["main"]


def test_a_code_that_is_not_told_is_a_missing_value():
    columns = {"v": "v", "door": "door"}
    venue = protocol(more=[("columns", columns)], json={"codes": {"door": {"open": 1}}})
    texts = [str(x.values) for word in (b'"open"', b'"ajar"', b"null")
             for x in venue.receive(b'{"v":1,"door":%b}' % word, NOW)]  # fmt: skip
    assert texts == ["(1.0, 1.0)", "(1.0, nan)", "(1.0, nan)"]
    assert venue.counters == {"no numbers": 1}


def test_a_value_that_is_not_there_is_missing():
    venue = protocol(more=[("columns", {"a": "of.0", "b": "of.1"})])
    (tick,) = venue.receive(b'{"of":[1,null]}', NOW)
    assert str(tick.values) == "(1.0, nan)"


def test_times_in_fractions_of_seconds_are_exact():
    venue = protocol(more=[("time", "t"), ("time_unit", "s")])
    (tick,) = venue.receive(b'{"v":1,"t":1633998512.063356789}', NOW)
    assert tick.time == 1_633_998_512_063_356_789


@pytest.mark.parametrize("stamp", ["null", "true", "[]", '"soon"', "0", "1e30"])
def test_an_invalid_time_becomes_that_of_receipt(stamp):
    venue = protocol(more=[("time", "t")])
    (tick,) = venue.receive(b'{"v":1,"t":%s}' % stamp.encode(), NOW)
    assert tick.time == NOW
    assert venue.counters == {"absurd times": 1}


def test_symbols_are_written_into_frames_as_json_text():
    venue = protocol(json=[("subscribe", ['{"s":"{topic}"}'])])
    assert venue.subscribe(['a"b']) == [b'{"s":"a\\"b"}']


def test_an_answer_may_name_several_topics():
    match = [
        ("acknowledged", {"ok": "true"}),
        ("topic", "of"),
        ("alive", {"beat": "*"}),
    ]
    venue = protocol(json=match)
    assert venue.receive(b'{"ok":true,"of":["a","b"]}', NOW) == [
        Subscribed("a"), Subscribed("b"),
    ]  # fmt: skip
    assert venue.receive(b'{"beat":1}', NOW) == [Alive()]


@pytest.mark.parametrize(
    ("more", "json", "at"),
    [
        ([("columns", {})], [], "feed.columns"),
        ([], [("name", "(")], "feed.options.name"),
        ([], [("name", "x")], "feed.options.name"),
    ],
)
def test_what_cannot_be_meant_is_refused(more, json, at):
    with pytest.raises(ConfigError) as e:
        protocol(more, json)
    assert e.value.at == at


def test_a_feed_without_an_address_cannot_be_connected_to():
    with pytest.raises(ConfigError, match=r"feed\.options\.url"):
        protocol().url()


ODD = Path(__file__).parents[2] / "shared/data/odd_files"


@pytest.mark.skipif(not ODD.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(("name", "feed", "ticks"), [
    ("mqtt_nan_bare", {"columns": {"t": "Hall.Temperature"}, "time": "Time"}, 150),
    ("two_json_per_frame", {"columns": {"t": "t"}, "time": "at"}, None),
    ("bool_and_units", {"columns": {"t": "door"}, "time": "at"}, None),
    ("dict_of_streams", {"columns": {"t": "t"}, "time": "$.at", "options": {"records": "rooms"}}, None),
])  # fmt: skip
def test_messages_in_the_shape_of_complaints_are_read_whole(name, feed, ticks):
    path = ODD / f"{name}.cap"
    tree = feed_table(connector="capture", venue="json", path=str(path), **feed)
    source = open_feed(from_tree({"feed": tree}))
    events = [x for block in source.blocks(1_000) for x in block.events()]
    assert all(isinstance(x, Tick) for x in events)
    lines = len(path.read_bytes().splitlines())
    twice = name in ("two_json_per_frame", "dict_of_streams")
    assert len(events) == (ticks or lines * (1 + twice))
