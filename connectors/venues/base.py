"""The base of all exchanges: handling of rising ids, faulty clocks, invalid prices.

An exchange's own file defines its messages; this file turns their content into events
by the same rules for all exchanges. Fields have the same names everywhere:

    trades    price, qty, side (of the aggressor: 1 bought, -1 sold)
    quotes    bid, bid_qty, ask, ask_qty
    candles   open, high, low, close, volume: finished ones, at the time they ended
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from sys import float_info
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Raw

from connectors.options import read
from connectors.tally import Noting
from connectors.venues.course import CATCH_UP, REACH, SLACK, Course, Values, Verdict
from connectors.venues.options import CHANNEL, VenueOptions
from connectors.venues.protocol import (
    Alive,
    History,
    Limits,
    Notice,
    Refused,
    Subscribed,
)
from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.events import Event, Gap, Tick

if TYPE_CHECKING:
    from sfm_stream.config import Config

TRADE = ("price", "qty", "side")
QUOTE = ("bid", "bid_qty", "ask", "ask_qty")
CANDLE = ("open", "high", "low", "close", "volume")
PRICES = frozenset(("price", "bid", "ask"))
BUY, SELL = 1.0, -1.0
MISSING = nan
"""A value that is absent from a message; a value written as `nan` is garbage."""
MANY = 2
UNREADABLE = (ValueError, RecursionError)
"""Exceptions of decoders: those of msgspec, Unicode and numbers are ValueErrors."""

Said: TypeAlias = list[Event | Notice]
Name = Annotated[str, Meta(min_length=1)]
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
T = TypeVar("T")
Some: TypeAlias = Annotated[list[T], Meta(min_length=1)]
"""A list of at least one item; a message with an empty list is garbage."""
Number = Annotated[float, Meta(ge=-float_info.max, le=float_info.max)]
"""A finite number: neither `nan` nor `inf`, which decoders read from text."""
Level = tuple[Number, Number]
"""Price and quantity."""


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Make a JSON decoder that also accepts numbers written as text."""
    return msgspec.json.Decoder(kind, strict=False)


class Candle(Protocol):
    """The prices and the volume of a candle of any exchange."""

    open: float
    high: float
    low: float
    close: float
    volume: float


class Prices(msgspec.Struct, gc=False):
    """The prices and the volume of a candle with keys written in full."""

    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


RAWS = decoder(list[Raw])


