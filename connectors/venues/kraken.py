"""Kraken's public feed, version 2: frames in, events out.

Source: the venue's "Spot WebSocket v2: ticker" in a stored copy read on 2026-11-26;
notes on "trade", "ohlc" and "Spot WebSocket Introduction" (limit of attempts). Trade
ids are contiguous within a book. A `snapshot` holds records from before the
subscription; its default has changed over time, so it is always asked for. Candles do
not say when they are finished.

A ticker is sent when the best bid or ask moves to another price level. Changes of
quantity at the same price are not sent: `bid_qty` and `ask_qty` may be old.

An IP address may try to connect about 150 times in ten minutes; a client that tries
more often is blocked for ten minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Raw, Struct

from connectors.stamps import SECOND, of_iso
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
    Prices,
    Said,
    Some,
    decoder,
    in_parts,
    prices_of,
    text_of,
)
from connectors.venues.protocol import Alive, Limits

if TYPE_CHECKING:
    from sfm_stream.config import Config

TOPICS_PER_FRAME = 100
MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)

LENGTHS = {f"ohlc-{minutes}": minutes * 60 * SECOND for minutes in MINUTES}
CHANNELS = {"ticker": QUOTE, "trade": TRADE, **dict.fromkeys(LENGTHS, CANDLE)}


class Result(Struct, frozen=True, gc=False):
    """The symbol that the answer to a request is about."""

    symbol: str = ""


class Frame(Struct, gc=False):
    """The keys that tell frames apart: a channel, or the method that is answered."""

    channel: str = ""
    type: str = ""
    data: Raw = Raw()
    method: str = ""
    success: bool = False
    result: Result = Result()
    symbol: str = ""


class Trade(Struct, gc=False):
    """A trade, with the side of the aggressor."""

    symbol: Name
    id: Id = msgspec.field(name="trade_id")
    side: Literal["buy", "sell"]
    price: Number
    qty: Number
    timestamp: str


class Ticker(Struct, gc=False):
    """The best bid and ask; without a time until 2024."""

    symbol: Name
    bid: Number
    bid_qty: Number
    ask: Number
    ask_qty: Number
    timestamp: str | None = None


class Candle(Prices, gc=False):
    """A candle that is `interval` minutes long."""

    symbol: Name
    interval: int
    interval_begin: str


class Trades(Struct, tag_field="channel", tag="trade", gc=False):
    """A message of trades."""

    type: str
    data: Some[Trade]


class Tickers(Struct, tag_field="channel", tag="ticker", gc=False):
    """A message of tickers."""

    type: str
    data: Some[Ticker]


class Candles(Struct, tag_field="channel", tag="ohlc", gc=False):
    """A message of candles."""

    type: str
    data: Some[Candle]


FRAME = decoder(Frame)
KNOWN = frozenset(("trade", "ticker", "ohlc", "book", "level3", "instrument", "status"))


class Kraken(Exchange):
    """The protocol; topics are pairs, e.g. BTC/USD. `ohlc-5` is of five minutes."""

    limits = Limits(connects=(150, 600.0), ping=(15.0, b'{"method":"ping"}'))
    address = "wss://ws.kraken.com/v2"
    channels = CHANNELS
    candles = LENGTHS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._name, _, minutes = self._channel.partition("-")
        self._minutes = int(minutes or 0)
        if self._name == "trade":
            self._decode, self._ticks = decoder(Trades).decode, self._trades
        elif self._name == "ticker":
            self._decode, self._ticks = decoder(Tickers).decode, self._tickers
        else:
            self._decode, self._ticks = decoder(Candles).decode, self._ohlc

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to pairs, at most a hundred in each."""
        params: dict[str, Any] = {"channel": self._name, "snapshot": True}
        if self._name == "ticker":
            params["event_trigger"] = "bbo"
        if self._name == "ohlc":
            params["interval"] = self._minutes
        return [
            msgspec.json.encode(
                {"method": "subscribe", "params": {**params, "symbol": part}}
            )
            for part in in_parts(topics, TOPICS_PER_FRAME)
        ]

    def _other(self, frame: bytes, received: int) -> Said:
        if frame.startswith(b"["):  # as all data of version 1 did
            return self._dropped("unknown")
        head = FRAME.decode(frame)
        if head.channel == self._name:
            return self._one_by_one(frame, head.data, received)
        if head.channel == "heartbeat" or head.method == "pong":
            self.counters["heartbeats"] += 1
            return [Alive()]
        if head.method == "subscribe":
            if head.success:
                return self._taken([head.result.symbol])
            return self._refused(text_of(frame), head.symbol)
        return self._dropped(head.channel if head.channel in KNOWN else "unknown")

    def _trades(self, message: Trades, received: int) -> Said:
        said: Said = []
        past = message.type == "snapshot"
        if len(message.data) > 1:
            message.data.sort(key=attrgetter("id"))
        for trade in message.data:
            values = (trade.price, trade.qty, BUY if trade.side == "buy" else SELL)
            time, number = of_iso(trade.timestamp), trade.id
            self._observe(
                said, trade.symbol, time, values, received, number, number, past
            )
        return said

    def _tickers(self, message: Tickers, received: int) -> Said:
        said: Said = []
        past = message.type == "snapshot"
        for quote in message.data:
            values = (quote.bid, quote.bid_qty, quote.ask, quote.ask_qty)
            stamp = quote.timestamp
            time = None if stamp is None else of_iso(stamp)
            self._observe(said, quote.symbol, time, values, received, None, None, past)
        return said

    def _ohlc(self, message: Candles, received: int) -> Said:
        said: Said = []
        past = message.type == "snapshot"
        if len(message.data) > 1:
            message.data.sort(key=attrgetter("interval_begin"))
        for candle in message.data:
            if candle.interval != self._minutes:
                self.counters["ohlc"] += 1
                continue
            start, values = of_iso(candle.interval_begin), prices_of(candle)
            self._growing(said, candle.symbol, start, values, received, past)
        return said
