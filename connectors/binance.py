"""Binance's public streams, spot and futures: frames in, events out.

Source: the venue's public documentation of market streams. Spot book tickers carry no
time, so their receive stamp is their time. `m` says that the buyer was the maker, so
the aggressor sold. Trades other than market trades (insurance fund, deleveraging) are
no ticks, but they do count in the sequence of ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from connectors.feed import did_you_mean
from connectors.venue import Departing, Limits, Notice, Refused, Subscribed
from sfm_stream.errors import ConfigError
from sfm_stream.events import Event, Gap, Tick

if TYPE_CHECKING:
    from sfm_stream.config import Config

Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Stamp = Annotated[int, Meta(ge=0, le=9 * 10**15)]
Symbol = Annotated[str, Meta(min_length=1)]
MS_LIMIT = 10**14
MS, US = 10**6, 10**3
STREAMS_PER_FRAME = 100
HOUR = 3600.0
URL = "wss://data-stream.binance.vision/stream"
FIELDS = {
    "bookTicker": ("bid", "bid_qty", "ask", "ask_qty"),
    "trade": ("price", "qty", "side"),
    "aggTrade": ("price", "qty", "side"),
}
# The event types that have another name than their channel.
CHANNELS = {
    "depthUpdate": "depth",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "1hTicker": "ticker",
    "4hTicker": "ticker",
    "1dTicker": "ticker",
    "markPriceUpdate": "markPrice",
    "continuous_kline": "continuousKline",
}
KNOWN = frozenset(
    (*FIELDS, *CHANNELS.values(), "kline", "avgPrice", "forceOrder", "compositeIndex",
     "contractInfo", "assetIndex", "serverShutdown")
)  # fmt: skip


class Frame(Struct, gc=False):
    """What tells frames apart: a wrapper, an event, or the answer to a request."""

    stream: str = ""
    data: Raw = Raw()
    kind: str = msgspec.field(name="e", default="")
    ask_qty: Raw = msgspec.field(name="A", default=Raw())
    snapshot: Raw = msgspec.field(name="lastUpdateId", default=Raw())
    result: Raw = Raw()
    error: Raw = Raw()
    code: Raw = Raw()


class Quote(Struct, gc=False):
    """A book ticker; `update` never falls within a symbol."""

    symbol: Symbol = msgspec.field(name="s")
    update: Id = msgspec.field(name="u")
    bid: float = msgspec.field(name="b")
    bid_qty: float = msgspec.field(name="B")
    ask: float = msgspec.field(name="a")
    ask_qty: float = msgspec.field(name="A")
    time: Stamp | None = msgspec.field(name="T", default=None)


class Trade(Struct, gc=False):
    """A trade; ids of a symbol are contiguous."""

    symbol: Symbol = msgspec.field(name="s")
    last: Id = msgspec.field(name="t")
    price: float = msgspec.field(name="p")
    qty: float = msgspec.field(name="q")
    time: Stamp = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str = msgspec.field(name="X", default="MARKET")

    @property
    def id(self) -> int:
        """Its place in the sequence of ticks."""
        return self.last

    @property
    def first(self) -> int:
        """First trade it holds."""
        return self.last


class AggTrade(Struct, gc=False):
    """Trades of one order at one price; ids of a symbol are contiguous."""

    symbol: Symbol = msgspec.field(name="s")
    id: Id = msgspec.field(name="a")
    first: Id = msgspec.field(name="f")
    last: Id = msgspec.field(name="l")
    price: float = msgspec.field(name="p")
    qty: float = msgspec.field(name="q")
    time: Stamp = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str = "MARKET"


T = TypeVar("T")


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Make a decoder that reads numbers written as text."""
    return msgspec.json.Decoder(kind, strict=False)


FRAME, QUOTE = _decoder(Frame), _decoder(Quote)
TRADE, AGG_TRADE = _decoder(Trade), _decoder(AggTrade)


