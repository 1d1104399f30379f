"""Records a sink has not taken yet, in order: in memory, then on disk or dropped.

Rows are joined into pieces; a piece that memory has no room for becomes a file of its
own, so that the disk has its room back as soon as a piece is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sfm_stream.errors import SinkError
from sfm_stream.records import Records
from sfm_stream.sinks import spill
from sfm_stream.sinks.gathering import Gathering
from sfm_stream.storage import atomic

PIECE_ROWS = 2_048
"""A piece is no greater, so that no write holds the interpreter for long."""
PIECES = 8
"""Memory has room for so many at least."""
SUFFIX = ".bin"


@dataclass(frozen=True, slots=True)
class Barrier:
    """A place between records.

    Attributes:
        done: takes the sink's position when all before it is where it should be.
    """

    done: Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class _Spilled:
    """A piece on disk."""

    path: Path
    rows: int


class Backlog:
    """Records and the barriers between them, first in, first out.

    Args:
        folder: where pieces are spilled; what an earlier process left there is removed.
        capacity: most rows that memory holds; one block may be greater.
        overload: what becomes of a piece that memory has no room for.

    Attributes:
        rows: in memory.
        spilled: rows on disk.
        dropped: rows lost since the beginning.
        trouble: why the disk did not take or give back the last piece, or empty.

    Raises:
        SinkError: if the folder cannot be used.
    """

    def __init__(
        self, folder: Path, capacity: int, overload: Literal["spill", "drop"]
    ) -> None:
        self.rows = self.spilled = self.dropped = 0
        self.trouble = ""
        self._folder, self._capacity, self._overload = folder, capacity, overload
        self._piece_rows = max(1, min(PIECE_ROWS, capacity // PIECES))
        self._line: deque[Records | _Spilled | Barrier] = deque()
        self._newest = Gathering()
        self._files = 0
        try:
            for path in folder.glob(f"*{SUFFIX}"):
                path.unlink()
        except OSError as e:
            raise SinkError(str(folder), *atomic.explain(e)) from e

    def add(self, item: Records | Barrier) -> None:
        """Put records or a barrier at the end; a barrier is never lost."""
        if isinstance(item, Barrier):
            self._close_piece()
            self._line.append(item)
            return
        self._newest.add(item)
        self.rows += len(item)
        if self._newest.rows >= self._piece_rows:
            self._close_piece()

    def next(self) -> Records | Barrier | None:
        """Take what has waited longest, or None when nothing waits."""
        while self._line:
            first = self._line.popleft()
            if isinstance(first, Barrier):
                return first
            found = self._load(first) if isinstance(first, _Spilled) else first
            if found is not None:
                return self._let_go(found)
        return self._let_go(self._newest.take()) if self._newest.rows else None

    def _let_go(self, piece: Records) -> Records:
        self.rows -= len(piece)
        return piece

    def _close_piece(self) -> None:
        """Put the newest rows at the end of the line, if there are any."""
        count = self._newest.rows
        if not count:
            return
        piece = self._newest.take()
        if self.rows <= max(self._capacity, count):
            self._line.append(piece)
        elif self._overload == "spill":
            self._spill(piece)
        else:
            self._lose(count)

    def _spill(self, piece: Records) -> None:
        spilled = _Spilled(self._folder / f"{self._files:012d}{SUFFIX}", len(piece))
        self._files += 1
        try:
            spill.write(spilled.path, piece)
        except SinkError as e:
            self.trouble = str(e)
            self._lose(spilled.rows)
            return
        self.trouble = ""
        self.rows -= spilled.rows
        self.spilled += spilled.rows
        self._line.append(spilled)

    def _load(self, spilled: _Spilled) -> Records | None:
        self.spilled -= spilled.rows
        self.rows += spilled.rows
        try:
            return spill.take(spilled.path)
        except SinkError as e:
            self.trouble = str(e)
            self._lose(spilled.rows)
            return None

    def _lose(self, count: int) -> None:
        self.rows -= count
        self.dropped += count
