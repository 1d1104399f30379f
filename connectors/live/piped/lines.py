"""Join pieces of bytes into whole lines, and leave out lines that are too long."""

from __future__ import annotations

from collections.abc import Callable

SHOWN = 60


class Lines:
    """Joins pieces into whole lines; keeps an incomplete line until its end comes.

    Args:
        longest: most bytes of a line that comes in several pieces.
        lost: called with the beginning of each line that is left out as too long.
    """

    def __init__(self, longest: int, lost: Callable[[bytes], None]) -> None:
        self._longest, self._lost = longest, lost
        self._parts: list[bytes] = []
        self._size = 0

    def cut(self, piece: bytes) -> bytes:
        """Add a piece; give the lines that it completes."""
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
        """Give the incomplete line and forget it; give nothing if it is too long."""
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
