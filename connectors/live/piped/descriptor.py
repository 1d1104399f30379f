"""Read whole lines from a file descriptor as they arrive."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator

from connectors.live.piped.lines import Lines

PIECE = 1 << 16
BEAT = 0.25
"""Seconds between checks whether to stop."""
MORE = 0.1
"""Seconds after a line within which further lines belong to the same lot."""
LONGEST = 1 << 22
"""Most bytes of a line, the same as of a venue's frame."""


class Descriptor:
    """Reads lines until the input ends or `stop` is called.

    Args:
        place: the file descriptor; `close` closes it.
        lost: called with the beginning of each line that is left out as too long.

    Attributes:
        stopped: whether `stop` was called.
    """

    def __init__(self, place: int, lost: Callable[[bytes], None]) -> None:
        self._place, self._lines = place, Lines(LONGEST, lost)
        self._ended = self.stopped = False

    def lots(self, most: int) -> Iterator[bytes]:
        """Give lots of lines: a line and those that arrive within `MORE` seconds.

        Args:
            most: number of lines at which a lot is complete.
        """
        while not self._ended:
            yield self._lot(most)

    def pieces(self) -> Iterator[bytes]:
        """Give the lines as they arrive, until the input ends or `stop` is called."""
        while not (self.stopped or self._ended):
            if text := self._next(BEAT):
                yield text

    def stop(self) -> None:
        """Stop reading."""
        self.stopped = True

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._place)

    def _lot(self, most: int) -> bytes:
        found, lines, end = [], 0, float("inf")
        while not self._ended and lines < most:
            left = end - time.monotonic()
            if left <= 0:
                break
            text = self._next(min(BEAT, left))
            if text:
                found.append(text)
                lines += text.count(b"\n")
                end = min(end, time.monotonic() + MORE)
        return b"".join(found)

    def _next(self, seconds: float) -> bytes:
        """Wait at most some seconds for input; give the lines that are complete."""
        ready, _, _ = select.select([self._place], [], [], seconds)
        if not ready:
            return b""
        piece = os.read(self._place, PIECE)
        self._ended = not piece
        return self._lines.cut(piece) if piece else self._lines.rest()
