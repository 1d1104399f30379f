"""The streams of an engine: name, number and row of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import InvalidState, did_you_mean
from sfm_stream.events import ALL_STREAMS, CONTROL, TICK, Block
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROOM, NO_ROW, Events, plain
from sfm_stream.settings import Stream

FURTHER = "(further streams)"
"""Stands for all streams beyond the number of names that the table keeps."""
NAMES = 2
"""Names kept, per stream of `stream.max_streams`: this bounds the memory of names."""


class StreamTable:
    """Streams in order of appearance; each has one row of the bank per target.

    Args:
        settings: which streams are wanted, and the largest number of streams.

    Attributes:
        numbers: number of each stream, by name.
        first_row: int64, first row of each stream; NO_ROW for a stream that is not
            wanted, NO_ROOM for a stream beyond the largest number.
    """

    def __init__(self, settings: Stream) -> None:
        self.numbers: dict[str, int] = {}
        self.first_row = np.zeros(0, np.int64)
        self._rows: NDArray[np.int64] | None = None
        self._found: dict[str, tuple[int, int]] = {}
        self._numbers: NDArray[np.int64] | None = None
        self._named: tuple[str, ...] = ()
        self._complete = False
        self._settings = settings

    def add(self, name: str, first_row: int) -> None:
        """Add a stream."""
        self.numbers[name] = len(self.numbers)
        self.first_row = np.append(self.first_row, first_row)
        self._forget()

    def admit(self, names: Sequence[str], rows: int, width: int) -> int:
        """Add streams and give them rows.

        Args:
            names: of the new streams.
            rows: the number of rows in use.
            width: rows per stream.

        Returns:
            The number of rows in use afterwards.
        """
        wanted, most = self._settings.symbols, self._settings.max_streams * width
        for name in names:
            if wanted and name not in wanted:
                self.add(name, NO_ROW)
            elif rows >= most or name == FURTHER:
                self.add(name, NO_ROOM)
            else:
                self.add(name, rows)
                rows += width
        return rows

    def restore(self, names: Sequence[str], first_row: Sequence[int]) -> None:
        """Replace the streams by those of a snapshot."""
        self.numbers = {name: i for i, name in enumerate(names)}
        self.first_row = np.array(first_row, np.int64)
        self._forget()

    def newcomers(self, block: Block) -> list[str]:
        """Name the new streams in the ticks and controls of a block, in order."""
        self._table(block.streams)
        if self._complete:
            return []
        # A control may come before any tick: a stream frozen by name starts frozen.
        named = (block.kind == TICK) | (block.kind == CONTROL)
        seen = block.stream[named & (block.stream != ALL_STREAMS)]
        codes, first = np.unique(seen, return_index=True)
        names = (block.streams[code] for code in codes[np.argsort(first)])
        new = [name for name in names if name not in self.numbers]
        left = NAMES * self._settings.max_streams - len(self.numbers)
        if len(new) <= left or FURTHER in self.numbers:
            return new[: max(left, 0)]
        return [*new[:left], FURTHER]

    def number(self, name: str) -> int:
        """Give the number of a stream, else that of `FURTHER`, else NO_ROW."""
        return self.numbers.get(name, self.numbers.get(FURTHER, NO_ROW))

    def find(self, name: str) -> tuple[int, int]:
        """Give the number of a stream and its first row, as `number` and `row` do."""
        found = self._found.get(name)
        if found is None:
            if len(self._found) > len(self.numbers):
                self._found.clear()  # a feed may name new streams without end
            found = self._found[name] = self.number(name), self.row(name)
        return found

    def row(self, name: str) -> int:
        """Give the first row of a stream, or NO_ROW or NO_ROOM."""
        number = self.number(name)
        return int(self.first_row[number]) if number >= 0 else NO_ROW

    def held(self, name: str) -> int:
        """Give the first row of a stream that has memory.

        Raises:
            InvalidState: if it has no row: it is unknown, unwanted, too many, or gone.
        """
        row = self.row(name)
        if row >= 0:
            return row
        held = [there for there, at in self.numbers.items() if self.first_row[at] >= 0]
        hint = did_you_mean(name, held) or "observe a tick of it first"
        problem = f"expected a stream that the engine holds, was {name!r}"
        raise InvalidState(f"memory: {problem}; {hint}")

    def of(self, block: Block) -> NDArray[np.int64]:
        """Give the number of each event's stream, or ALL_STREAMS."""
        return self._table(block.streams)[block.stream]

    def events(self, block: Block, seq: int) -> Events:
        """Convert a block for the kernels; `seq` is the number of its first event."""
        numbers = self.of(block)
        return Events(
            kind=plain(block.kind, np.int8),
            stream=numbers,
            row=self.rows(numbers),
            time=plain(block.time, np.int64),
            values=plain(block.values, np.float64),
            code=plain(block.code, np.int64),
            seq=np.arange(seq, seq + len(block), dtype=np.int64),
        )

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the first row of each stream by its number."""
        if self._rows is None:
            self._rows = np.concatenate([self.first_row, [NO_ROW, ALL_ROWS]])
        return self._rows[numbers]

    def _table(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        """Give the number of each name, with ALL_STREAMS as the last element.

        A live feed passes the same tuple of names with each block, so the latest table
        is cached.
        """
        if self._numbers is None or self._named is not names:
            # A gap or heartbeat may name a stream without ticks: it has no row.
            table = [self.number(name) for name in names]
            self._numbers = np.array([*table, ALL_STREAMS], np.int64)
            self._named, self._complete = names, NO_ROW not in table
        return self._numbers

    def _forget(self) -> None:
        """Clear the caches after the streams have changed."""
        self._rows = self._numbers = None
        self._found.clear()
