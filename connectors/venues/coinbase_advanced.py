"""Coinbase Advanced Trade's public feed: frames in, events out.

Source: the venue's "WebSocket endpoints" in a stored copy read on 2026-11-26; notes on
"Advanced Trade WebSocket Channels", and recorded frames. `sequence_num` counts the
messages of a connection, of all channels, so a missing number is a gap in all streams.
Lists may run from the newest to the oldest. A channel without updates is closed after
about a minute, unless the connection subscribes to heartbeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Raw, Struct

from connectors.stamps import SECOND, of_iso
from connectors.venues.base import (
    BUY,
    CANDLE,
    MISSING,
    QUOTE,
    RAWS,
    SELL,
    TRADE,
    UNREADABLE,
    Exchange,
    Id,
    Name,
    Number,
    Prices,
    Said,
    decoder,
    prices_of,
    text_of,
)
from connectors.venues.course import REACH, Course, Verdict
from connectors.venues.protocol import Alive, Limits
from sfm_stream.events import Gap

if TYPE_CHECKING:
    from sfm_stream.config import Config


class Frame(Struct, gc=False):
    """The keys that tell kinds of frames apart."""

    channel: str = ""
    sequence_num: Id | None = None
    timestamp: str = ""
    events: Raw = Raw()
    type: str = ""


class Subscriptions(Struct, gc=False):
    """All channels that are subscribed to, with their products."""

    subscriptions: Mapping[str, tuple[str, ...]] = {}


class Trade(Struct, gc=False):
    """A trade, with the side of the aggressor."""

    product_id: Name
    id: Id = msgspec.field(name="trade_id")
    side: Literal["BUY", "SELL"]
    price: Number
    size: Number
    time: str


class Ticker(Struct, gc=False):
    """The best bid and ask; its time is that of the message."""

    product_id: Name
    best_bid: Number
    best_ask: Number
    best_bid_quantity: Number = MISSING
    best_ask_quantity: Number = MISSING


class Candle(Prices, gc=False):
    """A candle that began at `start`, in seconds."""

    product_id: Name
    start: Id


CHANNELS = {"ticker": QUOTE, "market_trades": TRADE, "candles": CANDLE}
CANDLE_LENGTHS = {"candles": 300 * SECOND}


class Part(Struct, gc=False):
    """A part of a message: records of the message's channel."""

    type: str = ""
    trades: list[Trade] = []
    tickers: list[Ticker] = []
    candles: list[Candle] = []


class Message(Struct, gc=False):
    """A message of one of the channels whose records become ticks."""

    channel: Literal["market_trades", "ticker", "candles"]
    timestamp: str
    events: list[Part]
    sequence_num: Id | None = None


FRAME, MESSAGE = decoder(Frame), decoder(Message)
ANSWERS, PARTS = decoder(list[Subscriptions]), decoder(list[dict[str, Raw]])
KEYS = {"market_trades": "trades", "ticker": "tickers", "candles": "candles"}
KNOWN = frozenset(("market_trades", "ticker", "ticker_batch", "candles", "l2_data",
                   "status", "user", "futures_balance_summary"))  # fmt: skip


class CoinbaseAdvanced(Exchange):
    """The protocol; topics are products, e.g. BTC-USD. Candles are of five minutes."""

    limits = Limits(connects=(8, 1.0), messages=(8, 1.0), compression=True)
    address = "wss://advanced-trade-ws.coinbase.com"
    channels = CHANNELS
    candles = CANDLE_LENGTHS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._decode = MESSAGE.decode
        self._messages = Course()

    def opened(self) -> None:
        """Drop the state of the previous connection; numbers of messages restart."""
        super().opened()
        self._messages = Course()

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give one frame for the channel and one for heartbeats."""
        ask = {"type": "subscribe", "product_ids": topics, "channel": self._channel}
        beats = {"type": "subscribe", "channel": "heartbeats"}
        return [msgspec.json.encode(x) for x in (ask, beats)] if topics else []

    def _other(self, frame: bytes, received: int) -> Said:
        head = FRAME.decode(frame)
        said = self._numbered(head.sequence_num, received)
        if said is None:
            return []
        if head.channel == self._channel:
            return said + self._each(head, received)
        if head.channel == "heartbeats":
            self.counters["heartbeats"] += 1
            return [*said, Alive()]
        if head.channel == "subscriptions":
            answers = ANSWERS.decode(head.events)
            topics = [x.subscriptions.get(self._channel, ()) for x in answers]
            return said + self._taken(chain.from_iterable(topics))
        if head.type == "error":
            return said + self._refused(text_of(frame))
        kind = head.channel if head.channel in KNOWN else "unknown"
        return said + self._dropped(kind)

    def _numbered(self, number: int | None, received: int) -> Said | None:
        """Check a message's number; give the gap before it if any, None to skip it."""
        course = self._messages
        if number is None:
            return []
        seen, course.time = course.id, received
        if number == seen + 1 or seen < 0:
            course.id = number
            return []
        if seen < number <= seen + REACH:
            course.id = number
            return [Gap("", received, f"messages {seen + 1}..{number - 1} missing")]
        verdict = course.judge(number, received, received, -1)
        self.counters[verdict.value] += 1
        if verdict is not Verdict.RESTART:
            return None
        course.id = number
        return [Gap("", received, f"messages began anew at {number} after {seen}")]

    def _each(self, head: Frame, received: int) -> Said:
        """Read the records of a message one by one, because one of them is garbage."""
        key = KEYS[self._channel]
        said: Said = []
        alone = [
            {**part, key: [record]}
            for part in PARTS.decode(head.events)
            for record in RAWS.decode(part.get(key, Raw(b"[]")))
        ]
        for part in alone:
            text = msgspec.json.encode(
                {"channel": head.channel, "timestamp": head.timestamp, "events": [part]}
            )
            try:
                said += self._ticks(MESSAGE.decode(text), received) or []
            except UNREADABLE:
                self.counters["garbage"] += 1
        return said if alone else said + self._dropped("garbage")

    def _ticks(self, message: Message, received: int) -> Said | None:
        if message.channel != self._channel:
            return None
        said = self._numbered(message.sequence_num, received)
        if said is None:
            return []
        for part in message.events:
            self._part(said, part, message, received)
        if not said and not any(
            p.trades or p.tickers or p.candles for p in message.events
        ):
            self.counters["empty"] += 1
        return said

    def _part(self, said: Said, part: Part, message: Message, received: int) -> None:
        past = part.type == "snapshot"
        if len(part.trades) > 1:
            part.trades.sort(key=attrgetter("id"))
        for trade in part.trades:
            values = (trade.price, trade.size, BUY if trade.side == "BUY" else SELL)
            stream, time = trade.product_id, of_iso(trade.time)
            self._observe(said, stream, time, values, received, trade.id, None, past)
        moment = of_iso(message.timestamp) if part.tickers else None
        for quote in part.tickers:
            bid, ask = quote.best_bid, quote.best_ask
            book = (bid, quote.best_bid_quantity, ask, quote.best_ask_quantity)
            self._observe(
                said, quote.product_id, moment, book, received, None, None, past
            )
        if len(part.candles) > 1:
            part.candles.sort(key=attrgetter("start"))
        for candle in part.candles:
            start, prices = candle.start * SECOND, prices_of(candle)
            self._growing(said, candle.product_id, start, prices, received, past)
