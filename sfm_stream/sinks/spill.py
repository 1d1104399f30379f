"""Blocks of records as files, while a sink is busy.

A file is MessagePack: the tables, and each column as type, shape and its bytes in
memory. Reading it runs no code. Files are not synced: records lost in a power cut are
computed again from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import SinkError
from sfm_stream.records import Records
from sfm_stream.storage import atomic


class _Column(msgspec.Struct, frozen=True, array_like=True):
    """An array: the numpy name of its type, its shape, its bytes."""

    kind: str
    shape: tuple[int, ...]
    data: bytes


class _Block(msgspec.Struct, frozen=True, array_like=True):
    """The fields of `Records`."""

    columns: Mapping[str, Mapping[str, _Column]]
    tables: Mapping[str, tuple[str, ...]]


def encode(records: Records) -> bytes:
    """Turn a block into bytes."""
    columns = {
        kind: {
            name: _Column(column.dtype.str, column.shape, column.tobytes())
            for name, column in named.items()
        }
        for kind, named in records.columns.items()
    }
    return msgspec.msgpack.encode(_Block(columns, records.tables))


def decode(data: bytes | memoryview) -> Records:
    """Turn bytes into a block.

    Raises:
        ValueError: if the bytes are not as they were written.
    """
    try:
        block = msgspec.msgpack.decode(data, type=_Block)
        columns = {
            kind: {name: _array(column) for name, column in named.items()}
            for kind, named in block.columns.items()
        }
    except (msgspec.DecodeError, TypeError) as e:
        raise ValueError(str(e)) from e
    return Records(columns, block.tables)


def write(path: Path, records: Records) -> None:
    """Write a block as a file.

    Raises:
        SinkError: if the disk is full or refuses; no file is left behind.
    """
    data = encode(records)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as e:
        with suppress(OSError):
            path.unlink()
        raise SinkError(str(path), *atomic.explain(e)) from e


def take(path: Path) -> Records:
    """Read a block and remove its file.

    Raises:
        SinkError: if the file cannot be read, or is not as it was written.
    """
    try:
        data = path.read_bytes()
        path.unlink()
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e
    try:
        return decode(data)
    except ValueError as e:
        raise SinkError(str(path), f"cannot be read: {e}") from e


def _array(column: _Column) -> NDArray[Any]:
    flat: NDArray[Any] = np.frombuffer(column.data, column.kind)
    return flat.reshape(column.shape)
