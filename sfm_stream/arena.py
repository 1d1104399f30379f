"""Named arrays side by side in three flat ones: float32, float64 and int64.

So all that belongs to one stream is contiguous, and the compiled tick is called with
three arrays instead of forty.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError


class Place(NamedTuple):
    """Where an array lies in a row.

    Attributes:
        name: of the array.
        arena: `f32`, `f64` or `i64`.
        shape: of one row's array.
        unit: what its numbers mean.
    """

    name: str
    arena: str
    shape: tuple[int, ...]
    unit: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


class Arena(NamedTuple):
    """Three flat arrays in which named arrays lie side by side."""

    f32: NDArray[np.float32]
    f64: NDArray[np.float64]
    i64: NDArray[np.int64]


def arena(
    rows: int, places: tuple[Place, ...], real: type[np.floating[Any]] = np.float32
) -> Arena:
    """Make room for `rows` times the places: zeros [rows, width].

    `real` is the type of the first arena: float64 where a reference is computed.
    """
    width = {
        name: sum(p.size for p in places if p.arena == name) for name in Arena._fields
    }
    return Arena(
        np.zeros((rows, width["f32"]), real),
        np.zeros((rows, width["f64"]), np.float64),
        np.zeros((rows, width["i64"]), np.int64),
    )


def offsets(places: tuple[Place, ...]) -> dict[str, int]:
    """Say where each place begins in its arena's row."""
    ends = dict.fromkeys(Arena._fields, 0)
    found = {}
    for place in places:
        found[place.name] = ends[place.arena]
        ends[place.arena] += place.size
    return found


def view(arena: Arena, places: tuple[Place, ...], name: str) -> NDArray[Any]:
    """Give a named array of all rows, [rows, ...], sharing memory.

    Raises:
        ConfigError: if there is no such place.
    """
    for place in places:
        if place.name == name:
            begin = offsets(places)[name]
            flat: NDArray[Any] = getattr(arena, place.arena)
            part = flat[:, begin : begin + place.size]
            return part.reshape(len(flat), *place.shape)
    known = ", ".join(p.name for p in places)
    raise ConfigError(f"bank.{name}", "no such array", f"known: {known}")