class Binance:
    """The protocol of the market streams, spot and futures alike.

    Args:
        config: `feed.channel` says which messages become ticks: bookTicker, trade or
            aggTrade; `stream.symbols` what to subscribe to, e.g. `btcusdt`.

    Attributes:
        fields: names of a tick's values.
        topics: symbols in lower case.
        counters: what was not turned into ticks, by reason.

    Raises:
        ConfigError: if there are no such ticks.
    """

    limits = Limits(lifetime=24 * HOUR)

    def __init__(self, config: Config) -> None:
        channel = config.feed.channel
        if channel not in FIELDS:
            problem = f"expected a channel of ticks, was {channel!r}"
            raise ConfigError("feed.channel", problem, did_you_mean(channel, FIELDS))
        self.fields = FIELDS[channel]
        self.topics = tuple(symbol.lower() for symbol in config.stream.symbols)
        self.counters: Counter[str] = Counter()
        self._url = config.feed.url or URL
        self._channel = channel
        self._read = self._quote if channel == "bookTicker" else self._trade
        self._trades: msgspec.json.Decoder[Trade] | msgspec.json.Decoder[AggTrade] = (
            TRADE if channel == "trade" else AGG_TRADE
        )
        self._seen: dict[str, tuple[int, int]] = {}

    def url(self) -> str:
        """Give the address to connect to."""
        return self._url

    def opened(self) -> None:
        """Forget nothing: ids go on from one connection to the next."""

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to symbols, some hundred in each."""
        names = [f"{topic}@{self._channel}" for topic in topics]
        parts = range(0, len(names), STREAMS_PER_FRAME)
        return [
            msgspec.json.encode(
                {
                    "method": "SUBSCRIBE",
                    "params": names[start : start + STREAMS_PER_FRAME],
                    "id": i + 1,
                }
            )
            for i, start in enumerate(parts)
        ]

    def receive(self, frame: bytes, received: int) -> list[Event | Notice]:
        """Read one frame, whatever it holds; never raises.

        Args:
            frame: JSON, wrapped with its stream's name or bare.
            received: when it reached us, ns.
        """
        try:
            head = FRAME.decode(frame)
            body = head.data or frame
            channel = _channel(head)
            if channel == self._channel:
                return self._read(body, received)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            channel = "garbage"
        self.counters[channel] += 1
        return _notices(channel, frame)

    def _quote(self, body: bytes | Raw, received: int) -> list[Event | Notice]:
        quote = QUOTE.decode(body)
        values = (quote.bid, quote.bid_qty, quote.ask, quote.ask_qty)
        if not isfinite(sum(values)):
            return self._dropped("garbage")
        stream = quote.symbol.lower()
        seen, _ = self._seen.get(stream, (-1, -1))
        if quote.update <= seen:
            return self._dropped("stale")
        self._seen[stream] = quote.update, quote.update
        time = received if quote.time is None else _ns(quote.time)
        return [Tick(stream, time, values, received)]

    def _trade(self, body: bytes | Raw, received: int) -> list[Event | Notice]:
        trade = self._trades.decode(body)
        if not isfinite(trade.price + trade.qty):
            return self._dropped("garbage")
        stream, time = trade.symbol.lower(), _ns(trade.time)
        seen, last = self._seen.get(stream, (trade.id - 1, trade.first - 1))
        if trade.id <= seen:
            return self._dropped("duplicates")
        self._seen[stream] = trade.id, trade.last
        events: list[Event | Notice] = []
        if missed := trade.id - seen - 1:
            reason = f"trade ids {last + 1}..{trade.first - 1} missing"
            events.append(Gap(stream, time, reason, missed))
        if trade.kind != "MARKET":
            self.counters["not market"] += 1
            return events
        side = -1.0 if trade.buyer_is_maker else 1.0
        events.append(Tick(stream, time, (trade.price, trade.qty, side), received))
        return events

    def _dropped(self, reason: str) -> list[Event | Notice]:
        self.counters[reason] += 1
        return []


def _notices(channel: str, frame: bytes) -> list[Event | Notice]:
    """Say what a frame without ticks means to the connection."""
    if channel == "acknowledgements":
        return [Subscribed("")]
    if channel == "errors":
        return [Refused("", frame.decode(errors="replace"))]
    if channel == "serverShutdown":
        return [Departing(channel)]
    return []


def _channel(head: Frame) -> str:
    """Say of which channel a frame is, or what else it is."""
    if head.stream:
        return _of_stream(head.stream)
    if head.kind:
        return _known(CHANNELS.get(head.kind, head.kind))
    if head.snapshot:
        return "snapshots"
    if head.ask_qty:
        return "bookTicker"
    if head.error or head.code:
        return "errors"
    return "acknowledgements" if head.result else "unknown"


@lru_cache(maxsize=1024)
def _of_stream(name: str) -> str:
    """Find `kline` in `btcusdt@kline_1m`, and `ticker` in `!ticker@arr`."""
    symbol, _, rest = name.partition("@")
    channel = symbol[1:] if symbol.startswith("!") else rest.partition("@")[0]
    return _known(channel.partition("_")[0].rstrip("0123456789"))


def _known(channel: str) -> str:
    return channel if channel in KNOWN else "unknown"


def _ns(stamp: int) -> int:
    """Turn a stamp in ms, or in the us a connection may ask for, into ns."""
    return stamp * (MS if stamp < MS_LIMIT else US)
