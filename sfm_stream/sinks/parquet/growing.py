"""The log of a part that is not full: an append-only file of rows.

    records/scores-000002.log    follows the rows of scores-000002.parquet, if any

Each checkpoint appends the rows since the last one, so that a slow stream does not
rewrite its part again and again. The first entry is the number of rows that the Parquet
file had when the log was begun. If the file has more rows now, it already holds the
rows of the log, which is then ignored.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sfm_stream.errors import JournalError, SinkError
from sfm_stream.records import Records
from sfm_stream.sinks import spill
from sfm_stream.storage import atomic, segment

if TYPE_CHECKING:
    from sfm_stream.sinks.gathering import Columns

SUFFIX = ".log"
COMPRESSION = 1
REPAIR = "rebuild the records with sfm-stream repair RUN"


class Grown(NamedTuple):
    """The content of a log.

    Attributes:
        after: number of rows of the Parquet file before the log.
        blocks: the rows, in order.
        ends: end of each block, in bytes of the file.
    """

    after: int
    blocks: list[Records]
    ends: list[int]


def append(
    path: Path,
    after: int,
    kind: str,
    columns: Columns,
    tables: Mapping[str, tuple[str, ...]],
) -> None:
    """Append rows to a log, and wait until they are on disk.

    Args:
        path: path of the log; made if absent.
        after: number of rows of the Parquet file before the log.
        kind: kind of the records.
        columns: the rows.
        tables: texts of the codes, as far as they changed since the last block.

    Raises:
        OSError: if the disk is full or refuses; the file keeps its length.
    """
    packed = zlib.compress(spill.encode(Records({kind: columns}, tables)), COMPRESSION)
    block = segment.entry(packed)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        if not size:
            block = segment.entry(msgspec.msgpack.encode(after)) + block
        atomic.append(handle, block)
        try:
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
    if not size:
        atomic.sync(path.parent)


def load(path: Path) -> Grown | None:
    """Read a log up to its torn tail; None if it is absent or has no whole entry.

    Raises:
        SinkError: if it is damaged before its tail.
        OSError: if it cannot be read.
    """
    try:
        found = segment.parse(path, path.read_bytes())
    except FileNotFoundError:
        return None
    try:
        end = segment.scan(found).end
        first, *rest = segment.payloads(found.body, end) if end else [(0, 0)]
        if not end:
            return None
        after = msgspec.msgpack.decode(found.body[slice(*first)], type=int)
        blocks = list(_blocks([found.body[slice(*place)] for place in rest]))
    except JournalError as e:
        raise SinkError(str(path), e.problem, REPAIR) from e
    except (msgspec.DecodeError, ValueError, zlib.error) as e:
        raise SinkError(str(path), f"cannot be read: {e}", REPAIR) from e
    return Grown(after, blocks, [stop for _, stop in rest])


def used(
    kind: str, columns: Columns, tables: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Give the tables that these columns of a kind refer to."""
    names = {*columns, *(f"{kind}.{name}" for name in columns)}
    if "weights" in columns:
        names.add("experts")
    return {name: table for name, table in tables.items() if name in names}


def _blocks(packed: Sequence[memoryview]) -> Iterator[Records]:
    """Unpack blocks; a table that a block lacks is taken from an earlier block."""
    tables: dict[str, tuple[str, ...]] = {}
    for data in packed:
        block = spill.decode(zlib.decompress(data))
        tables = {**tables, **block.tables}
        yield Records(block.columns, tables)


def cut(path: Path, grown: Grown, kind: str, rows: int) -> None:
    """Cut a log after its first rows.

    Raises:
        SinkError: if no block ends there.
        OSError: if the disk refuses.
    """
    counted, end = 0, 0
    for block, stop in zip(grown.blocks, grown.ends, strict=True):
        if counted == rows:
            break
        counted, end = counted + block.count(kind), stop
    if counted != rows:
        problem = f"expected {rows} rows, was {counted}"
        raise SinkError(str(path), problem, REPAIR)
    if not rows:
        path.unlink()
        return
    os.truncate(path, end)
