"""What a file descriptor gives: whole lines, as they come."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator

from connectors.live.piped.lines import Lines

PIECE = 1 << 16
BEAT = 0.25
"""Seconds between looks whether it is to stop."""
MORE = 0.1
"""Seconds after a line in which others count as coming with it."""
LONGEST = 1 << 22
"""Bytes of a line, as of a venue's frame."""


class Descriptor:
    """Reads lines until the input ends, or until it is to stop.

    Args:
        place: the file descriptor; `close` closes it.
        lost: is told the beginning of a line that is left out, as it is too long.

    Attributes:
        stopped: whether it was told to stop.
    """

    def __init__(self, place: int, lost: Callable[[bytes], None]) -> None:
        self._place, self._lines = place, Lines(LONGEST, lost)
        self._ended = self.stopped = False

    def lots(self, most: int) -> Iterator[bytes]:
        """Wait for a line, give it with those that come at once; so until the end.

        Args:
            most: lines that are waited for at once.
        """
        while not self._ended:
            yield self._lot(most)

    def pieces(self) -> Iterator[bytes]:
        """Give what comes, until the end or until it is to stop."""
        while not (self.stopped or self._ended):
            if text := self._next(BEAT):
                yield text

    def stop(self) -> None:
        """Read no further."""
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
        """Wait so long for what comes next; give the lines that are whole then."""
        ready, _, _ = select.select([self._place], [], [], seconds)
        if not ready:
            return b""
        piece = os.read(self._place, PIECE)
        self._ended = not piece
        return self._lines.cut(piece) if piece else self._lines.rest()