class Exchange:
    """The protocol of an exchange, except for the format of its messages.

    Args:
        config: `stream.symbols` names the symbols to subscribe to; `[feed.options]`
            names the channel and an address other than the public one.

    Attributes:
        options: declares the keys of `[feed.options]`.
        limits: limits and requirements of the exchange for connections.
        channels: names of a tick's values for each channel; the first is the default.
        candles: length in ns of a candle, for each channel of candles.
        fields: names of a tick's values.
        topics: symbols as the exchange writes them.
        counters: counts, by reason, of frames and records that gave no tick or a
            changed one.

    A venue's own class has `subscribe`; `_decode`, which decodes a message of the
    channel; `_ticks`, which turns the message into events, or gives None if it belongs
    to another channel; and `_other`, which reads all other frames.

    Raises:
        ConfigError: if there is no such channel.
    """

    options: type[VenueOptions] = VenueOptions
    limits = Limits()
    address = ""
    channels: Mapping[str, tuple[str, ...]] = {}
    candles: Mapping[str, int] = {}

    def __init__(self, config: Config) -> None:
        own = read(config.feed, self.options)
        channel = own.channel or next(iter(self.channels))
        if channel not in self.channels:
            problem = f"expected a channel of ticks, was {channel!r}"
            hint = did_you_mean(channel, self.channels)
            raise ConfigError(CHANNEL, problem, hint)
        self.fields = self.channels[channel]
        self.topics = tuple(dict.fromkeys(map(self.spelled, config.stream.symbols)))
        self.counters = Noting()
        self._channel = channel
        self._lasts = self.candles.get(channel, 0)
        self._url = own.url
        self._prices = [i for i, name in enumerate(self.fields) if name in PRICES]
        self._courses: dict[str, Course] = {}
        self._switched = -1
        self._candles: dict[str, tuple[int, Values]] = {}
        self._heard: set[str] = set()
        self._asked: dict[str, Sequence[str]] = {}
        self._decode: Callable[[bytes], Any]
        self._ticks: Callable[[Any, int], Said | None]

    @staticmethod
    def spelled(symbol: str) -> str:
        """Write a symbol in the exchange's spelling."""
        return symbol.upper()

    def url(self) -> str:
        """Give the address to connect to."""
        return self._url or self.address

    def opened(self) -> None:
        """Drop the state of the previous connection, but keep ids and times."""
        courses = self._courses.values()
        self._switched = max((course.received for course in courses), default=-1)
        self._candles.clear()
        self._heard.clear()
        self._asked.clear()

    def receive(self, frame: bytes, received: int) -> Said:
        """Read one frame, whatever its content; never raises.

        Args:
            frame: the bytes as they were received.
            received: time of receipt, ns.
        """
        self.counters.reading = frame
        try:
            decode, ticks = self._decode, self._ticks  # faster called as locals
            said = ticks(decode(frame), received)
        except UNREADABLE:
            said = None
        if said is not None:
            return said
        try:
            return self._other(frame, received)
        except UNREADABLE:
            return self._dropped("garbage")

    def _other(self, frame: bytes, _received: int) -> Said:
        """Read a frame that is not a valid message of the channel.

        Raises:
            DecodeError: or another of `UNREADABLE`, if the frame is garbage.
        """
        raise NotImplementedError

    def _observe(
        self, said: Said, stream: str, time: int | None, values: Values, received: int,
        last: int | None = None, first: int | None = None, past: bool = False,
    ) -> None:  # fmt: skip
        """Turn a record into events: a gap if ids are missing, and a tick if it is new.

        This runs for every record; rare cases have functions of their own.

        Args:
            said: the list to append the events to.
            stream: name of the record's stream.
            time: time of the record, ns; None if it has none.
            values: one per field.
            received: time of receipt, ns.
            last: the highest id in the record, where ids rise.
            first: the lowest id in the record, where ids are contiguous.
            past: whether the record is from before the subscription.
        """
        try:
            course = self._courses[stream]
        except KeyError:
            course = self._courses[stream] = Course()
        if last is not None:
            ahead = last - course.id
            if ahead == 1 or (
                0 < ahead <= REACH and (first is None or first <= course.id + 1)
            ):
                course.id = last
            elif not self._jumps(said, stream, course, time, received, last, first):
                return
        if time is not None and course.time < time <= received:
            course.time = time
        else:
            time = self._moment(course, time, received)
            if time > course.time:
                course.time = time
            elif self._repeats(said, stream, course, time, values, received, last):
                return
        course.values, course.received = values, received
        for i in self._prices:
            if values[i] == 0.0:
                self.counters["empty"] += 1
                return
        tick = Tick(stream, time, values, received)
        said.append(History(tick) if past else tick)

    def _jumps(
        self, said: Said, stream: str, course: Course, time: int | None, received: int,
        last: int, first: int | None,
    ) -> bool:  # fmt: skip
        """Handle an id that does not follow; say whether the record is to be used."""
        seen = course.id
        if time is None or not course.plausible(time, received):
            time = received
        if seen < 0:
            course.id = last
            return True
        if seen < last <= seen + REACH and first is not None:
            course.id = last
            reason = f"ids {seen + 1}..{first - 1} missing"
            said.append(Gap(stream, time, reason, first - 1 - seen))
            return True
        verdict = course.judge(last, time, received, self._switched)
        self.counters[verdict.value] += 1
        if verdict is Verdict.RESTART:
            course.id = last
            said.append(Gap(stream, time, f"ids began anew at {last} after {seen}"))
            return True
        if last == seen:
            said.append(Alive(stream))
        return False

    def _moment(self, course: Course, time: int | None, received: int) -> int:
        """Give the time of a record: its own if plausible, else a substitute.

        For a missing time it is the time of receipt. For an implausible time it is the
        later of the receipt and the time that the stream has reached.
        """
        if time is None:
            return received
        if course.time <= time <= received or course.plausible(time, received):
            return time
        self.counters["absurd times"] += 1
        return max(received, course.expected(received))

    def _repeats(
        self, said: Said, stream: str, course: Course, time: int, values: Values,
        received: int, last: int | None,
    ) -> bool:  # fmt: skip
        """Say whether a record at or before the latest time repeats an earlier one.

        Without ids, two connections that overlap send the same records.
        """
        if last is None:
            overlaps = received <= self._switched + CATCH_UP
            if overlaps and course.known(time, values):
                self.counters["duplicates"] += 1
                said.append(Alive(stream))
                return True
            if time == course.time:
                course.remember(time, values)
        if time < course.time:
            self.counters["earlier times"] += 1
            course.time = time
        return False

    def _one_by_one(self, frame: bytes, records: Raw, received: int) -> Said:
        """Read the records of a frame one by one, because one of them is garbage.

        Raises:
            DecodeError: or another of `UNREADABLE`, if they are not a list of two or
                more.
        """
        texts = RAWS.decode(records)
        if len(texts) < MANY:
            raise msgspec.DecodeError("the only record is garbage")
        before, _, after = frame.partition(bytes(records))
        parts = (before + b"[" + bytes(text) + b"]" + after for text in texts)
        return [x for part in parts for x in self.receive(part, received)]

    def _finished(
        self, said: Said, stream: str, start: int, values: Values,
        received: int, past: bool = False,
    ) -> None:  # fmt: skip
        """Turn a finished candle into events; `start` in ns."""
        length = self._lasts
        end = start + length
        self._observe(said, stream, end, values, received, start // length, None, past)

    def _growing(
        self, said: Said, stream: str, start: int, values: Values,
        received: int, past: bool = False,
    ) -> None:  # fmt: skip
        """Keep a candle until the next one starts; only then it is finished."""
        if start > received + SLACK:
            self.counters["absurd times"] += 1
            return
        self.counters["unfinished"] += 1
        latest = start, values
        before, told = self._candles.get(stream, latest)
        if start < before:
            return
        self._candles[stream] = latest
        if start > before:
            self._finished(said, stream, before, told, received, past)

    def _first_heard(self, stream: str) -> bool:
        """Say whether this is the stream's first message on this connection."""
        if stream in self._heard:
            return False
        self._heard.add(stream)
        return True

    def _dropped(self, reason: str) -> Said:
        self.counters[reason] += 1
        return []

    def _request(self, topics: Sequence[str]) -> int:
        """Number a request for topics, so that its answer can be matched to them."""
        number = len(self._asked) + 1
        self._asked[str(number)] = topics
        return number

    def _taken(self, topics: Iterable[str]) -> Said:
        self.counters["acknowledgements"] += 1
        return [Subscribed(topic) for topic in topics]

    def _answered(self, number: str) -> Said:
        return self._taken(self._asked.get(number, [""]))

    def _refused(self, reason: str, topic: str = "") -> Said:
        """Note a refusal of the topic given, or of the longest one the reason names."""
        self.counters["errors"] += 1
        named = [t for t in self.topics if t in reason] if not topic else [topic]
        return [Refused(max(named, key=len, default=""), reason)]


def prices_of(one: Candle) -> Values:
    """Give the values of a candle's tick."""
    return one.open, one.high, one.low, one.close, one.volume


def text_of(frame: bytes) -> str:
    """Decode a frame as text for messages, with invalid bytes replaced."""
    return frame.decode(errors="replace")


def in_parts(topics: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    """Cut a list of topics into parts of at most `size`."""
    return (topics[start : start + size] for start in range(0, len(topics), size))
