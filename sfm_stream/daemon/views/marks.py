"""Marks for the chart: gaps, changes of connections, and decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

MOST = 512
"""Number of the latest marks that are kept."""


class Mark(msgspec.Struct, frozen=True):
    """A mark.

    Attributes:
        number: number of the mark, from 1.
        time: ms since 1970.
        kind: `gap`, `connection` or `decision`.
        what: short text.
        stream: name of the stream; empty: all streams.
    """

    number: int
    time: float
    kind: str
    what: str
    stream: str = ""


class Marks:
    """The latest marks, in order.

    Attributes:
        last: number of the latest mark; 0 before the first.
    """

    def __init__(self) -> None:
        self.last = 0
        self._marks: deque[Mark] = deque(maxlen=MOST)

    def add(self, time: float, kind: str, what: str, stream: str = "") -> None:
        """Add a mark."""
        self.last += 1
        self._marks.append(Mark(self.last, time, kind, what, stream))

    def since(self, number: int, stream: str) -> Iterator[Mark]:
        """Yield the marks after a number that concern a stream."""
        for mark in self._marks:
            if mark.number > number and mark.stream in {"", stream}:
                yield mark
