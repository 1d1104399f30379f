"""The venues' replies to subscriptions and pings, for the simulator.

Each venue is an entry of a table. `plain` answers no requests and sends all frames.
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
    """The replies of a venue to its clients.

    Attributes:
        topics: gives the topics of a subscription; empty for other requests.
        answers: gives the answers to a request, such as a subscription or a ping.
        subject: gives the topic of a message, or None if it is not known.
        ids: finds key and number of each id or time, which must rise when a capture is
            repeated.
        unasked: whether a client receives all messages without a subscription.
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
"""Requests that are not JSON, with their answers."""


def replies_of(name: str) -> Replies:
    """Give the replies of a venue.

    Raises:
        ConfigError: if the venue is unknown.
    """
    if name not in KNOWN:
        problem = f"expected a venue or plain, was {name!r}"
        raise ConfigError("--venue", problem, did_you_mean(name, KNOWN))
    return KNOWN[name]


def heard(how: Replies, frame: bytes) -> tuple[tuple[str, ...], list[bytes]]:
    """Read a client's request; give the topics it subscribes to, and the answers.

    Args:
        how: the replies of the venue.
        frame: the request as received; an unreadable request gets no answer.
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
