"""The points of a sweep: all combinations of the values of its settings."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sfm_stream.errors import ConfigError

OPENING, CLOSING, QUOTES = "[{", "]}", "\"'"


class Grid(NamedTuple):
    """Settings with the values to try.

    Attributes:
        fixed: `section.key=value`, the same for all points.
        varied: the values of each key, as they were written.
    """

    fixed: tuple[str, ...]
    varied: dict[str, tuple[str, ...]]

    def points(self) -> list[tuple[str, ...]]:
        """Give the values of each point, in the order of `varied`, the last fastest."""
        return list(itertools.product(*self.varied.values()))

    def overrides(self, point: Sequence[str]) -> list[str]:
        """Give a point as `section.key=value`."""
        own = zip(self.varied, point, strict=True)
        return [*self.fixed, *(f"{key}={value}" for key, value in own)]


def read(settings: Sequence[str]) -> Grid:
    """Read the settings of a sweep.

    Args:
        settings: `section.key=value`, or several values with commas between them; a
            comma in brackets or quotes belongs to the value.

    Raises:
        ConfigError: if a key is given twice or has no value.

    Examples:
        >>> grid = read(["learn.lr=1e-3,3e-3", "target.values=['a', 'b']"])
        >>> grid.varied, len(grid.points())
        ({'learn.lr': ('1e-3', '3e-3')}, 2)
    """
    fixed: list[str] = []
    varied: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for text in settings:
        key, _, written = text.partition("=")
        key, values = key.strip(), tuple(dict.fromkeys(_values(written)))
        if key in seen:
            raise ConfigError("--set", f"expected each key once, {key} stands twice")
        if "" in values:
            raise ConfigError("--set", f"expected a value, was {text!r}")
        seen.add(key)
        if len(values) > 1:
            varied[key] = values
        else:
            fixed.append(f"{key}={values[0]}")
    return Grid(tuple(fixed), varied)


def plain(value: str) -> object:
    """Parse a value as TOML; give the text itself if it is not valid TOML."""
    try:
        return tomllib.loads(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        return value


def _values(text: str) -> Iterator[str]:
    """Cut a text at its commas, except those in brackets and quotes."""
    depth, quote, start = 0, "", 0
    for i, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in QUOTES:
            quote = sign
        elif sign == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
        else:
            depth += (sign in OPENING) - (sign in CLOSING)
    yield text[start:].strip()
