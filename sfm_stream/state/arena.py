"""Named arrays side by side in three flat arrays: float32, float64 and int64.

So the arrays of one stream are contiguous, and the compiled tick is called with three
arrays instead of forty.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError

# Bytes of a cache line, and the number of the smallest elements in it.
LINE, GRAIN = 64, 16
# Bytes of an element.
ITEM = {"f32": 4, "f64": 8, "i64": 8}


class Place(NamedTuple):
    """The name, arena and shape of an array in a row.

    Attributes:
        name: of the array.
        arena: `f32`, `f64` or `i64`.
        shape: of one row's array.
        unit: meaning of its numbers.
    """

    name: str
    arena: str
    shape: tuple[int, ...]
    unit: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Arena(NamedTuple):
    """Three flat arrays that hold named arrays side by side."""

    f32: NDArray[np.float32]
    f64: NDArray[np.float64]
    i64: NDArray[np.int64]


def arena(
    rows: int, places: tuple[Place, ...], real: type[np.floating[Any]] = np.float32
) -> Arena:
    """Make the arena of `rows` rows of places: zeros [rows, width].

    `real` is the type of the first arena: float64 for reference computations.
    """
    width = widths(places)
    return Arena(
        _aligned((rows, width["f32"]), real),
        _aligned((rows, width["f64"]), np.float64),
        _aligned((rows, width["i64"]), np.int64),
    )


def _aligned(shape: tuple[int, int], kind: type[Any]) -> NDArray[Any]:
    """Make zeros that begin at the start of a cache line."""
    size = shape[0] * shape[1] * np.dtype(kind).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    begin = -raw.ctypes.data % LINE
    aligned: NDArray[Any] = raw[begin : begin + size].view(kind).reshape(shape)
    return aligned


def widths(places: tuple[Place, ...]) -> dict[str, int]:
    """Give the width of each arena's row: whole cache lines."""
    return {
        name: sum(_room(p) for p in places if p.arena == name) for name in Arena._fields
    }


def row_size(places: tuple[Place, ...]) -> int:
    """Give the bytes of one row of places."""
    return sum(ITEM[name] * width for name, width in widths(places).items())


def _room(place: Place) -> int:
    """Give the number of elements that a place takes: whole cache lines."""
    return -(-place.size // GRAIN) * GRAIN


def offsets(places: tuple[Place, ...]) -> dict[str, int]:
    """Give the offset of each place in its arena's row."""
    ends = dict.fromkeys(Arena._fields, 0)
    found = {}
    for place in places:
        found[place.name] = ends[place.arena]
        ends[place.arena] += _room(place)
    return found


def view(arena: Arena, places: tuple[Place, ...], name: str) -> NDArray[Any]:
    """Give a named array of all rows, [rows, ...], sharing memory.

    Raises:
        ConfigError: if there is no such place.
    """
    ends = dict.fromkeys(Arena._fields, 0)
    for place in places:
        if place.name == name:
            begin = ends[place.arena]
            flat: NDArray[Any] = getattr(arena, place.arena)
            part = flat[:, begin : begin + place.size]
            return part.reshape(len(flat), *place.shape)
        ends[place.arena] += _room(place)
    known = ", ".join(p.name for p in places)
    raise ConfigError(f"bank.{name}", "no such array", f"known: {known}")
