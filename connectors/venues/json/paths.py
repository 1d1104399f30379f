"""The parts of a description of JSON frames: paths, conditions, numbers and times.

They read plain JSON value by value and define the meaning of a description; `typed`
does the same faster where it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import NamedTuple, TypeAlias

import msgspec

from connectors.stamps import of_iso, of_number
from connectors.venues.base import MISSING
from sfm_stream.errors import ConfigError
from sfm_stream.events import NO_TIME

Condition: TypeAlias = Callable[[object], bool]
Texts: TypeAlias = Mapping[str, str | tuple[str, ...]]
Codes: TypeAlias = Mapping[str, float]
ANY = "*"


class Path(NamedTuple):
    """The path of a JSON value, from the record or from the frame."""

    of_frame: bool
    keys: tuple[str, ...]

    def find(self, record: object, frame: object) -> object:
        """Give the value at the path, or None."""
        node = frame if self.of_frame else record
        for key in self.keys:
            if isinstance(node, dict):
                node = node.get(key)
            elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                return None
        return node


def path_of(text: str) -> Path:
    """Parse a path: keys and positions joined by dots, from the frame after `$.`."""
    bare = text.removeprefix("$.")
    return Path(bare != text, tuple(bare.split(".")) if bare else ())


def time_of(time: str | tuple[str, ...]) -> str:
    """Give the path of a record's time, or empty.

    Raises:
        ConfigError: if several paths are given: a record has one time.
    """
    if isinstance(time, str):
        return time
    raise ConfigError("feed.time", f"expected one path, was {list(time)!r}")


def pattern_of(text: str) -> re.Pattern[str] | None:
    """Compile the pattern whose first group is the stream's name.

    Raises:
        ConfigError: if it is not a regular expression, or has no group.
    """
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as e:
        problem = f"expected a regular expression, was {text!r}: {e}"
        raise ConfigError("feed.options.name", problem) from e
    if not pattern.groups:
        problem = f"expected a pattern with a group, was {text!r}"
        raise ConfigError("feed.options.name", problem, "put brackets around the name")
    return pattern


def wanted_texts(match: Texts) -> list[tuple[Path, frozenset[str]]]:
    """Give each path of a condition with the texts that it accepts."""
    return [
        (path_of(path), frozenset((texts,) if isinstance(texts, str) else texts))
        for path, texts in match.items()
    ]


def condition_of(match: Texts) -> Condition:
    """Make a test of frames: whether each path holds one of its accepted texts."""
    wanted = wanted_texts(match)

    def holds(whole: object) -> bool:
        for path, texts in wanted:
            found = path.find(whole, whole)
            if found is None or (ANY not in texts and text_at(found) not in texts):
                return False
        return True

    return holds


def text_at(value: object) -> str | None:
    """Write a scalar as JSON without quotes; None for null, an object or a list."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        return None
    return msgspec.json.encode(value).decode()


def number_of(value: object, codes: Codes | None) -> float | None:
    """Read a number; true and false are 1 and 0.

    Returns:
        `MISSING` if the value is None; None if it is not a number.
    """
    if value is None:
        return MISSING
    if codes is not None:
        return codes.get(text_at(value) or "")
    if isinstance(value, bool):
        return float(value)
    try:
        number = msgspec.convert(value, float, strict=False)
    except (msgspec.ValidationError, OverflowError):
        return None
    return number if isfinite(number) else None


def whole_of(value: object) -> int | None:
    """Read an integer id; None if the value is not an integer."""
    try:
        return msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        return None


def clock_of(unit: str) -> Callable[[object], int]:
    """Make a reader of times in a unit, `iso` or `auto`; invalid ones give NO_TIME."""

    def number(value: object) -> int:
        if type(value) is str or type(value) is int:  # a bool is not a time
            return of_number(value, unit)
        return NO_TIME

    def dated(value: object) -> int:
        return of_iso(value) if type(value) is str else NO_TIME

    def either(value: object) -> int:
        if type(value) is str and value[4:5] in ("-", "/"):
            return of_iso(value)
        return number(value)

    return {"iso": dated, "auto": either}.get(unit, number)


def filled(template: str, topics: Sequence[str]) -> list[str]:
    """Fill symbols into a template: one frame for all, one per symbol, or unchanged."""
    if "{topics}" in template:
        text = msgspec.json.encode(topics).decode()
        return [template.replace("{topics}", text)] if topics else []
    if "{topic}" in template:
        texts = [msgspec.json.encode(topic).decode()[1:-1] for topic in topics]
        return [template.replace("{topic}", text) for text in texts]
    return [template]
