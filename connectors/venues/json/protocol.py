"""The protocol of any feed of JSON frames, described by the configuration alone.

`feed.columns` gives the path of each field in a record, `feed.time` and
`feed.time_unit` the path and unit of its time, `feed.symbol` the path of its stream's
name; `[feed.options]` describes the frames. Numbers may be written as text; true and
false are 1 and 0. A value that is null or absent is missing; a value that is not a
number is missing and counted; a record without values is garbage. A frame may hold
several documents, one after another. Records may be the values of an object whose keys
are the names of their streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from connectors.options import read
from connectors.venues.base import MISSING, UNREADABLE, Exchange, Said, text_of
from connectors.venues.course import Values
from connectors.venues.json.documents import documents, without_nan
from connectors.venues.json.frames import Frames
from connectors.venues.json.paths import (
    Codes,
    Path,
    clock_of,
    condition_of,
    filled,
    number_of,
    path_of,
    pattern_of,
    text_at,
    time_of,
    whole_of,
)
from connectors.venues.json.typed import compiled
from connectors.venues.options import URL
from connectors.venues.protocol import Alive, Departing, Limits
from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.config import Config

# Fractions are kept as text: a time in seconds has more digits than a float holds.
DECODER = msgspec.json.Decoder(float_hook=str)
NAMES = 4_096
"""Largest number of texts for which the stream's name is remembered."""


Observation: TypeAlias = tuple[str, int | None, Values, int | None]
"""The content of a record: stream, time, values and id."""


