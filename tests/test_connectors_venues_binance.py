from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.venues.binance import Binance as Protocol
from connectors.venues.binance import BinanceUsdM as UsdM
from connectors.venues.protocol import Departing, Refused, Subscribed
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError
from sfm_stream.events import Gap, Tick
from tests.venue_frames import news

MESSAGES = Path(__file__).parents[2] / "shared" / "data" / "captures" / "messages"
NOW = 1_723_161_255_088_169_167
STAMP = 1_723_161_256_313
TRADE = {"e": "trade", "E": STAMP + 9, "T": STAMP, "s": "BTCUSDT", "t": 100,
         "p": "61800.30", "q": "0.006", "X": "MARKET", "m": False}  # fmt: skip
AGG = {"e": "aggTrade", "E": STAMP, "a": 10, "s": "BTCUSDT", "p": "1.5", "q": "2",
       "f": 100, "l": 105, "T": STAMP, "m": True}  # fmt: skip
SPOT = {"u": 50093239212, "s": "BTCUSDT", "b": "61837.63000000", "B": "3.78826000",
        "a": "61837.64000000", "A": "1.54698000"}  # fmt: skip
FUTURES = {"e": "bookTicker", **SPOT, "T": STAMP, "E": STAMP}


def Binance(channel, symbols=()):  # noqa: N802 stands for the class
    return Protocol(
        from_tree(
            {
                "feed": {"options": {"channel": channel}},
                "stream": {"symbols": list(symbols)},
            }
        )
    )


def frame(data, stream=""):
    return json.dumps({"stream": stream, "data": data} if stream else data).encode()


def test_spot_quote_takes_the_receive_stamp():
    events = Binance("bookTicker").receive(frame(SPOT, "btcusdt@bookTicker"), NOW)
    assert events == [Tick("btcusdt", NOW, (61837.63, 3.78826, 61837.64, 1.54698), NOW)]


def test_futures_quote_has_a_time_of_its_own():
    (tick,) = Binance("bookTicker").receive(frame(FUTURES, "btcusdt@bookTicker"), NOW)
    assert (tick.time, tick.received) == (STAMP * 10**6, NOW)


@pytest.mark.parametrize("quote", [SPOT, FUTURES])
def test_bare_frames_say_the_same_as_wrapped_ones(quote):
    bare = Binance("bookTicker").receive(frame(quote), NOW)
    assert bare
    assert bare == Binance("bookTicker").receive(
        frame(quote, "btcusdt@bookTicker"), NOW
    )
    assert bare == Binance("bookTicker").receive(frame(quote, "!bookTicker"), NOW)


@pytest.mark.parametrize(("maker", "side"), [(False, 1.0), (True, -1.0)])
def test_side_is_that_of_the_aggressor(maker, side):
    (tick,) = Binance("trade").receive(frame({**TRADE, "m": maker}), NOW)
    assert tick == Tick("btcusdt", STAMP * 10**6, (61800.3, 0.006, side), NOW)


def test_stamps_in_microseconds_are_known_by_their_size():
    (tick,) = Binance("trade").receive(frame({**TRADE, "T": STAMP * 1000 + 1}), NOW)
    assert tick.time == STAMP * 10**6 + 1000


def test_jump_of_trade_ids_is_a_gap_before_the_tick():
    venue = Binance("trade")
    venue.receive(frame(TRADE), NOW)
    gap, tick = venue.receive(frame({**TRADE, "t": 104}), NOW)
    assert gap == Gap("btcusdt", STAMP * 10**6, "ids 101..103 missing", 3)
    assert isinstance(tick, Tick)
    assert len(venue.receive(frame({**TRADE, "t": 105}), NOW)) == 1


def test_ids_of_each_symbol_stand_alone():
    venue = Binance("trade")
    venue.receive(frame(TRADE), NOW)
    assert len(venue.receive(frame({**TRADE, "s": "ETHUSDT", "t": 7}), NOW)) == 1
    assert len(venue.receive(frame({**TRADE, "t": 101}), NOW)) == 1


@pytest.mark.parametrize("again", [100, 99, 0])
def test_repeated_trade_is_dropped_and_counted(again):
    venue = Binance("trade")
    venue.receive(frame(TRADE), NOW)
    assert news(venue.receive(frame({**TRADE, "t": again}), NOW)) == []
    assert venue.counters == {"duplicates": 1}
    assert len(venue.receive(frame({**TRADE, "t": 101}), NOW)) == 1


