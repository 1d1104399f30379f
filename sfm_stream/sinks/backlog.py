"""The queue of records that a sink has not taken yet: in memory, then on disk.

Rows are joined into pieces. A piece that does not fit into memory is written to a file
of its own, which is deleted as soon as the piece is read, or it is dropped.
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
"""Rows of a piece at most, so that no write blocks the interpreter for long."""
PIECES = 8
"""Memory has room for at least this many pieces."""
SUFFIX = ".bin"


@dataclass(frozen=True, slots=True)
class Barrier:
    """A place between two records in the queue.

    Attributes:
        done: called with the sink's position when all records before are flushed.
    """

    done: Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class _Spilled:
    """A piece of records on disk."""

    path: Path
    rows: int


class Backlog:
    """Records and the barriers between them, first in, first out.

    Args:
        folder: folder of spilled pieces; those of an earlier process are removed.
        capacity: most rows in memory; a single block may hold more.
        overload: whether to spill or drop a piece that does not fit into memory.

    Attributes:
        rows: number of rows in memory.
        spilled: number of rows on disk.
        dropped: number of rows lost since the start.
        trouble: why the last piece could not be written or read, or empty.

    Raises:
        SinkError: if the folder cannot be used.
    """

    def __init__(
        self, folder: Path, capacity: int, overload: Literal["spill", "drop"]
    ) -> None:
        self.rows = self.spilled = self.dropped = 0
        self.trouble, self._folder = "", folder
        self.obey(capacity, overload)
        self._line: deque[Records | _Spilled | Barrier] = deque()
        self._newest = Gathering()
        self._files = 0
        try:
            for path in folder.glob(f"*{SUFFIX}"):
                path.unlink()
        except OSError as e:
            raise SinkError(str(folder), *atomic.explain(e)) from e

    def obey(self, capacity: int, overload: Literal["spill", "drop"]) -> None:
        """Apply new limits; rows in memory stay there."""
        self._capacity, self._overload = capacity, overload
        self._piece_rows = max(1, min(PIECE_ROWS, capacity // PIECES))

    def add(self, item: Records | Barrier) -> None:
        """Append records or a barrier; a barrier is never dropped."""
        if isinstance(item, Barrier):
            self._close_piece()
            self._line.append(item)
            return
        self._newest.add(item)
        self.rows += len(item)
        if self._newest.rows >= self._piece_rows:
            self._close_piece()

    def next(self) -> Records | Barrier | None:
        """Take the oldest piece or barrier; None when the queue is empty."""
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
        """Append the newest rows to the queue as a piece, if there are any."""
        count = self._newest.rows
        if not count:
            return
        piece = self._newest.take()
        if self.rows <= max(self._capacity, count):
            self._line.append(piece)
            if not self.spilled:  # the queue needs the disk no more
                self.trouble = ""
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
