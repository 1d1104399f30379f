"""Types for durations and horizons, parsed from the text of a setting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from sfm_stream.errors import ConfigError

UNIT_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 6 * 10**10,
           "h": 3600 * 10**9, "d": 86400 * 10**9}  # fmt: skip
SECOND = 10**9
# a century: the sum of a tick's time and a duration must fit into int64
LONGEST_NS = 3_155_760_000 * SECOND
DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ns|us|ms|s|m|h|d)\s*")
# a longer range is taken for a typing error
MOST_HORIZONS = 10_000
TICK_RANGE = re.compile(r"\s*([0-9]+)\s*\.\.\s*([0-9]+)\s*")
Kind = TypeVar("Kind")


def duration_ns(at: str, text: str) -> int:
    """Read a duration like `100ms`.

    Args:
        at: key named in the error.
        text: a number and one of ns, us, ms, s, m, h, d.

    Raises:
        ConfigError: if it is no duration, not positive, or longer than 100 years.
    """
    try:
        return _ns(text)
    except ValueError as e:
        raise ConfigError(at, str(e)) from e


class Duration:
    """A length of time, with its text; an empty text is no duration.

    Attributes:
        text: the text as written, e.g. `100ms`.
        ns: nanoseconds; 0 for an empty text.

    Raises:
        ValueError: for text that is neither empty nor a duration.
    """

    __slots__ = ("ns", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.ns = _ns(text) if text else 0

    @property
    def seconds(self) -> float:
        """Seconds; 0 for an empty text."""
        return self.ns / SECOND

    def __bool__(self) -> bool:
        return self.ns > 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Duration({self.text!r})"


class Horizon(NamedTuple):
    """The distance from a forecast to its target, in ticks or in time.

    Attributes:
        label: name in records, e.g. `10` or `1s`.
        ticks: number of ticks, or 0 for a horizon in time.
        ns: nanoseconds, or 0 for a horizon in ticks.
    """

    label: str
    ticks: int
    ns: int


class Horizons:
    """Horizons in the given order, without repeats.

    Attributes:
        written: the setting's values: ticks (`1`), ranges (`"1..24"`), times (`"1s"`).

    Raises:
        ValueError: if a value is neither ticks, a range nor a time, or if there is no
            value.
    """

    __slots__ = ("_each", "written")

    def __init__(self, written: Sequence[int | str]) -> None:
        self.written = tuple(written)
        self._each = tuple(dict.fromkeys(h for item in written for h in _horizon(item)))
        if not self._each:
            raise ValueError("expected at least one, was []")

    def __iter__(self) -> Iterator[Horizon]:
        return iter(self._each)

    def __len__(self) -> int:
        return len(self._each)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Horizons) and self.written == other.written

    def __hash__(self) -> int:
        return hash(self.written)

    def __repr__(self) -> str:
        return f"Horizons({self.written!r})"


def read(kind: type[Kind], value: Any) -> Kind:  # noqa: ANN401 whatever TOML holds
    """Turn plain data into a typed value; a `dec_hook` of msgspec.

    Raises:
        ValueError: if the data is invalid for that type.
    """
    plain: Any = str if kind is Duration else tuple[int | str, ...]
    convert: Any = kind
    try:
        typed: Kind = convert(msgspec.convert(value, plain))
    except msgspec.ValidationError as e:
        # msgspec itself adds the path of the value, but not of its part
        raise ValueError(str(e).partition(" - at ")[0]) from e
    return typed


def write(value: object) -> object:
    """Turn a typed value into plain data; an `enc_hook` of msgspec.

    Raises:
        NotImplementedError: for a value of another type.
    """
    if isinstance(value, Duration):
        return value.text
    if isinstance(value, Horizons):
        return value.written
    raise NotImplementedError(type(value))


def _ns(text: str) -> int:
    found = DURATION.fullmatch(text)
    ns = float(found[1]) * UNIT_NS[found[2]] if found else 0.0
    if ns > LONGEST_NS:
        raise ValueError(f"expected at most 100 years, was {text!r}")
    if found and round(ns) <= 0:
        raise ValueError(f"expected a duration longer than 0, was {text!r}")
    if not found:
        raise ValueError(f"expected a duration like '100ms', was {text!r}")
    return round(ns)


def _horizon(item: int | str) -> Iterator[Horizon]:
    text = str(item).strip()
    if found := TICK_RANGE.fullmatch(text):
        first, last = int(found[1]), int(found[2])
        if not 1 <= first <= last:
            raise ValueError(f"expected 1 <= first <= last, was {text!r}")
        if last - first >= MOST_HORIZONS:
            raise ValueError(
                f"expected at most {MOST_HORIZONS:,} horizons, was {text!r}; "
                "each is learned for itself"
            )
        for ticks in range(first, last + 1):
            yield Horizon(str(ticks), ticks, 0)
    elif text.isdecimal():
        if int(text) < 1:
            raise ValueError("expected at least 1 tick, was 0")
        yield Horizon(str(int(text)), int(text), 0)
    else:
        yield Horizon(text, 0, _ns(text))