def test_jump_of_aggregates_counts_aggregates():
    venue = Binance("aggTrade")
    (tick,) = venue.receive(frame(AGG), NOW)
    assert tick.values == (1.5, 2.0, -1.0)
    gap, _ = venue.receive(frame({**AGG, "a": 13, "f": 120, "l": 121}), NOW)
    assert (gap.reason, gap.missed) == ("ids 11..12 missing", 2)
    assert len(venue.receive(frame({**AGG, "a": 14, "f": 130, "l": 130}), NOW)) == 1


def test_other_than_market_trades_are_counted_and_leave_no_gap():
    venue = Binance("trade")
    venue.receive(frame(TRADE), NOW)
    odd = {**TRADE, "t": 101, "X": "INSURANCE_FUND"}
    assert venue.receive(frame(odd), NOW) == []
    assert len(venue.receive(frame({**TRADE, "t": 102}), NOW)) == 1
    assert venue.counters == {"not market": 1}


@pytest.mark.parametrize("step", [0, -1])
def test_stale_quote_is_dropped_and_counted(step):
    venue = Binance("bookTicker")
    venue.receive(frame(SPOT), NOW)
    assert news(venue.receive(frame({**SPOT, "u": SPOT["u"] + step}), NOW)) == []
    assert venue.counters == {"duplicates": 1}
    assert len(venue.receive(frame({**SPOT, "u": SPOT["u"] + 9}), NOW)) == 1


@pytest.mark.parametrize(
    "price", ["0.-10000", "", None, "nan", "inf", "1e999", [], "1_0", True]
)
def test_garbage_price_is_skipped_and_counted(price):
    for channel, message, key in (("bookTicker", SPOT, "b"), ("trade", TRADE, "p")):
        venue = Binance(channel)
        assert venue.receive(frame({**message, key: price}), NOW) == []
        assert venue.counters == {"garbage": 1}
        assert len(venue.receive(frame(message), NOW)) == 1


@pytest.mark.parametrize("key", sorted(TRADE.keys() - {"e", "E", "X"}))
def test_trade_without_a_part_is_garbage(key):
    venue = Binance("trade")
    short = {k: v for k, v in TRADE.items() if k != key}
    assert venue.receive(frame(short), NOW) == []
    assert venue.counters == {"garbage": 1}


@pytest.mark.parametrize(
    ("message", "stream", "reason"),
    [
        ({"result": None, "id": 1}, "", "acknowledgements"),
        ({"error": {"code": 2, "msg": "x"}, "id": 1}, "", "errors"),
        ({"code": 2, "msg": "x"}, "", "errors"),
        ({"lastUpdateId": 5, "bids": [], "asks": []}, "", "snapshots"),
        ({"e": "depthUpdate", "b": [], "a": []}, "btcusdt@depth@100ms", "depth"),
        ({"e": "depthUpdate", "b": [], "a": []}, "", "depth"),
        ({"bids": []}, "btcusdt@depth5", "depth"),
        ({"e": "kline"}, "btcusdt@kline_1m", "kline"),
        ({"e": "kline"}, "", "kline"),
        ([], "!ticker@arr", "ticker"),
        ({"e": "24hrTicker"}, "", "ticker"),
        ({"e": "serverShutdown", "E": 1}, "!serverShutdown", "serverShutdown"),
        (TRADE, "btcusdt@trade", "trade"),
        ({"e": "surprise"}, "", "unknown"),
        ({"e": "surprise"}, "btcusdt@surprise", "unknown"),
        ({}, "", "unknown"),
        ([], "", "garbage"),
        (None, "", "garbage"),
    ],
)
def test_what_is_no_tick_is_counted_by_its_kind(message, stream, reason):
    venue = Binance("bookTicker")
    said = venue.receive(frame(message, stream), NOW)
    kinds = {"acknowledgements": Subscribed, "errors": Refused,
             "serverShutdown": Departing}  # fmt: skip
    assert [type(notice) for notice in said] == [
        kind for name, kind in kinds.items() if name == reason
    ]
    assert venue.counters == {reason: 1}


