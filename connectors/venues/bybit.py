"""Bybit's public feed, version 5: frames in, events out.

Source: the venue's "Orderbook", version 5, in a stored copy read on 2026-11-26; notes
on "WebSocket Connect" (21,000 characters of topics), "Trade" and "Ticker". Each product
has an address of its own; the default is that of spot, and the option `url` names
another, ending in linear or inverse. Trade ids are in no order, so the latest ids are
remembered to leave out repeated trades. The `type` of trades is always snapshot and
has no meaning. A value that a ticker or a book omits has not changed. Spot tickers hold
no quotes; `orderbook.1` holds quotes for all products. It is sent again when it has not
changed for 3 seconds, as a sign of life.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from connectors.stamps import MS, SECOND
from connectors.venues.base import (
    BUY,
    CANDLE,
    MISSING,
    QUOTE,
    SELL,
    TRADE,
    Exchange,
    Id,
    Level,
    Name,
    Number,
    Prices,
    Said,
    Some,
    decoder,
    in_parts,
    prices_of,
    text_of,
)
from connectors.venues.course import Values
from connectors.venues.protocol import Alive, Limits

if TYPE_CHECKING:
    from sfm_stream.config import Config

TOPICS_PER_FRAME = 10
CHARACTERS = 21_000
"""Largest number of characters in all topics of a connection."""
T = TypeVar("T")
REMEMBERED = 1024
MINUTES = (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)
DAY = 86_400 * SECOND
LENGTHS = {f"kline.{m}": m * 60 * SECOND for m in MINUTES} | {"kline.D": DAY}
CHANNELS = {
    "orderbook.1": QUOTE,
    "tickers": QUOTE,
    "publicTrade": TRADE,
    **dict.fromkeys(LENGTHS, CANDLE),
}


class Frame(Struct, gc=False):
    """The keys that tell frames apart: a topic, or the operation that is answered."""

    topic: str = ""
    data: Raw = Raw()
    op: str = ""
    success: bool = True
    req_id: str = ""


class Trade(Struct, gc=False):
    """A trade, with the side of the aggressor."""

    stream: Name = msgspec.field(name="s")
    id: Name = msgspec.field(name="i")
    side: Literal["Buy", "Sell"] = msgspec.field(name="S")
    price: Number = msgspec.field(name="p")
    qty: Number = msgspec.field(name="v")
    time: Id = msgspec.field(name="T")


class Ticker(Struct, gc=False):
    """The best bid and ask, or only the changed values of them."""

    bid: Number | None = msgspec.field(name="bid1Price", default=None)
    bid_qty: Number | None = msgspec.field(name="bid1Size", default=None)
    ask: Number | None = msgspec.field(name="ask1Price", default=None)
    ask_qty: Number | None = msgspec.field(name="ask1Size", default=None)


class Book(Struct, gc=False):
    """The best levels, or only the changed ones; a quantity of 0 removes a level."""

    bids: tuple[Level, ...] = msgspec.field(name="b")
    asks: tuple[Level, ...] = msgspec.field(name="a")


class Candle(Prices, kw_only=True, gc=False):
    """A candle that began at `start`."""

    start: Id
    finished: bool = msgspec.field(name="confirm")


class Message(Struct, Generic[T], gc=False):
    """A message with data of any kind."""

    topic: str
    data: T
    type: str
    time: Id = msgspec.field(name="ts")


FRAME = decoder(Frame)
TICKERS, BOOKS = decoder(Message[Ticker]), decoder(Message[Book])
TRADES, CANDLES = decoder(Message[Some[Trade]]), decoder(Message[Some[Candle]])
NOTHING: Values = (MISSING,) * 4
KNOWN = ("publicTrade", "tickers", "orderbook", "kline", "allLiquidation")


class Bybit(Exchange):
    """The protocol; topics are symbols, e.g. BTCUSDT. `kline.5` is of five minutes."""

    limits = Limits(connects=(500, 300.0), ping=(20.0, b'{"op":"ping"}'))
    address = "wss://stream.bybit.com/v5/public/spot"
    channels = CHANNELS
    candles = LENGTHS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._prefix = f"{self._channel}."
        # each topic is written in quotes, with a comma after it
        each = CHARACTERS, len(self._prefix) + 3
        self.limits = replace(self.limits, characters=each)
        self._say: Callable[[Said, Any, str, int], None]
        if self.fields == TRADE:
            self._decode, self._say = TRADES.decode, self._trades
        elif self.fields == CANDLE:
            self._decode, self._say = CANDLES.decode, self._klines
        else:
            of_ticker = self._channel == "tickers"
            self._decode = (TICKERS if of_ticker else BOOKS).decode
            self._quoted: Callable[[Any, Values], Values]
            self._quoted = _of_ticker if of_ticker else _of_book
            self._say = self._quote
        self._quotes: dict[str, Values] = {}
        self._recent: defaultdict[str, Recent] = defaultdict(Recent)

    def opened(self) -> None:
        """Drop the state of the previous connection; quotes are sent anew."""
        super().opened()
        self._quotes.clear()

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to symbols, at most ten in each."""
        return [
            msgspec.json.encode(
                {
                    "op": "subscribe",
                    "args": [self._prefix + topic for topic in part],
                    "req_id": str(self._request(part)),
                }
            )
            for part in in_parts(topics, TOPICS_PER_FRAME)
        ]

    def _ticks(self, message: Message[Any], received: int) -> Said | None:
        stream = message.topic.removeprefix(self._prefix)
        if not stream or stream == message.topic:
            return None
        said: Said = []
        self._say(said, message, stream, received)
        return said

    def _other(self, frame: bytes, received: int) -> Said:
        head = FRAME.decode(frame)
        if head.topic.startswith(self._prefix):
            return self._one_by_one(frame, head.data, received)
        if head.op in ("ping", "pong"):
            self.counters["heartbeats"] += 1
            return [Alive()]
        if head.op == "subscribe":
            if head.success:
                return self._answered(head.req_id)
            return self._refused(text_of(frame))
        kind = head.topic.partition(".")[0]
        return self._dropped(kind if kind in KNOWN else "unknown")

    def _trades(
        self, said: Said, message: Message[Some[Trade]], stream: str, received: int
    ) -> None:
        recent = self._recent[stream]
        for trade in message.data:
            if recent.is_new(trade.id):
                values = trade.price, trade.qty, BUY if trade.side == "Buy" else SELL
                self._observe(said, stream, trade.time * MS, values, received)
            else:
                self.counters["duplicates"] += 1

    def _klines(
        self, said: Said, message: Message[Some[Candle]], stream: str, received: int
    ) -> None:
        for candle in message.data:
            if candle.finished:
                start = candle.start * MS
                self._finished(said, stream, start, prices_of(candle), received)
            else:
                self.counters["unfinished"] += 1

    def _quote(
        self, said: Said, message: Message[Ticker | Book], stream: str, received: int
    ) -> None:
        known, before = self._quotes.get(stream), NOTHING
        if message.type == "delta":
            if known is None:
                self.counters["changes of nothing known"] += 1
                return
            before = known
        values = self._quoted(message.data, before)
        if values in (known, NOTHING):
            self.counters["unchanged"] += 1
            said.append(Alive(stream))
            return
        self._quotes[stream] = values
        self._observe(said, stream, message.time * MS, values, received)


class Recent:
    """The latest ids of a stream, between `REMEMBERED` and twice that number."""

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()

    def is_new(self, name: str) -> bool:
        """Say whether an id was not seen lately, and remember it."""
        if name in self._young or name in self._old:
            return False
        self._young.add(name)
        if len(self._young) == REMEMBERED:
            self._young, self._old = set(), self._young
        return True


def _of_ticker(one: Ticker, before: Values) -> Values:
    bid, bid_qty, ask, ask_qty = before
    return (
        bid if one.bid is None else one.bid,
        bid_qty if one.bid_qty is None else one.bid_qty,
        ask if one.ask is None else one.ask,
        ask_qty if one.ask_qty is None else one.ask_qty,
    )


def _of_book(one: Book, before: Values) -> Values:
    bid = _best(one.bids) if one.bids else before[:2]
    ask = _best(one.asks) if one.asks else before[2:]
    return *bid, *ask


def _best(levels: tuple[Level, ...]) -> Values:
    """Give the first level with a quantity above 0, or missing values."""
    for level in levels:
        if level[1] > 0:
            return level
    return MISSING, MISSING
