"""Any feed of JSON frames, told by the configuration alone: no code.

`feed.columns` says where each field stands in a record, `feed.time` and
`feed.time_unit` when it happened, `feed.symbol` whose it is; `[feed.json]` the rest.
Numbers may be written as text. A value that is null or not there is missing; a record
without any is garbage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from connectors.stamps import SECOND, of_iso, of_number
from connectors.venues.base import MISSING, UNREADABLE, Exchange, Said, text_of
from connectors.venues.protocol import Alive, Departing, Limits
from sfm_stream.config import duration_ns
from sfm_stream.errors import ConfigError
from sfm_stream.events import NO_TIME

if TYPE_CHECKING:
    from sfm_stream.config import Config

# Fractions stay text: a time in seconds has more digits than a float holds.
DECODER = msgspec.json.Decoder(float_hook=str)
Condition: TypeAlias = Callable[[object], bool]
Codes: TypeAlias = Mapping[str, float]


class Path(NamedTuple):
    """Where a value of JSON stands."""

    of_frame: bool
    keys: tuple[str, ...]

    def find(self, record: object, frame: object) -> object:
        """Give what stands there, or None."""
        node = frame if self.of_frame else record
        for key in self.keys:
            if isinstance(node, dict):
                node = node.get(key)
            elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                return None
        return node


class Observation(NamedTuple):
    """What a record says."""

    stream: str
    time: int | None
    values: tuple[float, ...]
    id: int | None


class Json(Exchange):
    """The protocol of a feed that the configuration describes.

    Raises:
        ConfigError: if it names no fields, or a pattern that is none.
    """

    def __init__(self, config: Config) -> None:
        feed, told = config.feed, config.feed.json
        if not feed.columns:
            raise ConfigError("feed.columns", "expected field = path, was {}")
        self.channels = {feed.channel: tuple(feed.columns)}
        super().__init__(config)
        self.topics = self.topics or (config.stream.name,)
        every = duration_ns("feed.json.ping_every", told.ping_every) / SECOND
        self.limits = Limits(ping=(every, told.ping.encode()) if told.ping else None)
        self._decode = DECODER.decode
        self._told, self._unit, self._name = told, feed.time_unit, config.stream.name
        self._pattern = _pattern(told.name)
        self._columns: list[tuple[Path, Codes | None]] = [
            (_path(place), told.codes.get(field))
            for field, place in feed.columns.items()
        ]
        self._records, self._topic = _path(told.records), _path(told.topic)
        self._time = _path(feed.time) if feed.time else None
        self._symbol = _path(feed.symbol) if feed.symbol else None
        self._id = _path(told.id) if told.id else None
        self._holds_ticks, self._past = _condition(told.match), _condition(told.history)
        self._answers = [
            (_condition(match), answer)
            for match, answer in (
                (told.acknowledged, self._acknowledged),
                (told.refused, self._refusal),
                (told.alive, self._alive),
                (told.departing, self._departing),
            )
            if match
        ]

    @staticmethod
    def spelled(symbol: str) -> str:
        """Write a symbol as the configuration does."""
        return symbol

    def url(self) -> str:
        """Give the address to connect to.

        Raises:
            ConfigError: if there is none.
        """
        if not self._url:
            raise ConfigError("feed.url", "expected an address, was ''")
        return self._url

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that the configuration tells, filled in."""
        return [
            text.encode()
            for template in self._told.subscribe
            for text in _filled(template, topics)
        ]

    def _other(self, frame: bytes, _received: int) -> Said:
        if self._told.pong and frame == self._told.pong.encode():
            return self._alive(None, frame)
        whole = DECODER.decode(frame)
        for holds, answer in self._answers:
            if holds(whole):
                return answer(whole, frame)
        return self._dropped("unknown")

    def _ticks(self, whole: object, received: int) -> Said | None:
        answers = any(holds(whole) for holds, _ in self._answers)
        if answers or not self._holds_ticks(whole):
            return None
        found = self._records.find(whole, whole)
        seen = [
            observation
            for record in (found if isinstance(found, list) else [found])
            if (observation := self._observation(record, whole))
        ]
        if self._id and len(seen) > 1:
            seen.sort(key=lambda one: one.id or 0)
        past = bool(self._told.history) and self._past(whole)
        new = {one.stream for one in seen} - self._heard if self._told.repeats else ()
        self._heard.update(new)
        said: Said = []
        for one in seen:
            self._observe(
                said, one.stream, one.time, one.values, received,
                first=one.id if self._told.contiguous else None, last=one.id,
                past=past or one.stream in new,
            )  # fmt: skip
        return said

    def _observation(self, record: object, whole: object) -> Observation | None:
        """Read a record, or count it as garbage."""
        try:
            values = tuple(
                _number(path.find(record, whole), codes)
                for path, codes in self._columns
            )
            name = self._symbol.find(record, whole) if self._symbol else self._name
            stream = self._stream(name) if self._symbol else self._name
            number = self._id and _whole(self._id.find(record, whole))
        except UNREADABLE:
            stream, values = "", ()
        if not stream or all(value is MISSING for value in values):
            self.counters["garbage"] += 1
            return None
        time = self._time and _ns(self._time.find(record, whole), self._unit)
        return Observation(stream, time, values, number)

    def _stream(self, value: object) -> str:
        """Give the name within a text, empty if there is none."""
        text = _text(value) or ""
        if self._pattern is None:
            return text
        found = self._pattern.search(text)
        return (found[1] or "") if found else ""

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


