"""The streams of an engine: name, number and row of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfm_stream.events import ALL_STREAMS, CONTROL, TICK, Block
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROOM, NO_ROW, Events, plain
from sfm_stream.settings import Stream

FURTHER = "(further streams)"
"""Stands for all streams beyond those that the table has names for."""
NAMES = 2
"""Names kept per stream that may be learned from: ever more names take no memory."""


class StreamTable:
    """Streams in order of appearance; each has one row of the bank per target.

    Args:
        settings: which streams are wanted, and how many may be.

    Attributes:
        numbers: number of each stream, by name.
        first_row: int64, first row of each stream; NO_ROW of one that is not wanted,
            NO_ROOM of one too many.
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
        """Add streams, where so many rows are taken and each takes `width` of them.

        Returns:
            How many rows are taken then.
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
        """Take the streams of a snapshot instead."""
        self.numbers = {name: i for i, name in enumerate(names)}
        self.first_row = np.array(first_row, np.int64)
        self._forget()

    def newcomers(self, block: Block) -> list[str]:
        """Name the streams first named by a tick or control of a block, in order."""
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
        """Give the number of a stream, or that of `FURTHER`; NO_ROW if none has it."""
        return self.numbers.get(name, self.numbers.get(FURTHER, NO_ROW))

    def find(self, name: str) -> tuple[int, int]:
        """Give the number of a stream and its first row, as `number` and `row` do."""
        found = self._found.get(name)
        if found is None:
            if len(self._found) > len(self.numbers):
                self._found.clear()  # names without a number may never end
            found = self._found[name] = self.number(name), self.row(name)
        return found

    def row(self, name: str) -> int:
        """Give the first row of a stream, or NO_ROW or NO_ROOM."""
        return int(self.first_row[self.number(name)])

    def of(self, block: Block) -> NDArray[np.int64]:
        """Give the number of each event's stream, or ALL_STREAMS."""
        return self._table(block.streams)[block.stream]

    def events(self, block: Block, seq: int) -> Events:
        """Give a block as the kernels take it, from an event's number on."""
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
        """Give the number of each name, and ALL_STREAMS at its end.

        A live feed names its streams in one tuple that it hands on with each block: so
        the latest one is remembered.
        """
        if self._numbers is None or self._named is not names:
            # A gap or heartbeat may name a stream that never ticked: no row has it.
            table = [self.number(name) for name in names]
            self._numbers = np.array([*table, ALL_STREAMS], np.int64)
            self._named, self._complete = names, NO_ROW not in table
        return self._numbers

    def _forget(self) -> None:
        """Forget the tables that were made of the streams there were."""
        self._rows = self._numbers = None
        self._found.clear()
