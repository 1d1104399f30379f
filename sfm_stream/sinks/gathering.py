"""Gathers small blocks of records, to write them together.

A live tick brings a few rows, but a file or a write should hold many. So blocks are
first listed, and joined when many have come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.records import Records

Columns: TypeAlias = Mapping[str, NDArray[Any]]

LOOSE_PIECES = 256


class Pile:
    """Rows of one kind, in order.

    Attributes:
        rows: number of rows.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._joined: list[Columns] = []
        self._loose: list[Columns] = []

    def add(self, columns: Columns) -> None:
        """Append rows."""
        self.rows += len(columns["seq"])
        self._loose.append(columns)
        if len(self._loose) == LOOSE_PIECES:
            self._joined.append(_join(self._loose))
            self._loose = []

    def first(self, count: int) -> Columns:
        """Give the first rows; they stay until `drop`."""
        self._joined, self._loose = [_join(self._joined + self._loose)], []
        return {name: column[:count] for name, column in self._joined[0].items()}

    def drop(self, count: int) -> None:
        """Drop the first rows; to be called after `first`."""
        rest = {name: column[count:] for name, column in self._joined[0].items()}
        self.rows -= count
        self._joined = [rest] if self.rows else []


class Gathering:
    """Records of all kinds, in order.

    Attributes:
        rows: number of records.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._piles: dict[str, Pile] = {}
        self._tables: dict[str, tuple[str, ...]] = {}

    def add(self, records: Records) -> None:
        """Append records; their tables may be longer, but begin as before."""
        self._tables |= records.tables
        for kind, columns in records.columns.items():
            if count := len(columns["seq"]):
                if kind not in self._piles:
                    self._piles[kind] = Pile()
                self._piles[kind].add(columns)
                self.rows += count

    def take(self) -> Records:
        """Give all records as one block, and become empty."""
        columns = {kind: pile.first(pile.rows) for kind, pile in self._piles.items()}
        self.rows, self._piles = 0, {}
        return Records(columns, dict(self._tables))


def _join(pieces: Sequence[Columns]) -> Columns:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