def _path(text: str) -> Path:
    bare = text.removeprefix("$.")
    return Path(bare != text, tuple(bare.split(".")) if bare else ())


def _pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as e:
        problem = f"expected a regular expression, was {text!r}: {e}"
        raise ConfigError("feed.json.name", problem) from e
    if not pattern.groups:
        problem = f"expected a pattern with a group, was {text!r}"
        raise ConfigError("feed.json.name", problem, "put brackets around the name")
    return pattern


def _condition(match: Mapping[str, str | tuple[str, ...]]) -> Condition:
    """Make a test of frames: whether what stands at each path is of the given texts."""
    wanted = [
        (_path(path), frozenset((texts,) if isinstance(texts, str) else texts))
        for path, texts in match.items()
    ]

    def holds(whole: object) -> bool:
        for path, texts in wanted:
            found = path.find(whole, whole)
            if found is None or ("*" not in texts and _text(found) not in texts):
                return False
        return True

    return holds


def _filled(template: str, topics: Sequence[str]) -> list[str]:
    """Fill symbols into a frame: one with all, one for each, or one without any."""
    if "{topics}" in template:
        text = msgspec.json.encode(topics).decode()
        return [template.replace("{topics}", text)] if topics else []
    if "{topic}" in template:
        texts = [msgspec.json.encode(topic).decode()[1:-1] for topic in topics]
        return [template.replace("{topic}", text) for text in texts]
    return [template]


def _text(value: object) -> str | None:
    """Give a scalar as it is written in JSON, without quotes; None if it is none."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        return None
    return msgspec.json.encode(value).decode()


def _number(value: object, codes: Codes | None) -> float:
    """Read a number.

    Raises:
        ValidationError: if it is none, or has no code.
    """
    if value is None:
        return MISSING
    if codes is None:
        return msgspec.convert(value, float, strict=False)
    code = codes.get(_text(value) or "")
    if code is None:
        raise msgspec.ValidationError(f"expected one of {', '.join(codes)}")
    return code


def _whole(value: object) -> int:
    """Read an id.

    Raises:
        ValidationError: if it is none.
    """
    return msgspec.convert(value, int, strict=False)


def _ns(value: object, unit: str) -> int:
    """Read a time, NO_TIME if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return NO_TIME
    dated = isinstance(value, str) and value[4:5] in ("-", "/")
    if isinstance(value, str) and (unit == "iso" or (unit == "auto" and dated)):
        return of_iso(value)
    return NO_TIME if unit == "iso" else of_number(value, unit)
