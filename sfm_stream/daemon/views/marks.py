"""What happened beside ticks: gaps, connections that came and went, learning paused."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

MOST = 512
"""Marks that are kept, the latest."""


class Mark(msgspec.Struct, frozen=True):
    """One thing that happened.

    Attributes:
        number: from 1 on.
        time: ms since 1970.
        kind: `gap`, `connection` or `decision`.
        what: in a few words.
        stream: of which; empty: all of them.
    """

    number: int
    time: float
    kind: str
    what: str
    stream: str = ""


class Marks:
    """The latest marks, in the order they were made.

    Attributes:
        last: number of the latest one; 0 before it.
    """

    def __init__(self) -> None:
        self.last = 0
        self._marks: deque[Mark] = deque(maxlen=MOST)

    def add(self, time: float, kind: str, what: str, stream: str = "") -> None:
        """Make a mark."""
        self.last += 1
        self._marks.append(Mark(self.last, time, kind, what, stream))

    def since(self, number: int, stream: str) -> Iterator[Mark]:
        """Give those after a number that concern a stream."""
        for mark in self._marks:
            if mark.number > number and mark.stream in {"", stream}:
                yield mark
