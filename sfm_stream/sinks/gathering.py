"""Records gathered for a moment and written together.

A live tick brings a few rows, and a file or a write takes many: so pieces are only
listed at first, and joined when many have come.
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
        rows: how many there are.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._joined: list[Columns] = []
        self._loose: list[Columns] = []

    def add(self, columns: Columns) -> None:
        """Put rows at the end."""
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
        """Let go of rows that `first` gave."""
        rest = {name: column[count:] for name, column in self._joined[0].items()}
        self.rows -= count
        self._joined = [rest] if self.rows else []


class Gathering:
    """Records of all kinds, in order.

    Attributes:
        rows: how many there are.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._piles: dict[str, Pile] = {}
        self._tables: dict[str, tuple[str, ...]] = {}

    def add(self, records: Records) -> None:
        """Put records at the end; the tables may have grown, and keep their order."""
        self._tables |= records.tables
        for kind, columns in records.columns.items():
            if count := len(columns["seq"]):
                if kind not in self._piles:
                    self._piles[kind] = Pile()
                self._piles[kind].add(columns)
                self.rows += count

    def take(self) -> Records:
        """Give all records as one block, and begin anew."""
        columns = {kind: pile.first(pile.rows) for kind, pile in self._piles.items()}
        self.rows, self._piles = 0, {}
        return Records(columns, dict(self._tables))


def _join(pieces: Sequence[Columns]) -> Columns:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
