"""Bitstamp's public feed, version 2: frames in, events out.

Source: recorded frames of the venue's websocket API, version 2; its document was not
read again. Trade ids rise within a pair, but all pairs share one sequence, so a skipped
id is not a lost trade. The book is the hundred best levels of each side, sent whole at
every change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Raw, Struct

from connectors.stamps import US
from connectors.venues.base import (
    BUY,
    MISSING,
    QUOTE,
    SELL,
    TRADE,
    Exchange,
    Id,
    Level,
    Number,
    Said,
    decoder,
    text_of,
)
from connectors.venues.protocol import Alive, Departing, Limits

if TYPE_CHECKING:
    from sfm_stream.config import Config

CHANNELS = {"order_book": QUOTE, "live_trades": TRADE}
DAY = 86_400.0
NONE = (MISSING, MISSING)


class Frame(Struct, gc=False):
    """The keys that tell kinds of frames apart."""

    event: str = ""
    channel: str = ""
    data: Raw = Raw()


class Trade(Struct, gc=False):
    """A trade; type 0 is a buy, type 1 a sale."""

    id: Id
    price: Number
    qty: Number = msgspec.field(name="amount")
    type: Literal[0, 1]
    microtimestamp: Id


class Book(Struct, gc=False):
    """The best levels of each side; either may be empty."""

    bids: list[Level]
    asks: list[Level]
    microtimestamp: Id


class Trades(Struct, tag_field="event", tag="trade", gc=False):
    """A message with a trade."""

    channel: str
    data: Trade


class Books(Struct, tag_field="event", tag="data", gc=False):
    """A message with a book."""

    channel: str
    data: Book


FRAME = decoder(Frame)
KNOWN = ("live_trades", "live_orders", "order_book", "diff_order_book",
         "detail_order_book")  # fmt: skip


class Bitstamp(Exchange):
    """The protocol; topics are pairs, e.g. btcusd."""

    limits = Limits(lifetime=90 * DAY, ping=(20.0, b'{"event":"bts:heartbeat"}'))
    address = "wss://ws.bitstamp.net"
    channels = CHANNELS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._prefix = f"{self._channel}_"
        if self.fields == TRADE:
            self._decode, self._ticks = decoder(Trades).decode, self._trade
        else:
            self._decode, self._ticks = decoder(Books).decode, self._book

    @staticmethod
    def spelled(symbol: str) -> str:
        """Write a symbol in lower case, as in the names of channels."""
        return symbol.lower()

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to pairs, one for each."""
        return [
            msgspec.json.encode(
                {
                    "event": "bts:subscribe",
                    "data": {"channel": f"{self._channel}_{topic}"},
                }
            )
            for topic in topics
        ]

    def _other(self, frame: bytes, _received: int) -> Said:
        head = FRAME.decode(frame)
        channel, _, topic = head.channel.rpartition("_")
        mine = channel == self._channel
        match head.event:
            case "trade" | "data":
                kind = channel if channel in KNOWN else "unknown"
                return self._dropped("garbage" if mine else kind)
            case "bts:subscription_succeeded":
                return self._taken([topic] if mine else [])
            case "bts:error":
                return self._refused(text_of(frame), topic)
            case "bts:heartbeat":
                self.counters["heartbeats"] += 1
                return [Alive()]
            case "bts:request_reconnect":
                self.counters["notices"] += 1
                return [Departing(head.event)]
        return self._dropped("unknown")

    def _trade(self, message: Trades, received: int) -> Said | None:
        stream, trade = self._stream(message.channel), message.data
        if not stream:
            return None
        said: Said = []
        values = (trade.price, trade.qty, SELL if trade.type else BUY)
        time = trade.microtimestamp * US
        self._observe(said, stream, time, values, received, trade.id)
        return said

    def _book(self, message: Books, received: int) -> Said | None:
        stream, book = self._stream(message.channel), message.data
        if not stream:
            return None
        said: Said = []
        bid = book.bids[0] if book.bids else NONE
        ask = book.asks[0] if book.asks else NONE
        number = book.microtimestamp
        self._observe(said, stream, number * US, (*bid, *ask), received, number)
        return said

    def _stream(self, channel: str) -> str:
        """Give the pair of a message, or empty if it belongs to another channel."""
        stream = channel.removeprefix(self._prefix)
        return "" if stream == channel else stream
