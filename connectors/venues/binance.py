"""Binance's public streams, spot and futures: frames in, events out.

Source: the venue's public documentation of market streams. Spot book tickers carry no
time, so their receive stamp is their time. `m` says that the buyer was the maker, so
the aggressor sold. Trades other than market trades (insurance fund, deleveraging) are
no ticks, but they do count in the sequence of ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from connectors.stamps import MS, US
from connectors.venues.base import (
    BUY,
    CANDLE,
    QUOTE,
    SELL,
    TRADE,
    Exchange,
    Id,
    Name,
    Said,
    decoder,
    in_parts,
    text_of,
)
from connectors.venues.protocol import Departing, Limits, Notice
from sfm_stream.config import duration_ns
from sfm_stream.events import Event, Gap

if TYPE_CHECKING:
    from sfm_stream.config import Config

Stamp = Annotated[int, Meta(ge=0, le=9 * 10**15)]
MS_LIMIT = 10**14
STREAMS_PER_FRAME = 100
T = TypeVar("T")
HOUR = 3600.0
LENGTHS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h",
           "1d", "3d")  # fmt: skip
CANDLES = {f"kline_{name}": duration_ns("feed.channel", name) for name in LENGTHS}
CHANNELS = {
    "bookTicker": QUOTE,
    "trade": TRADE,
    "aggTrade": TRADE,
    **dict.fromkeys(CANDLES, CANDLE),
}
# The event types that have another name than their channel.
RENAMED = {
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
    (
        "bookTicker",
        "trade",
        "aggTrade",
        "kline",
        *RENAMED.values(),
        "avgPrice",
        "forceOrder",
        "compositeIndex",
        "contractInfo",
        "assetIndex",
        "serverShutdown",
    )
)


class Frame(Struct, gc=False):
    """What tells frames apart: a wrapper, an event, or the answer to a request."""

    stream: str = ""
    data: Raw = Raw()
    kind: str = msgspec.field(name="e", default="")
    ask_qty: Raw = msgspec.field(name="A", default=Raw())
    snapshot: Raw = msgspec.field(name="lastUpdateId", default=Raw())
    result: Raw = Raw()
    id: Raw = Raw()
    error: Raw = Raw()
    code: Raw = Raw()


class Quote(Struct, gc=False):
    """A book ticker; `update` never falls within a symbol."""

    symbol: Name = msgspec.field(name="s")
    update: Id = msgspec.field(name="u")
    bid: float = msgspec.field(name="b")
    bid_qty: float = msgspec.field(name="B")
    ask: float = msgspec.field(name="a")
    ask_qty: float = msgspec.field(name="A")
    time: Stamp | None = msgspec.field(name="T", default=None)

    @property
    def values(self) -> tuple[float, ...]:
        """What becomes a tick."""
        return self.bid, self.bid_qty, self.ask, self.ask_qty


class Trade(Struct, tag_field="e", tag="trade", gc=False):
    """A trade; ids of a symbol are contiguous."""

    symbol: Name = msgspec.field(name="s")
    id: Id = msgspec.field(name="t")
    price: float = msgspec.field(name="p")
    qty: float = msgspec.field(name="q")
    time: Stamp = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str = msgspec.field(name="X", default="MARKET")


class AggTrade(Struct, tag_field="e", tag="aggTrade", gc=False):
    """Trades of one order at one price; ids of a symbol are contiguous."""

    symbol: Name = msgspec.field(name="s")
    id: Id = msgspec.field(name="a")
    price: float = msgspec.field(name="p")
    qty: float = msgspec.field(name="q")
    time: Stamp = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str = "MARKET"


class Candle(Struct, gc=False):
    """Prices and volume since `start`."""

    start: Stamp = msgspec.field(name="t")
    length: str = msgspec.field(name="i")
    open: float = msgspec.field(name="o")
    high: float = msgspec.field(name="h")
    low: float = msgspec.field(name="l")
    close: float = msgspec.field(name="c")
    volume: float = msgspec.field(name="v")
    finished: bool = msgspec.field(name="x")

    @property
    def values(self) -> tuple[float, ...]:
        """What becomes a tick."""
        return self.open, self.high, self.low, self.close, self.volume


class Kline(Struct, tag_field="e", tag="kline", gc=False):
    """A message that holds a candle."""

    symbol: Name = msgspec.field(name="s")
    candle: Candle = msgspec.field(name="k")


class Wrapped(Struct, Generic[T], gc=False):
    """A message of any kind with the name of its stream."""

    data: T


FRAME = decoder(Frame)
KINDS: dict[str, tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]] = {
    "bookTicker": (decoder(Wrapped[Quote]), decoder(Quote)),
    "trade": (decoder(Wrapped[Trade]), decoder(Trade)),
    "aggTrade": (decoder(Wrapped[AggTrade]), decoder(AggTrade)),
    "kline": (decoder(Wrapped[Kline]), decoder(Kline)),
}


class Binance(Exchange):
    """The protocol of the market streams of spot trading; topics are in lower case."""

    limits = Limits(lifetime=24 * HOUR)
    address = "wss://data-stream.binance.vision/stream"
    channels = CHANNELS
    candles = CANDLES

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._kind, _, self._length = self._channel.partition("_")
        wrapped, bare = KINDS[self._kind]
        self._decode, self._bare = wrapped.decode, bare.decode
        says: dict[str, Callable[[Any, int], Said]]
        says = {"bookTicker": self._quote, "kline": self._kline}
        self._say = says.get(self._kind, self._trade)

    @staticmethod
    def spelled(symbol: str) -> str:
        """Write a symbol as the names of streams do."""
        return symbol.lower()

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to symbols, some hundred in each."""
        return [
            msgspec.json.encode(
                {
                    "method": "SUBSCRIBE",
                    "params": [f"{topic}@{self._channel}" for topic in part],
                    "id": self._request(part),
                }
            )
            for part in in_parts(topics, STREAMS_PER_FRAME)
        ]

    def _ticks(self, message: Wrapped[Any], received: int) -> Said:
        return self._say(message.data, received)

    def _other(self, frame: bytes, received: int) -> Said:
        head = FRAME.decode(frame)
        kind = _kind_of(head)
        if kind == self._kind:
            return self._say(self._bare(head.data or frame), received)
        if kind == "acknowledgements":
            return self._answered(bytes(head.id).decode())
        if kind == "errors":
            return self._refused(text_of(frame))
        self.counters[kind] += 1
        return [Departing(kind)] if kind == "serverShutdown" else []

    def _quote(self, quote: Quote, received: int) -> Said:
        said: Said = []
        time = None if quote.time is None else _ns(quote.time)
        stream = quote.symbol.lower()
        self._observe(said, stream, time, quote.values, received, last=quote.update)
        return said

    def _trade(self, trade: Trade | AggTrade, received: int) -> Said:
        said: Said = []
        values = (trade.price, trade.qty, SELL if trade.buyer_is_maker else BUY)
        self._observe(
            said, trade.symbol.lower(), _ns(trade.time), values, received,
            first=trade.id, last=trade.id,
        )  # fmt: skip
        if trade.kind == "MARKET":
            return said
        self.counters["not market"] += 1
        return [event for event in said if isinstance(event, Gap)]

    def _kline(self, kline: Kline, received: int) -> Said:
        candle, said = kline.candle, list[Event | Notice]()
        if candle.length != self._length:
            return self._dropped("kline")
        if not candle.finished:
            return self._dropped("unfinished")
        start = _ns(candle.start)
        self._finished(said, kline.symbol.lower(), start, candle.values, received)
        return said


class BinanceUsdM(Binance):
    """The same for futures settled in dollars: another address."""

    address = "wss://fstream.binance.com/stream"


def _kind_of(head: Frame) -> str:
    """Say of which kind of channel a frame is, or what else it is."""
    if head.stream:
        return _of_stream(head.stream)
    if head.kind:
        return _known(RENAMED.get(head.kind, head.kind))
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
