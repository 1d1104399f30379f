"""What exchanges share: ids that only rise, clocks that err, prices that are none.

An exchange's own file says what its messages look like; what becomes of what they hold
is said here, once. Fields have the same names everywhere:

    trades    price, qty, side (of the aggressor: 1 bought, -1 sold)
    quotes    bid, bid_qty, ask, ask_qty
    candles   open, high, low, close, volume: finished ones, at the time they ended
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Raw

from connectors.contract import FIRST_TIME, did_you_mean
from connectors.stamps import SECOND, Iso
from connectors.venues.protocol import History, Limits, Notice, Refused, Subscribed
from sfm_stream.errors import ConfigError
from sfm_stream.events import Event, Gap, Tick

if TYPE_CHECKING:
    from sfm_stream.config import Config

TRADE = ("price", "qty", "side")
QUOTE = ("bid", "bid_qty", "ask", "ask_qty")
CANDLE = ("open", "high", "low", "close", "volume")
PRICES = frozenset(("price", "bid", "ask"))
BUY, SELL = 1.0, -1.0
MISSING = nan
"""The value that a message does not hold; text that reads `nan` is garbage instead."""
AHEAD = 86_400 * SECOND
"""Times farther ahead of their receipt, and times before 2000, are absurd.

One of them would make every later tick one from the past.
"""
MANY = 2
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Said: TypeAlias = list[Event | Notice]
Name = Annotated[str, Meta(min_length=1)]
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
T = TypeVar("T")
Some: TypeAlias = Annotated[list[T], Meta(min_length=1)]
"""A list that holds something; a message without is garbage."""
Level = tuple[float, float]
"""Price and quantity."""


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Make a decoder that also reads numbers written as text."""
    return msgspec.json.Decoder(kind, strict=False)


class Prices(msgspec.Struct, gc=False):
    """What a candle holds, where its names are written out."""

    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def values(self) -> tuple[float, ...]:
        """What becomes a tick."""
        return self.open, self.high, self.low, self.close, self.volume


RAWS = decoder(list[Raw])


