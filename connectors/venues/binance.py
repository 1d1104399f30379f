"""Binance's public streams, spot and futures: frames in, events out.

Source: for USD-M futures the venue's "Important WebSocket Change Notice" in a stored
copy read on 2026-11-26; notes on "WebSocket Streams for Binance" (spot) and "Websocket
Market Streams", and recorded frames. Spot book tickers carry no time, so the time of
receipt is used. `m` means that the buyer was the maker, so the aggressor sold. Trades
other than market trades (insurance fund, deleveraging) are not ticks, but they count
in the sequence of ids.

Since 2026-03-06 futures have one address for each kind of stream. The former address
acknowledges `aggTrade` and `kline_*` but never sends them. The notice does not name
`trade`; other clients receive it at the address of the book tickers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar
from urllib.parse import urlsplit

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
    Number,
    Said,
    decoder,
    in_parts,
    prices_of,
    text_of,
)
from connectors.venues.options import CHANNEL, URL
from connectors.venues.protocol import Departing, Limits
from sfm_stream.errors import ConfigError
from sfm_stream.events import Gap
from sfm_stream.settings.units import duration_ns

if TYPE_CHECKING:
    from sfm_stream.config import Config

Stamp = Annotated[int, Meta(ge=0, le=9 * 10**15)]
MS_LIMIT = 10**14
STREAMS_PER_FRAME = 100
T = TypeVar("T")
HOUR = 3600.0
LENGTHS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h",
           "1d", "3d")  # fmt: skip
CANDLES = {f"kline_{name}": duration_ns(CHANNEL, name) for name in LENGTHS}
CHANNELS = {
    "bookTicker": QUOTE,
    "trade": TRADE,
    "aggTrade": TRADE,
    **dict.fromkeys(CANDLES, CANDLE),
}
# Event types whose name differs from that of their channel.
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
    """The keys that tell a wrapper, an event and the answer to a request apart."""

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
    """A book ticker; `update` never decreases within a symbol."""

    symbol: Name = msgspec.field(name="s")
    update: Id = msgspec.field(name="u")
    bid: Number = msgspec.field(name="b")
    bid_qty: Number = msgspec.field(name="B")
    ask: Number = msgspec.field(name="a")
    ask_qty: Number = msgspec.field(name="A")
    time: Stamp | None = msgspec.field(name="T", default=None)


class Trade(Struct, tag_field="e", tag="trade", gc=False):
    """A trade; ids of a symbol are contiguous."""

    symbol: Name = msgspec.field(name="s")
    id: Id = msgspec.field(name="t")
    price: Number = msgspec.field(name="p")
    qty: Number = msgspec.field(name="q")
    time: Stamp = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str = msgspec.field(name="X", default="MARKET")


class AggTrade(Struct, tag_field="e", tag="aggTrade", gc=False):
    """Trades of one order at one price; ids of a symbol are contiguous."""

    symbol: Name = msgspec.field(name="s")
    id: Id = msgspec.field(name="a")
    price: Number = msgspec.field(name="p")
    qty: Number = msgspec.field(name="q")
    time: Stamp = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str = "MARKET"


class Candle(Struct, gc=False):
    """Prices and volume since `start`."""

    start: Stamp = msgspec.field(name="t")
    length: str = msgspec.field(name="i")
    open: Number = msgspec.field(name="o")
    high: Number = msgspec.field(name="h")
    low: Number = msgspec.field(name="l")
    close: Number = msgspec.field(name="c")
    volume: Number = msgspec.field(name="v")
    finished: bool = msgspec.field(name="x")


class Kline(Struct, tag_field="e", tag="kline", gc=False):
    """A message that holds a candle."""

    symbol: Name = msgspec.field(name="s")
    candle: Candle = msgspec.field(name="k")


class Wrapped(Struct, Generic[T], gc=False):
    """A message of any kind with the name of its stream."""

    data: T


FUTURES = "fstream.binance.com"
OF_MARKET = frozenset(("aggTrade", "kline"))
"""The channels that futures send at their address for regular market data."""
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
        """Write a symbol in lower case, as in the names of streams."""
        return symbol.lower()

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to symbols, at most a hundred in each."""
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
        values = (quote.bid, quote.bid_qty, quote.ask, quote.ask_qty)
        time = None if quote.time is None else _ns(quote.time)
        stream = quote.symbol.lower()
        self._observe(said, stream, time, values, received, quote.update)
        return said

    def _trade(self, trade: Trade | AggTrade, received: int) -> Said:
        said: Said = []
        values = (trade.price, trade.qty, SELL if trade.buyer_is_maker else BUY)
        stream, number = trade.symbol.lower(), trade.id
        self._observe(said, stream, _ns(trade.time), values, received, number, number)
        if trade.kind == "MARKET":
            return said
        self.counters["not market"] += 1
        return [event for event in said if isinstance(event, Gap)]

    def _kline(self, kline: Kline, received: int) -> Said:
        candle = kline.candle
        said: Said = []
        if candle.length != self._length:
            return self._dropped("kline")
        if not candle.finished:
            return self._dropped("unfinished")
        start, values = _ns(candle.start), prices_of(candle)
        self._finished(said, kline.symbol.lower(), start, values, received)
        return said


class BinanceUsdM(Binance):
    """The protocol for USD-M futures, which have one address per kind of stream.

    Raises:
        ConfigError: if the configured address never sends this channel.
    """

    address = f"wss://{FUTURES}/public/stream"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        parts = urlsplit(self._url)
        of_market = self._kind in OF_MARKET
        if of_market and not self._url:
            self._url = f"wss://{FUTURES}/market/stream"
        elif parts.netloc == FUTURES and of_market != (parts.path[:8] == "/market/"):
            problem = f"{self._channel} never comes from {self._url}"
            kind = "market" if of_market else "public"
            hint = f"leave it out, or give wss://{FUTURES}/{kind}/stream"
            raise ConfigError(URL, problem, hint)


def _kind_of(head: Frame) -> str:
    """Name the kind of channel of a frame, or the kind of frame if it has none."""
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
    """Turn a stamp in ms, or in us, which a connection may ask for, into ns."""
    return stamp * (MS if stamp < MS_LIMIT else US)
