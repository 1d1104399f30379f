"""What venues answer to subscriptions and pings, for the simulator.

A venue is a row of a table. `plain` answers nothing and sends everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sfm_stream.errors import ConfigError, did_you_mean

Request = Mapping[str, Any]
NOTHING: tuple[str, ...] = ()
IDS = re.compile(rb'"(t|u|a|E|T)":(\d+)')
STREAM = re.compile(rb'\{"stream":"([^"]+)"')


class Replies(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says to those who connect.

    Attributes:
        topics: what a request subscribes to; empty if it is another one.
        answers: what is said to a request, be it a subscription or a ping.
        subject: which topic a message is of, or None if that cannot be told.
        ids: finds key and number of what only rises, times too, to repeat a capture.
        unasked: whether all is said to whoever connects.
    """

    topics: Callable[[Request], tuple[str, ...]] = lambda _: NOTHING
    answers: Callable[[Request], list[Any]] = lambda _: []
    subject: Callable[[bytes], str | None] = lambda _: None
    ids: re.Pattern[bytes] | None = None
    unasked: bool = False


def _binance_answers(request: Request) -> list[Any]:
    return [{"result": None, "id": request.get("id")}] if "method" in request else []


def _binance_topics(request: Request) -> tuple[str, ...]:
    wanted = request.get("method") == "SUBSCRIBE"
    return tuple(request.get("params", ())) if wanted else NOTHING


def _binance_subject(frame: bytes) -> str | None:
    found = STREAM.match(frame)
    return found[1].decode() if found else None


def _coinbase_topics(request: Request) -> tuple[str, ...]:
    wanted = request.get("type") == "subscribe"
    return tuple(request.get("product_ids", ())) if wanted else NOTHING


def _coinbase_answers(request: Request) -> list[Any]:
    if request.get("type") != "subscribe":
        return []
    products = request.get("product_ids", [])
    channels = [
        {"name": name, "product_ids": products} for name in request.get("channels", [])
    ]
    return [{"type": "subscriptions", "channels": channels}]


def _advanced_answers(request: Request) -> list[Any]:
    if request.get("type") != "subscribe":
        return []
    events = [{"subscriptions": {request.get("channel"): request.get("product_ids")}}]
    return [{"channel": "subscriptions", "events": events}]


def _kraken_topics(request: Request) -> tuple[str, ...]:
    wanted = request.get("method") == "subscribe"
    return tuple(request["params"].get("symbol", ())) if wanted else NOTHING


def _kraken_answers(request: Request) -> list[Any]:
    if request.get("method") == "ping":
        return [{"method": "pong", "req_id": request.get("req_id")}]
    answer = {"method": "subscribe", "success": True, "req_id": request.get("req_id")}
    channel = request.get("params", {}).get("channel")
    return [
        answer | {"result": {"channel": channel, "symbol": symbol}}
        for symbol in _kraken_topics(request)
    ]


def _okx_topics(request: Request) -> tuple[str, ...]:
    return tuple(arg.get("instId", "") for arg in _okx_args(request))


def _okx_args(request: Request) -> list[Any]:
    return request.get("args", []) if request.get("op") == "subscribe" else []


def _okx_answers(request: Request) -> list[Any]:
    return [{"event": "subscribe", "arg": arg} for arg in _okx_args(request)]


def _bybit_topics(request: Request) -> tuple[str, ...]:
    return tuple(_okx_args(request))


def _bybit_answers(request: Request) -> list[Any]:
    op = request.get("op")
    if op not in ("subscribe", "ping"):
        return []
    word = "pong" if op == "ping" else ""
    answer = {"success": True, "ret_msg": word, "conn_id": "1", "op": op}
    return [answer | {"req_id": request.get("req_id", "")}]


def _bitstamp_topics(request: Request) -> tuple[str, ...]:
    wanted = request.get("event") == "bts:subscribe"
    return (request["data"]["channel"],) if wanted else NOTHING


def _bitstamp_answers(request: Request) -> list[Any]:
    name = "bts:subscription_succeeded"
    answers = [{"event": name, "channel": c, "data": {}} for c in
               _bitstamp_topics(request)]  # fmt: skip
    if request.get("event") == "bts:heartbeat":
        answers.append({"event": "bts:heartbeat", "channel": "", "data": {}})
    return answers


PLAIN = Replies(unasked=True)
BINANCE = Replies(
    topics=_binance_topics,
    answers=_binance_answers,
    subject=_binance_subject,
    ids=IDS,
)
KNOWN = {
    "plain": PLAIN,
    "binance": BINANCE,
    "binance-usdm": BINANCE,
    "bitstamp": Replies(topics=_bitstamp_topics, answers=_bitstamp_answers),
    "bybit": Replies(topics=_bybit_topics, answers=_bybit_answers),
    "coinbase": Replies(topics=_coinbase_topics, answers=_coinbase_answers),
    "coinbase-advanced": Replies(topics=_coinbase_topics, answers=_advanced_answers),
    "kraken": Replies(topics=_kraken_topics, answers=_kraken_answers),
    "okx": Replies(topics=_okx_topics, answers=_okx_answers),
}
TEXTS = {b"ping": b"pong"}
"""What is no JSON, and its answer."""


def replies_of(name: str) -> Replies:
    """Find how a venue replies.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in KNOWN:
        problem = f"expected a venue or plain, was {name!r}"
        raise ConfigError("--venue", problem, did_you_mean(name, KNOWN))
    return KNOWN[name]


def heard(how: Replies, frame: bytes) -> tuple[tuple[str, ...], list[bytes]]:
    """Take a client's message: what it subscribes to, and what it is answered.

    Args:
        how: those of who is asked.
        frame: as it came; what cannot be understood gets no answer.
    """
    if frame in TEXTS:
        return NOTHING, [TEXTS[frame]]
    try:
        request = msgspec.json.decode(frame)
        topics = tuple(map(str, how.topics(request)))
        answers = [msgspec.json.encode(answer) for answer in how.answers(request)]
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
        AttributeError,
        KeyError,
        TypeError,
    ):
        return NOTHING, []
    return topics, answers
