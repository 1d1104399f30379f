"""The rows of a bank as they were at a moment, while the bank goes on.

Nothing is copied at first. Before a row changes it is kept aside, and read from there
from then on. So the moment costs as much memory as there are rows that changed since,
and no more time at once than the rows of one batch take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.state.arena import Arena, Place, arena, view

PART = 1 << 20
"""Bytes that are read at once, if a row has no more."""
PEEKED = ("tape_", "origin_")
"""Begin the names of arrays whose last slot is a peek's."""
NO_ROOM = np.zeros(0, np.uint8)


class Moment:
    """What a bank's rows held when this was made.

    One thread may read it while another keeps rows aside and changes them.

    Args:
        rows: of the bank; each is kept aside before it changes.
        places: of their arrays.
        beside: other arrays of that moment, which stay as they are.
        room: bytes where rows are kept; others are taken if they are too few.

    Attributes:
        is_over: whether nobody reads it any more.
    """

    def __init__(
        self,
        rows: Arena,
        places: tuple[Place, ...],
        beside: Mapping[str, NDArray[Any]],
        room: NDArray[np.uint8],
    ) -> None:
        self._places, self._beside = places, beside
        self._sides = rows, _alike(rows, room)  # as they are now, and as they were
        self._is_kept = np.zeros(len(rows.i64), np.bool_)
        self.is_over = False

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Keep rows aside, before they change; those born later are passed over."""
        live, kept = self._sides
        if self.is_over:  # asked after they were taken: the reader may end at any time
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
        """Copy some rows of an array; what a peek left behind is no part of it."""
        live, aside = (view(side, self._places, name) for side in self._sides)
        found = live[start:stop].copy()
        # asked after the copy: a row that changed during it is kept by now
        kept = self._is_kept[start:stop].copy()
        found[kept] = aside[start:stop][kept]
        if name.startswith(PEEKED):
            found[:, -1] = 0
        return found

    def end(self) -> None:
        """Give the memory back: nothing can be read any more."""
        self.is_over = True
        self._sides = (arena(0, self._places),) * 2


def _alike(rows: Arena, room: NDArray[np.uint8]) -> Arena:
    """Lay out as many rows in bytes that are there; else in memory taken when used."""
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
        moment: whose it is.
        name: of the array.
        dtype: of its elements.
        shape: the rows, and the shape of each.
    """

    moment: Moment
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def parts(self) -> Iterator[NDArray[Any]]:
        """Copy the rows, some at a time, in their order."""
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(PART // max(row, 1), 1)
        for start in range(0, self.shape[0], step):
            yield self.moment.read(self.name, start, start + step)
