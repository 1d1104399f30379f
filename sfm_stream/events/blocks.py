"""Cut and join blocks of events, and write them as bytes for journals and pipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sfm_stream.events.columns import Block
from sfm_stream.events.kinds import ALL_STREAMS


def select(block: Block, keep: NDArray[np.bool_]) -> Block:
    """Select events of a block.

    Args:
        block: of T events.
        keep: [T], True for each event to select.
    """
    places = np.cumsum(keep) - 1
    notes = {int(places[i]): note for i, note in block.notes.items() if keep[i]}
    return Block(
        streams=block.streams,
        kind=block.kind[keep],
        stream=block.stream[keep],
        time=block.time[keep],
        received=block.received[keep],
        values=block.values[keep],
        code=block.code[keep],
        notes=notes,
    )


def concatenate(blocks: Sequence[Block]) -> Block:
    """Join blocks of one feed, in order, into one.

    Args:
        blocks: at least one; all with the same number of fields.
    """
    if len(blocks) == 1:
        return blocks[0]
    names, parts = _one_table(blocks)
    notes: dict[int, str] = {}
    base = 0
    for block in blocks:
        notes |= {base + i: n for i, n in block.notes.items()}
        base += len(block)
    joined: dict[str, NDArray[Any]] = {"stream": np.concatenate(parts)}
    for key in ("kind", "time", "received", "values", "code"):
        joined[key] = np.concatenate([getattr(block, key) for block in blocks])
    return Block(streams=names, notes=notes, **joined)


def _one_table(
    blocks: Sequence[Block],
) -> tuple[tuple[str, ...], list[NDArray[np.int32]]]:
    """Join the blocks' tables of names; give it and each block's codes into it.

    A table that has only grown from block to block stays the same object.
    """
    last = blocks[-1].streams
    tables = {id(block.streams): block.streams for block in blocks}
    if all(last[: len(table)] == table for table in tables.values()):
        return last, [block.stream for block in blocks]
    names: dict[str, int] = {}
    parts = []
    for block in blocks:
        table = [names.setdefault(name, len(names)) for name in block.streams]
        parts.append(np.array([*table, ALL_STREAMS], np.int32)[block.stream])
    return tuple(names), parts


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """The columns of a block as bytes; one of `OFTEN_ZERO` may be absent if all 0."""

    count: int
    width: int
    streams: tuple[str, ...]
    columns: dict[str, bytearray]
    notes: dict[int, str]


DECODER = msgspec.msgpack.Decoder(_Packed)
COLUMNS: dict[str, np.dtype[Any]] = {
    "kind": np.dtype("i1"),
    "stream": np.dtype("<i4"),
    "time": np.dtype("<i8"),
    "received": np.dtype("<i8"),
    "values": np.dtype("<f8"),
    "code": np.dtype("<i8"),
}
ROW_BYTES = 64
"""Upper bound of an event's size in bytes, without its values and stream name."""
OFTEN_ZERO = ("kind", "stream", "code")


def pack(block: Block) -> bytes:
    """Write a block as bytes; a table with more names than events is reduced."""
    streams, stream = block.streams, block.stream
    if len(streams) > len(block):
        streams, stream = _narrowed(block)
    columns = {}
    for name, kind in COLUMNS.items():
        column = stream if name == "stream" else getattr(block, name)
        data = np.asarray(column, kind).tobytes()
        if name not in OFTEN_ZERO or data.count(0) < len(data):
            columns[name] = data
    width = block.values.shape[1]
    return msgspec.msgpack.encode(
        (len(block), width, streams, columns, dict(block.notes))
    )


def pieces(block: Block, size: int) -> list[Block]:
    """Cut a block into pieces of at most `size` bytes, or of one event if larger."""
    row = ROW_BYTES + block.values.itemsize * block.values.shape[1]
    most = max(size // row, 1)
    if 0 < len(block) <= most:
        return [block]
    return [block[start : start + most] for start in range(0, len(block), most)]


def unpack(data: bytes | memoryview) -> Block:
    """Read a block that `pack` wrote.

    Raises:
        DecodeError: if it is invalid.
    """
    packed = DECODER.decode(data)
    count, columns = packed.count, packed.columns
    found: dict[str, NDArray[Any]] = {}
    for name, kind in COLUMNS.items():
        size = count * packed.width if name == "values" else count
        if name in OFTEN_ZERO and name not in columns:
            found[name] = np.zeros(size, kind)
            continue
        column = columns.get(name, b"")
        if len(column) != size * kind.itemsize:
            problem = f"expected {size} numbers, was {len(column)} bytes"
            raise msgspec.DecodeError(f"column {name}: {problem}")
        found[name] = np.frombuffer(column, kind)
    found["values"] = found["values"].reshape(count, packed.width)
    return Block(streams=packed.streams, notes=packed.notes, **found)


class _Counted(msgspec.Struct, frozen=True, array_like=True):
    """The first item of a packed block; decoding skips the other items."""

    count: int


def count_of(data: bytes | memoryview) -> int:
    """Give the number of events of a block that `pack` wrote.

    Raises:
        DecodeError: if it is invalid.
    """
    return msgspec.msgpack.decode(data, type=_Counted).count


def _narrowed(block: Block) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Reduce the table of names to those in use; give it and the codes into it."""
    codes, number = block.stream.tolist(), {ALL_STREAMS: ALL_STREAMS}
    narrow = [number.setdefault(code, len(number) - 1) for code in codes]
    names = tuple(block.streams[code] for code in number if code != ALL_STREAMS)
    return names, np.array(narrow, np.int32)
