"""Coinbase Exchange's public feed: frames in, events out.

Source: the venue's "Exchange WebSocket Channels" as recorded frames show it; the
document was not read again. The side of a match is the maker's, so the aggressor has
the opposite side. On subscribing, `last_match` and a first ticker repeat the last
trade, however old. Trade ids of a product are contiguous; `sequence` counts the
messages of a channel that is not used here, so its values only rise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from connectors.stamps import of_iso
from connectors.venues.base import (
    BUY,
    MISSING,
    QUOTE,
    SELL,
    TRADE,
    Exchange,
    Id,
    Name,
    Number,
    Said,
    decoder,
    text_of,
)
from connectors.venues.protocol import Alive, Limits

if TYPE_CHECKING:
    from sfm_stream.config import Config

CHANNELS = {"ticker": QUOTE, "matches": TRADE}


class Subscription(Struct, gc=False):
    """A channel that is subscribed to."""

    name: str = ""
    product_ids: tuple[str, ...] = ()


class Frame(Struct, gc=False):
    """The keys that tell kinds of frames apart."""

    type: str = ""
    channels: tuple[Subscription, ...] = ()


class Match(Struct, tag_field="type", tag="match", gc=False):
    """A trade."""

    product_id: Name
    trade_id: Id
    side: Literal["buy", "sell"]
    price: Number
    size: Number
    time: str


class LastMatch(Match, tag="last_match", gc=False):
    """The trade before the subscription."""


class Ticker(Struct, tag_field="type", tag="ticker", gc=False):
    """The best bid and ask at a trade; without sizes until 2022."""

    product_id: Name
    sequence: Id
    best_bid: Number
    best_ask: Number
    time: str
    best_bid_size: Number = MISSING
    best_ask_size: Number = MISSING


FRAME, TICKERS = decoder(Frame), decoder(Ticker)
MATCHES = decoder(Match | LastMatch)  # type: ignore[arg-type] # a union is no class
MINE = {"ticker": ("ticker",), "matches": ("match", "last_match")}
KNOWN = frozenset(("match", "last_match", "ticker", "snapshot", "l2update"))


class Coinbase(Exchange):
    """The protocol; topics are products, e.g. BTC-USD."""

    limits = Limits(connects=(8, 1.0), messages=(8, 1.0), compression=True)
    address = "wss://ws-feed.exchange.coinbase.com"
    channels = CHANNELS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if self._channel == "ticker":
            self._decode, self._ticks = TICKERS.decode, self._ticker
        else:
            self._decode, self._ticks = MATCHES.decode, self._match

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give one frame, which subscribes to the channel and to heartbeats."""
        channels = [self._channel, "heartbeat"]
        ask = {"type": "subscribe", "product_ids": topics, "channels": channels}
        return [msgspec.json.encode(ask)] if topics else []

    def _other(self, frame: bytes, _received: int) -> Said:
        head = FRAME.decode(frame)
        match head.type:
            case "heartbeat":
                self.counters["heartbeats"] += 1
                return [Alive()]
            case "subscriptions":
                mine = [c for c in head.channels if c.name == self._channel]
                return self._taken(topic for c in mine for topic in c.product_ids)
            case "error":
                return self._refused(text_of(frame))
        if head.type in MINE[self._channel]:
            return self._dropped("garbage")
        return self._dropped(head.type if head.type in KNOWN else "unknown")

    def _match(self, trade: Match, received: int) -> Said:
        said: Said = []
        values = (trade.price, trade.size, SELL if trade.side == "buy" else BUY)
        time, number = of_iso(trade.time), trade.trade_id
        past = type(trade) is LastMatch
        self._observe(
            said, trade.product_id, time, values, received, number, number, past
        )
        return said

    def _ticker(self, quote: Ticker, received: int) -> Said:
        said: Said = []
        stream, time = quote.product_id, of_iso(quote.time)
        bid, ask = quote.best_bid, quote.best_ask
        values = (bid, quote.best_bid_size, ask, quote.best_ask_size)
        past = stream not in self._heard and self._first_heard(stream)
        self._observe(said, stream, time, values, received, quote.sequence, None, past)
        return said
