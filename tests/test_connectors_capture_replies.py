from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.capture.replies import KNOWN, heard, replies_of
from connectors.venues.protocol import VENUES
from sfm_stream.errors import ConfigError

REQUESTS = [
    (
        "binance",
        {"method": "SUBSCRIBE", "params": ["btcusdt@trade", "ethusdt@trade"], "id": 7},
        ("btcusdt@trade", "ethusdt@trade"),
        [{"result": None, "id": 7}],
    ),
    (
        "coinbase",
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["matches"]},
        ("BTC-USD",),
        [{"type": "subscriptions",
          "channels": [{"name": "matches", "product_ids": ["BTC-USD"]}]}],
    ),
    (
        "coinbase-advanced",
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "market_trades"},
        ("BTC-USD",),
        [{"channel": "subscriptions",
          "events": [{"subscriptions": {"market_trades": ["BTC-USD"]}}]}],
    ),
    (
        "kraken",
        {"method": "subscribe", "req_id": 1,
         "params": {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": True}},
        ("BTC/USD",),
        [{"method": "subscribe", "success": True, "req_id": 1,
          "result": {"channel": "trade", "symbol": "BTC/USD"}}],
    ),
    ("kraken", {"method": "ping", "req_id": 2}, (), [{"method": "pong", "req_id": 2}]),
    (
        "okx",
        {"op": "subscribe", "args": [{"channel": "trades", "instId": "BTC-USDT"}]},
        ("BTC-USDT",),
        [{"event": "subscribe", "arg": {"channel": "trades", "instId": "BTC-USDT"}}],
    ),
    (
        "bybit",
        {"req_id": "a", "op": "subscribe", "args": ["publicTrade.BTCUSDT"]},
        ("publicTrade.BTCUSDT",),
        [{"success": True, "ret_msg": "", "conn_id": "1", "op": "subscribe",
          "req_id": "a"}],
    ),
    (
        "bybit", {"op": "ping"}, (),
        [{"success": True, "ret_msg": "pong", "conn_id": "1", "op": "ping",
          "req_id": ""}],
    ),
    (
        "bitstamp",
        {"event": "bts:subscribe", "data": {"channel": "live_trades_btcusd"}},
        ("live_trades_btcusd",),
        [{"event": "bts:subscription_succeeded", "channel": "live_trades_btcusd",
          "data": {}}],
    ),
    (
        "bitstamp", {"event": "bts:heartbeat"}, (),
        [{"event": "bts:heartbeat", "channel": "", "data": {}}],
    ),
    ("plain", {"anything": 1}, (), []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "request_", "topics", "answers"), REQUESTS)
def test_a_request_is_answered_as_the_venue_does(name, request_, topics, answers):
    asked, said = heard(replies_of(name), json.dumps(request_).encode())
    assert asked == topics
    assert [json.loads(answer) for answer in said] == answers


@pytest.mark.parametrize("name", KNOWN)
def test_text_pings_are_answered(name):
    assert heard(replies_of(name), b"ping") == ((), [b"pong"])


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["op", "args", "method", "params", "type", "event", "data", "channel"]
            ),
            inner
            | st.sampled_from(["subscribe", "SUBSCRIBE", "ping", "bts:subscribe"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", KNOWN)
@given(value=VALUES)
def test_whatever_a_client_says_is_survived(name, value):
    heard(replies_of(name), json.dumps(value).encode())


@given(st.binary(max_size=20))
def test_bytes_that_are_no_json_are_survived(frame):
    topics, _ = heard(replies_of("binance"), frame)
    assert topics == ()


def test_frames_of_binance_name_their_topic():
    subject = replies_of("binance").subject
    assert subject(b'{"stream":"btcusdt@trade","data":{}}') == "btcusdt@trade"
    assert subject(b'{"lastUpdateId":1}') is None


def test_the_replies_of_every_venue_are_known():
    assert set(VENUES) - {"json"} <= set(KNOWN)


def test_an_unknown_venue_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'kraken'"):
        replies_of("krakn")
