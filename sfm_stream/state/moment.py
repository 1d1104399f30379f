"""The rows of a bank as they were at one moment, while the bank goes on changing.

Copying is lazy: a row is saved before it changes, and read from the saved copy from
then on. So a moment takes memory only for the rows that have changed since, and each
batch of events copies only the rows that it changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.state.arena import Arena, Place, arena, view

PART = 1 << 20
"""Bytes that are read at once, or one row if it is larger."""
PEEKED = ("tape_", "origin_")
"""Prefixes of arrays whose last slot belongs to a peek."""
NO_ROOM = np.zeros(0, np.uint8)


class Moment:
    """The contents of a bank's rows at the time when this object was made.

    One thread may read it while another saves and changes rows.

    Args:
        rows: of the bank; each row is saved before it changes.
        places: of their arrays.
        beside: other arrays of that moment, which do not change.
        room: memory for saved rows; if it is too small, other memory is allocated.

    Attributes:
        is_over: whether reading has ended.
    """

    def __init__(
        self,
        rows: Arena,
        places: tuple[Place, ...],
        beside: Mapping[str, NDArray[Any]],
        room: NDArray[np.uint8],
    ) -> None:
        self._places, self._beside = places, beside
        self._sides = rows, _alike(rows, room)  # the live rows, and the saved rows
        self._is_kept = np.zeros(len(rows.i64), np.bool_)
        self.is_over = False

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Save rows before they change; ignore rows that were added later."""
        live, kept = self._sides
        if self.is_over:  # checked after reading `_sides`: another thread may end this
            return
        there = rows[rows < len(self._is_kept)]
        new = there[~self._is_kept[there]]
        for name in Arena._fields:
            now, aside = getattr(live, name), getattr(kept, name)
            for row in new.tolist():
                aside[row] = now[row]
        self._is_kept[new] = True

    def arrays(self) -> dict[str, NDArray[Any] | Past]:
        """Give every array by name."""
        rows = len(self._is_kept)
        found: dict[str, NDArray[Any] | Past] = {}
        for name, _, shape, _ in self._places:
            dtype = view(self._sides[0], self._places, name).dtype
            found[name] = Past(self, name, dtype, (rows, *shape))
        found.update(self._beside)
        return found

    def whole(self, name: str) -> NDArray[Any]:
        """Copy all rows of an array."""
        return self.read(name, 0, len(self._is_kept))

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Copy some rows of an array; the slot of a peek is set to 0."""
        live, aside = (view(side, self._places, name) for side in self._sides)
        found = live[start:stop].copy()
        # checked after the copy: a row that changed during the copy is saved by now
        kept = self._is_kept[start:stop].copy()
        found[kept] = aside[start:stop][kept]
        if name.startswith(PEEKED):
            found[:, -1] = 0
        return found

    def end(self) -> None:
        """Free the memory; the arrays can no longer be read."""
        self.is_over = True
        self._sides = (arena(0, self._places),) * 2


def _alike(rows: Arena, room: NDArray[np.uint8]) -> Arena:
    """Make an arena of the same shapes in `room`, or in new memory if that is small."""
    if len(room) < sum(part.nbytes for part in rows):
        return Arena(*map(np.empty_like, rows))
    found, end = [], 0
    for name in Arena._fields:
        part = getattr(rows, name)
        begin, end = end, end + part.nbytes
        found.append(room[begin:end].view(part.dtype).reshape(part.shape))
    return Arena(*found)


class Past(NamedTuple):
    """An array of a moment, read part by part.

    Attributes:
        moment: that holds the array.
        name: of the array.
        dtype: of its elements.
        shape: number of rows, and shape of a row.
    """

    moment: Moment
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def parts(self) -> Iterator[NDArray[Any]]:
        """Copy the rows in order, some rows at a time."""
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(PART // max(row, 1), 1)
        for start in range(0, self.shape[0], step):
            yield self.moment.read(self.name, start, start + step)
