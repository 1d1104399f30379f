"""Writes named arrays to one file in the format of safetensors.

    u64 length, JSON header of that length, the arrays one after another

The library's own writer copies every array and blocks the interpreter until the file is
written. This one writes in pieces, so the other threads of a live process run on.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 20
"""Bytes per write."""
ALIGNED = 8
"""Bytes of the largest number: the first array begins at a multiple of it."""
BOOL = "BOOL"
LENGTH = struct.Struct("<Q")


class Parted(Protocol):
    """An array that is made part by part, so that it never takes memory as a whole."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole array."""

    def parts(self) -> Iterator[NDArray[Any]]:
        """Yield the parts, in order along the first axis."""


Array: TypeAlias = NDArray[Any] | Parted


def parts(array: Array) -> Iterator[NDArray[Any]]:
    """Give the parts of an array; a numpy array is its own only part."""
    return iter((array,)) if isinstance(array, np.ndarray) else array.parts()


def write(path: Path, arrays: Mapping[str, Array]) -> str:
    """Write arrays, and wait until they are on disk.

    Args:
        path: path of the file.
        arrays: numbers or booleans, of any shape, by name.

    Returns:
        SHA-256 of the file, in hex.

    Raises:
        OSError: if the disk is full or refuses.
    """
    # arrays of the widest type first, so that each array is aligned
    largest_first = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    total = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        for piece in _pieces(dict(largest_first)):
            total.update(piece)
            rest = piece
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
        os.fsync(file.fileno())
    return total.hexdigest()


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Give an array as the file stores it: row-major, little endian."""
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _pieces(arrays: Mapping[str, Array]) -> Iterator[memoryview]:
    """Yield the bytes of the file."""
    yield memoryview(_header(arrays))
    for array in arrays.values():
        for part in parts(array):
            octets = _plain(part).reshape(-1).view(np.uint8).data
            for start in range(0, len(octets), PIECE):
                yield octets[start : start + PIECE]


def _header(arrays: Mapping[str, Array]) -> bytes:
    end, entries = 0, {}
    for name, array in arrays.items():
        begin, end = end, end + math.prod(array.shape) * array.dtype.itemsize
        entries[name] = {
            "dtype": _kind(array.dtype),
            "shape": array.shape,
            "data_offsets": (begin, end),
        }
    text = msgspec.json.encode(entries)
    text += b" " * (-len(text) % ALIGNED)
    return LENGTH.pack(len(text)) + text


def _kind(dtype: np.dtype[Any]) -> str:
    """Name a type as the file format does, e.g. F32."""
    return BOOL if dtype.kind == "b" else f"{dtype.kind.upper()}{8 * dtype.itemsize}"
