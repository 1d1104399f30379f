"""OKX's public feed, version 5: frames in, events out.

Source: notes on the venue's "API guide v5", WebSocket and public data, and recorded
frames; the document was not read again. `trades` joins the trades of one order at one
price: `tradeId` is the last of `count` contiguous ids. The first message of a stream
repeats the latest state, however old. Candles and single trades (`trades-all`) have an
address of their own.

"The sequence number may be reset due to maintenance": a `seqId` that is lower than the
one before it is a restart. A book without a change for about a minute is sent again
with the same `seqId`, as a sign of life.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from connectors.stamps import MS
from connectors.venues.base import (
    BUY,
    CANDLE,
    MISSING,
    QUOTE,
    SELL,
    TRADE,
    Exchange,
    Id,
    Number,
    Said,
    Some,
    decoder,
    in_parts,
    prices_of,
    text_of,
)
from connectors.venues.course import Values
from connectors.venues.options import CHANNEL
from connectors.venues.protocol import Alive, Departing, Limits
from sfm_stream.settings.units import duration_ns

if TYPE_CHECKING:
    from sfm_stream.config import Config

TOPICS_PER_FRAME = 100
T = TypeVar("T")
LENGTHS = ("1s", "1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6H", "12H", "1D",
           "2D", "3D", "6Hutc", "12Hutc", "1Dutc", "2Dutc", "3Dutc")  # fmt: skip
CANDLES = {
    f"candle{name}": duration_ns(CHANNEL, name.removesuffix("utc").lower())
    for name in LENGTHS
}
CHANNELS = {
    "tickers": QUOTE,
    "bbo-tbt": QUOTE,
    "trades": TRADE,
    "trades-all": TRADE,
    **dict.fromkeys(CANDLES, CANDLE),
}
BUSINESS = "wss://ws.okx.com:8443/ws/v5/business"


class Argument(Struct, frozen=True, gc=False):
    """The channel and the instrument of a message."""

    channel: str = ""
    stream: str = msgspec.field(name="instId", default="")


class Frame(Struct, gc=False):
    """The keys that tell frames apart: an event, or data of a channel."""

    event: str = ""
    arg: Argument = Argument()
    data: Raw = Raw()


class Trade(Struct, gc=False):
    """Trades of one order at one price."""

    id: Id = msgspec.field(name="tradeId")
    price: Number = msgspec.field(name="px")
    qty: Number = msgspec.field(name="sz")
    side: Literal["buy", "sell"]
    time: Id = msgspec.field(name="ts")
    count: Annotated[int, Meta(ge=1)] | None = None


class Ticker(Struct, gc=False):
    """The best bid and ask, with the last trade."""

    bid: Number = msgspec.field(name="bidPx")
    bid_qty: Number = msgspec.field(name="bidSz")
    ask: Number = msgspec.field(name="askPx")
    ask_qty: Number = msgspec.field(name="askSz")
    time: Id = msgspec.field(name="ts")
    id: ClassVar[None] = None


class Level(Struct, gc=False, array_like=True):
    """A price and the quantity at it; further items are ignored."""

    price: Number
    qty: Number


class Book(Struct, gc=False):
    """The best bid and ask at every change; a side may be empty."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    time: Id = msgspec.field(name="ts")
    id: Id = msgspec.field(name="seqId")


class Candle(Struct, gc=False, array_like=True):
    """Prices and volume since `start`; the volume is `vol`, the first of three."""

    start: Id
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    of_currency: Number
    of_quote: Number
    finished: Literal["0", "1"]


NONE = Level(MISSING, MISSING)


class Message(Struct, Generic[T], gc=False):
    """A message with records of any kind."""

    arg: Argument
    data: Some[T]


FRAME = decoder(Frame)
ROWS = decoder(Message[Candle])
Read = tuple[Values, int | None, int | None]
"""Values of a record, and its last and first id, each None if it has none."""


def _of_ticker(one: Ticker) -> Read:
    return (one.bid, one.bid_qty, one.ask, one.ask_qty), None, None


def _of_book(one: Book) -> Read:
    bid = one.bids[0] if one.bids else NONE
    ask = one.asks[0] if one.asks else NONE
    return (bid.price, bid.qty, ask.price, ask.qty), one.id, None


def _of_trade(one: Trade) -> Read:
    number, count = one.id, one.count
    values = (one.price, one.qty, BUY if one.side == "buy" else SELL)
    return values, number, None if count is None else number - count + 1


READERS: dict[str, Callable[[Any], Read]] = {
    "tickers": _of_ticker,
    "bbo-tbt": _of_book,
    "trades": _of_trade,
    "trades-all": _of_trade,
}
DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "tickers": decoder(Message[Ticker]),
    "bbo-tbt": decoder(Message[Book]),
    "trades": decoder(Message[Trade]),
    "trades-all": decoder(Message[Trade]),
}


class Okx(Exchange):
    """The protocol; topics are instruments, e.g. BTC-USDT or BTC-USDT-SWAP."""

    limits = Limits(connects=(3, 1.0), ping=(20.0, b"ping"))
    address = "wss://ws.okx.com:8443/ws/v5/public"
    channels = CHANNELS
    candles = CANDLES

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if self.fields == CANDLE:
            self._decode, self._ticks = ROWS.decode, self._rows
        else:
            self._decode, self._ticks = DECODERS[self._channel].decode, self._records
            self._read = READERS[self._channel]

    def url(self) -> str:
        """Give the address to connect to; the channel decides between two."""
        business = self._channel in (*self.candles, "trades-all")
        return self._url or (BUSINESS if business else self.address)

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to instruments, at most a hundred in each."""
        return [
            msgspec.json.encode(
                {
                    "op": "subscribe",
                    "args": [
                        {"channel": self._channel, "instId": topic} for topic in part
                    ],
                }
            )
            for part in in_parts(topics, TOPICS_PER_FRAME)
        ]

    def _other(self, frame: bytes, received: int) -> Said:
        if frame == b"pong":
            self.counters["heartbeats"] += 1
            return [Alive()]
        head = FRAME.decode(frame)
        match head.event:
            case "" if head.arg.channel == self._channel:
                return self._one_by_one(frame, head.data, received)
            case "":
                return self._dropped(
                    "other channels" if head.arg.channel else "unknown"
                )
            case "subscribe":
                mine = head.arg.channel == self._channel
                return self._taken([head.arg.stream] if mine else [])
            case "error":
                return self._refused(text_of(frame), head.arg.stream)
            case "notice":
                self.counters["notices"] += 1
                return [Departing(text_of(frame))]
        return self._dropped("unknown")

    def _records(self, message: Message[Any], received: int) -> Said | None:
        """Turn trades, tickers or books into events."""
        stream = message.arg.stream
        said: Said = []
        if message.arg.channel != self._channel or not stream:
            return None
        past = stream not in self._heard and self._first_heard(stream)
        records = message.data
        if len(records) > 1:
            records.sort(key=lambda record: (record.time, record.id or 0))
        observe, read = self._observe, self._read
        for record in records:
            values, last, first = read(record)
            observe(said, stream, record.time * MS, values, received, last, first, past)
        return said

    def _rows(self, message: Message[Candle], received: int) -> Said | None:
        stream = message.arg.stream
        said: Said = []
        if message.arg.channel != self._channel or not stream:
            return None
        if len(message.data) > 1:
            message.data.sort(key=attrgetter("start"))
        for candle in message.data:
            if candle.finished == "1":
                start = candle.start * MS
                self._finished(said, stream, start, prices_of(candle), received)
            else:
                self.counters["unfinished"] += 1
        return said