class Exchange:
    """The protocol of an exchange, but for its messages.

    Args:
        config: `feed.channel` says which messages become ticks, `stream.symbols` what
            to subscribe to, `feed.url` where, if not at the exchange's public address.

    Attributes:
        limits: what the exchange allows.
        channels: names of a tick's values for each channel; the first is the default.
        candles: length in ns of a candle, for the channels that hold some.
        fields: names of a tick's values.
        topics: symbols as the exchange writes them.
        counters: what became no tick, or not as it came, by reason.

    Of a venue are `subscribe`, `_decode`, which reads a message of the channel at once,
    `_ticks`, which says what it holds or None if it is of another channel, and `_other`
    for all other frames.

    Raises:
        ConfigError: if there is no such channel.
    """

    limits = Limits()
    address = ""
    channels: Mapping[str, tuple[str, ...]] = {}
    candles: Mapping[str, int] = {}

    def __init__(self, config: Config) -> None:
        channel = config.feed.channel or next(iter(self.channels))
        if channel not in self.channels:
            problem = f"expected a channel of ticks, was {channel!r}"
            hint = did_you_mean(channel, self.channels)
            raise ConfigError("feed.channel", problem, hint)
        self.fields = self.channels[channel]
        self.topics = tuple(dict.fromkeys(map(self.spelled, config.stream.symbols)))
        self.counters: Counter[str] = Counter()
        self._channel = channel
        self._url = config.feed.url
        self._prices = [i for i, name in enumerate(self.fields) if name in PRICES]
        self._ids: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._candles: dict[str, tuple[int, tuple[float, ...]]] = {}
        self._heard: set[str] = set()
        self._asked: dict[str, Sequence[str]] = {}
        self._iso = Iso().ns
        self._decode: Callable[[bytes], Any]
        self._ticks: Callable[[Any, int], Said | None]

    @staticmethod
    def spelled(symbol: str) -> str:
        """Write a symbol as the exchange does."""
        return symbol.upper()

    def url(self) -> str:
        """Give the address to connect to."""
        return self._url or self.address

    def opened(self) -> None:
        """Forget what belonged to the connection before; ids go on across them."""
        self._candles.clear()
        self._heard.clear()
        self._asked.clear()

    def receive(self, frame: bytes, received: int) -> Said:
        """Read one frame, whatever it holds; never raises.

        Args:
            frame: as it came.
            received: when it reached us, ns.
        """
        try:
            message = self._decode(frame)
        except UNREADABLE:
            message = None
        said = None if message is None else self._ticks(message, received)
        if said is not None:
            return said
        try:
            return self._other(frame, received)
        except UNREADABLE:
            return self._dropped("garbage")

    def _other(self, frame: bytes, _received: int) -> Said:
        """Read a frame that is no sound message of the channel.

        Raises:
            DecodeError: if it is garbage, or another of `UNREADABLE`.
        """
        raise NotImplementedError

    def _observe(
        self, said: Said, stream: str, time: int | None, values: tuple[float, ...],
        received: int, *, first: int | None = None, last: int | None = None,
        past: bool = False,
    ) -> None:  # fmt: skip
        """Say what an observation amounts to: a tick, after the gap before it; or none.

        Args:
            said: to be added to.
            stream: whose it is.
            time: when it happened, ns; None if it does not say.
            values: one per field.
            received: when it reached us, ns.
            first: id of the first thing it holds, where no id is ever left out.
            last: id of the last thing it holds, where ids rise.
            past: whether it happened before the subscription.
        """
        if not isfinite(sum(values)) and not all(map(_sound, values)):
            self.counters["garbage"] += 1
            return
        seen = None
        if last is not None:
            seen = self._ids.get(stream)
            if seen is not None and last <= seen:
                self.counters["duplicates"] += 1
                return
            self._ids[stream] = last
        if time is None:
            time = received
        elif FIRST_TIME <= time <= received + AHEAD:
            if time < self._latest.get(stream, time):
                self.counters["earlier times"] += 1
            self._latest[stream] = time
        else:
            self.counters["absurd times"] += 1
            time = received
        if seen is not None and first is not None and first > seen + 1:
            reason = f"ids {seen + 1}..{first - 1} missing"
            said.append(Gap(stream, time, reason, first - 1 - seen))
        if 0.0 in values and any(values[i] == 0.0 for i in self._prices):
            self.counters["empty"] += 1
            return
        tick = Tick(stream, time, values, received)
        said.append(History(tick) if past else tick)

    def _one_by_one(self, frame: bytes, records: Raw, received: int) -> Said:
        """Read the records of a frame each for itself, for one of them is garbage.

        Raises:
            DecodeError: if they are no list, or but one; or another of `UNREADABLE`.
        """
        texts = RAWS.decode(records)
        if len(texts) < MANY:
            raise msgspec.DecodeError("the only record is garbage")
        before, _, after = frame.partition(bytes(records))
        parts = (before + b"[" + bytes(text) + b"]" + after for text in texts)
        return [x for part in parts for x in self.receive(part, received)]

    def _finished(
        self, said: Said, stream: str, start: int, values: tuple[float, ...],
        received: int, *, past: bool = False,
    ) -> None:  # fmt: skip
        """Say what a finished candle amounts to; `start` in ns."""
        end = start + self.candles[self._channel]
        self._observe(said, stream, end, values, received, last=start, past=past)

    def _growing(
        self, said: Said, stream: str, start: int, values: tuple[float, ...],
        received: int, *, past: bool = False,
    ) -> None:  # fmt: skip
        """Keep a candle until the next one starts, which is when it is finished."""
        self.counters["unfinished"] += 1
        kept = self._candles.get(stream)
        if kept and start < kept[0]:
            return
        self._candles[stream] = start, values
        if kept and start > kept[0]:
            self._finished(said, stream, *kept, received, past=past)

    def _first_heard(self, stream: str) -> bool:
        """Say whether a stream speaks for the first time on this connection."""
        if stream in self._heard:
            return False
        self._heard.add(stream)
        return True

    def _dropped(self, reason: str) -> Said:
        self.counters[reason] += 1
        return []

    def _request(self, topics: Sequence[str]) -> int:
        """Number a request, so that its answer tells which topics it was for."""
        number = len(self._asked) + 1
        self._asked[str(number)] = topics
        return number

    def _taken(self, topics: Iterable[str]) -> Said:
        self.counters["acknowledgements"] += 1
        return [Subscribed(topic) for topic in topics]

    def _answered(self, number: str) -> Said:
        return self._taken(self._asked.get(number, [""]))

    def _refused(self, reason: str, topic: str = "") -> Said:
        """Say which topic was refused: the one told, or the longest one mentioned."""
        self.counters["errors"] += 1
        named = [t for t in self.topics if t in reason] if not topic else [topic]
        return [Refused(max(named, key=len, default=""), reason)]


def _sound(value: float) -> bool:
    return value is MISSING or isfinite(value)


def text_of(frame: bytes) -> str:
    """Give a frame as text, whatever its bytes, to be shown."""
    return frame.decode(errors="replace")


def in_parts(topics: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    """Cut a list of topics into parts of at most `size`."""
    return (topics[start : start + size] for start in range(0, len(topics), size))