@pytest.mark.parametrize(
    "odd",
    [b"", b"\xff\xfe", b"[" * 100_000, b'{"data":' * 100_000,
     b'{"stream":"\xff","data":{}}',
     b'{"e":"trade","s":"A","t":' + b"9" * 5000 + b"}", b'{"e":"trade","s":"\\ud800"}'],
)  # fmt: skip
def test_hostile_bytes_are_counted(odd):
    for channel in Protocol.channels:
        venue = Binance(channel)
        assert venue.receive(odd, NOW) == []
        assert sum(venue.counters.values()) == 1


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60)), st.sampled_from(list(Protocol.channels)))
def test_random_bytes_never_raise(frames, channel):
    venue = Binance(channel)
    for odd in frames:
        assert venue.receive(odd, NOW) == []
    assert sum(venue.counters.values()) == len(frames)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=200)
@given(
    st.sampled_from(
        [
            ("trade", TRADE),
            ("aggTrade", AGG),
            ("bookTicker", SPOT),
            ("bookTicker", FUTURES),
        ]
    ),
    st.data(),
)
def test_any_value_in_any_place_gives_events_or_a_count(case, data):
    channel, message = case
    key = data.draw(st.sampled_from(sorted(message)))
    odd = json.dumps({**message, key: data.draw(JSON)}).encode("utf-8", "replace")
    venue = Binance(channel)
    events = venue.receive(odd, NOW)
    # A tick whose time is absurd takes that of receipt, and is counted too.
    refused = {k: v for k, v in venue.counters.items() if k != "absurd times"}
    assert bool(events) != bool(refused)
    for tick in events:
        assert abs(tick.time) < 2**63
        assert all(abs(v) < float("inf") for v in tick.values)


@settings(max_examples=100)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_ids_only_rise_and_gaps_count_what_is_missing(ids):
    venue = Binance("trade")
    said = [
        e
        for i in ids
        for e in venue.receive(frame({**TRADE, "t": i, "p": str(i + 1)}), NOW)
    ]
    kept = [e.values[0] for e in said if isinstance(e, Tick)]
    missed = sum(e.missed or 0 for e in said if isinstance(e, Gap))
    assert kept == sorted(set(kept))
    assert len(kept) + missed == kept[-1] - kept[0] + 1
    assert len(kept) + venue.counters["duplicates"] == len(ids)


def test_subscription_names_symbols_in_lower_case_and_in_parts():
    venue = Binance("trade", ["BTCUSDT", "ethusdt"])
    assert venue.topics == ("btcusdt", "ethusdt")
    (one,) = venue.subscribe(venue.topics)
    assert msgspec.json.decode(one) == {
        "method": "SUBSCRIBE", "params": ["btcusdt@trade", "ethusdt@trade"], "id": 1,
    }  # fmt: skip
    many = venue.subscribe([f"s{i}" for i in range(250)])
    assert [len(msgspec.json.decode(f)["params"]) for f in many] == [100, 100, 50]
    assert venue.subscribe([]) == []


def test_unknown_channel_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'bookTicker'") as e:
        Binance("bookticker")
    assert e.value.at == "feed.options.channel"


@pytest.mark.skipif(not MESSAGES.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(
    ("name", "channel"),
    [("agg_trade", "aggTrade"), ("book_ticker", "bookTicker"), ("trade", "trade")],
)
def test_recorded_messages_are_ticks(name, channel):
    text = (MESSAGES / "binance" / f"{name}_stream.json").read_bytes()
    assert len(Binance(channel).receive(text, NOW)) == 1


def usdm(channel, url=""):
    return UsdM(from_tree({"feed": {"options": {"channel": channel, "url": url}}}))


@pytest.mark.parametrize(("channel", "kind"), [
    ("bookTicker", "public"), ("trade", "public"), ("aggTrade", "market"),
    ("kline_1m", "market"),
])  # fmt: skip
def test_futures_have_an_address_for_each_kind_of_stream(channel, kind):
    assert usdm(channel).url() == f"wss://fstream.binance.com/{kind}/stream"
    other = "wss://elsewhere.example/stream"
    assert usdm(channel, other).url() == other


@pytest.mark.parametrize(("channel", "path"), [
    ("aggTrade", "/stream"), ("kline_1m", "/public/stream"), ("trade", "/market/stream"),
])  # fmt: skip
def test_an_address_of_the_venue_that_never_sends_a_channel_is_refused(channel, path):
    with pytest.raises(ConfigError, match=r"never comes from .*; leave it out"):
        usdm(channel, f"wss://fstream.binance.com{path}")