class Json(Exchange):
    """The protocol of a feed that the configuration describes.

    Raises:
        ConfigError: if it names no fields, or a pattern is invalid.
    """

    options = Frames

    def __init__(self, config: Config) -> None:
        feed, told = config.feed, read(config.feed, Frames)
        if not feed.columns:
            raise ConfigError("feed.columns", "expected field = path, was {}")
        self.channels = {told.channel: tuple(feed.columns)}
        super().__init__(config)
        self.topics = self.topics or (config.stream.name,)
        every = told.ping_every.seconds
        self.limits = Limits(ping=(every, told.ping.encode()) if told.ping else None)
        self._told, self._feed = told, feed
        self._clock, self._name = clock_of(feed.time_unit), config.stream.name
        self._pattern = pattern_of(told.name)
        self._names: dict[str | int, str] = {}
        self._columns: list[tuple[Path, Codes | None]] = [
            (path_of(place), told.codes.get(field))
            for field, place in feed.columns.items()
        ]
        self._records, self._topic = path_of(told.records), path_of(told.topic)
        moment = time_of(feed.time)
        self._time = path_of(moment) if moment else None
        self._symbol = path_of(feed.symbol) if feed.symbol else None
        self._id = path_of(told.id) if told.id else None
        self._holds_ticks = condition_of(told.match)
        self._past = condition_of(told.history)
        self._answers = [
            (condition_of(match), answer)
            for match, answer in (
                (told.acknowledged, self._acknowledged),
                (told.refused, self._refusal),
                (told.alive, self._alive),
                (told.departing, self._departing),
            )
            if match
        ]
        self._truths: frozenset[int] = frozenset()
        self._compile()

    @staticmethod
    def spelled(symbol: str) -> str:
        """Give a symbol unchanged, as the configuration writes it."""
        return symbol

    def url(self) -> str:
        """Give the address to connect to.

        Raises:
            ConfigError: if the configuration gives no address.
        """
        if not self._url:
            raise ConfigError(URL, "expected an address, was ''")
        return self._url

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames of `feed.options.subscribe`, with the topics filled in."""
        return [
            text.encode()
            for template in self._told.subscribe
            for text in filled(template, topics)
        ]

    def _compile(self) -> None:
        """Choose the typed decoder where the description allows one."""
        self._typed = compiled(self._feed, self._told, self._truths)
        decode = DECODER.decode if self._typed is None else self._typed.decode
        self._decode = decode

    def _ticks(self, message: object, received: int) -> Said | None:
        typed = self._typed
        if typed is None:
            return self._ticks_of(message, received)
        holds, rows_of, clock = typed.holds, typed.rows, self._clock
        try:
            rows = rows_of(message) if holds(message) else None
            past = typed.past is not None and typed.past(message)
        except AttributeError:  # a value on the way is missing
            return None
        if rows is None:
            return None
        seen: list[Observation] = []
        for values, when, symbol, number in rows:
            stream = self._name
            if self._symbol is not None:
                stream = self._names.get(symbol or "") or self._stream(symbol)
            if not stream or (number is None and self._id is not None):
                return None
            time = None if self._time is None else clock(when)
            seen.append((stream, time, values, number))
        return self._told_of(seen, past, received)

    def _other(self, frame: bytes, received: int) -> Said:
        if self._told.pong and frame == self._told.pong.encode():
            return self._alive(None, frame)
        try:
            whole = DECODER.decode(frame)
        except UNREADABLE:
            return self._not_quite(frame, received)
        for holds, answer in self._answers:
            if holds(whole):
                return answer(whole, frame)
        said = self._ticks_of(whole, received)
        return self._dropped("unknown") if said is None else said

    def _not_quite(self, frame: bytes, received: int) -> Said:
        """Read a frame with bare `nan` in it, or with several documents.

        Raises:
            DecodeError: or another of `UNREADABLE`, if it is neither.
        """
        mended = without_nan(frame)
        parts = [mended] if mended != frame else documents(frame)
        if not parts:
            raise msgspec.DecodeError("expected JSON")
        return [x for part in parts for x in self.receive(part, received)]

    def _ticks_of(self, whole: object, received: int) -> Said | None:
        answers = any(holds(whole) for holds, _ in self._answers)
        if answers or not self._holds_ticks(whole):
            return None
        seen = [
            observation
            for name, record in self._named(self._records.find(whole, whole))
            if (observation := self._observation(record, whole, name))
        ]
        past = bool(self._told.history) and self._past(whole)
        return self._told_of(seen, past, received)

    def _named(self, found: object) -> list[tuple[str, object]]:
        """Give each record with its key in an object, or with the configured name."""
        if isinstance(found, list):
            return [(self._name, record) for record in found]
        if isinstance(found, dict) and self._are_by_name(found):
            return list(found.items())
        return [(self._name, found)]

    def _are_by_name(self, found: dict[str, object]) -> bool:
        """Say whether an object maps names of streams to their records."""
        if not found or not all(isinstance(record, dict) for record in found.values()):
            return False
        return all(path.find(found, None) is None for path, _ in self._columns)

    def _told_of(self, seen: list[Observation], past: bool, received: int) -> Said:
        """Turn the records of a frame into events."""
        if len(seen) > 1 and self._id:
            seen.sort(key=lambda one: one[3] or 0)
        new = self._first_heard_of(seen) if self._told.repeats else ()
        contiguous, observe = self._told.contiguous, self._observe
        said: Said = []
        for stream, time, values, number in seen:
            first = number if contiguous else None
            before = past or stream in new
            observe(said, stream, time, values, received, number, first, before)
        return said

    def _first_heard_of(self, seen: list[Observation]) -> set[str]:
        """Give the streams whose first record on this connection is among these."""
        new = {one[0] for one in seen} - self._heard
        self._heard |= new
        return new

    def _observation(
        self, record: object, whole: object, name: str
    ) -> Observation | None:
        """Read a record value by value, or count it as garbage."""
        values = self._values(record, whole)
        stream = name
        if self._symbol:
            stream = self._stream(self._symbol.find(record, whole))
        number = whole_of(self._id.find(record, whole)) if self._id else None
        lacks_id = self._id is not None and number is None
        if not stream or lacks_id or all(value is MISSING for value in values):
            self.counters["garbage"] += 1
            return None
        time = self._time and self._clock(self._time.find(record, whole))
        return stream, time, values, number

    def _values(self, record: object, whole: object) -> Values:
        """Read the values of a record; one that is not a number is missing, counted."""
        values = []
        for i, (path, codes) in enumerate(self._columns):
            found = path.find(record, whole)
            if isinstance(found, bool) and codes is None and i not in self._truths:
                self._truths |= {i}
                self._compile()
            number = number_of(found, codes)
            if number is None:
                self.counters["no numbers"] += 1
            values.append(MISSING if number is None else number)
        return tuple(values)

    def _stream(self, value: object) -> str:
        """Find the stream's name in a value, empty if it has none; remember it."""
        text = text_at(value) or ""
        found = None if self._pattern is None else self._pattern.search(text)
        name = text if self._pattern is None else (found[1] or "") if found else ""
        if name and len(self._names) < NAMES and isinstance(value, str | int):
            self._names[value] = name
        return name

    def _acknowledged(self, whole: object, _: bytes) -> Said:
        named = self._topic.find(whole, whole) if self._told.topic else ""
        topics = named if isinstance(named, list) else [named]
        return self._taken(self._stream(topic) if topic else "" for topic in topics)

    def _refusal(self, whole: object, frame: bytes) -> Said:
        named = self._topic.find(whole, whole) if self._told.topic else ""
        return self._refused(text_of(frame), self._stream(named))

    def _alive(self, _whole: object, _frame: bytes) -> Said:
        self.counters["heartbeats"] += 1
        return [Alive()]

    def _departing(self, _whole: object, frame: bytes) -> Said:
        self.counters["notices"] += 1
        return [Departing(text_of(frame))]
