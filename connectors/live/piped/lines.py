"""Whole lines of what comes in pieces, none of which is longer than it may be."""

from __future__ import annotations

from collections.abc import Callable

SHOWN = 60


class Lines:
    """Cuts what comes into whole lines; the last one waits for its end.

    Args:
        longest: bytes of a line that may wait for its end.
        lost: is told the beginning of a line that is left out, as it is longer.
    """

    def __init__(self, longest: int, lost: Callable[[bytes], None]) -> None:
        self._longest, self._lost = longest, lost
        self._parts: list[bytes] = []
        self._size = 0

    def cut(self, piece: bytes) -> bytes:
        """Take a piece; give the lines that it ends, the one begun before included."""
        end = piece.find(b"\n") + 1
        if not end:
            self._keep(piece)
            return b""
        self._keep(piece[:end])
        last = piece.rfind(b"\n") + 1
        whole = self.rest() + piece[end:last]
        self._keep(piece[last:])
        return whole

    def rest(self) -> bytes:
        """Give the line that was begun, unless it is too long; nothing waits then."""
        line, size = b"".join(self._parts), self._size
        self._parts, self._size = [], 0
        if size <= self._longest:
            return line
        self._lost(line[:SHOWN])
        return b""

    def _keep(self, part: bytes) -> None:
        room = self._longest - self._size
        if room > 0:
            self._parts.append(part[:room])
        self._size += len(part)
