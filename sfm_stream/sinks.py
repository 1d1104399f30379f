"""Where records go, and back to which point they can be cut.

A sink knows its position. A checkpoint holds it; a sink opened with it first drops all
that was written later, so that the replayed ticks say their records once. Opened
without one, a sink begins a new run and refuses to write over an old one.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec
import numpy as np

from sfm_stream import durable
from sfm_stream.errors import SinkError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from sfm_stream.records import Record, Records

    Columns: TypeAlias = Mapping[str, NDArray[Any]]

PART_ROWS = 131_072
LOOSE_PIECES = 256
PART_NAME = re.compile(r"([a-z]+)-(\d{6,})\.parquet(\.tmp)?")
NOT_RESUMED = "resume with the run's checkpoint or choose another place"


class Sink(Protocol):
    """A place for records; what it is given stays as it is from then on."""

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if they could not be written.
        """

    def flush(self) -> None:
        """Wait until all records taken so far are where they should be.

        Raises:
            SinkError: if they could not be written.
        """

    def position(self) -> dict[str, Any]:
        """Say how far the sink has come, in values JSON can hold; after `flush`."""

    def close(self) -> None:
        """Flush and let go.

        Raises:
            SinkError: if what was left could not be written.
        """


class MemorySink:
    """Keeps records in a list.

    Attributes:
        records: what was written, block by block.
    """

    def __init__(self) -> None:
        self.records: list[Records] = []

    def write(self, records: Records) -> None:
        """Take records, in order."""
        self.records.append(records)

    def rows(self) -> Iterator[Record]:
        """Give all records one by one."""
        return (row for records in self.records for row in records.rows())

    def flush(self) -> None:
        """Do nothing: all records are where they should be."""

    def position(self) -> dict[str, Any]:
        """Say how many blocks were written."""
        return {"blocks": len(self.records)}

    def close(self) -> None:
        """Do nothing: the list stays."""


class JsonlSink:
    """Writes one JSON object per record and line, as they were said.

    Args:
        path: the file.
        position: where a checkpoint left it; absent for a new run.

    Raises:
        SinkError: if the file cannot be written, is shorter than the position, or
            holds the records of another run.
    """

    def __init__(self, path: Path, position: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, flags, 0o644)
            size = os.fstat(self._handle).st_size
        except OSError as e:
            raise SinkError(str(path), *durable.explain(e)) from e
        self._bytes = size if position is None else int(position["bytes"])
        try:
            _refuse_old_lines(path, size, position)
            os.ftruncate(self._handle, self._bytes)
        except SinkError:
            os.close(self._handle)
            raise

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if they could not be written; then none of them was.
        """
        lines = self._encoder.encode_lines(records.rows())
        try:
            durable.append(self._handle, lines)
        except OSError as e:
            raise SinkError(str(self._path), *durable.explain(e)) from e
        self._bytes += len(lines)

    def flush(self) -> None:
        """Wait until all lines are on disk.

        Raises:
            SinkError: if the disk refuses.
        """
        try:
            os.fsync(self._handle)
        except OSError as e:
            raise SinkError(str(self._path), *durable.explain(e)) from e

    def position(self) -> dict[str, Any]:
        """Say how many bytes were written."""
        return {"bytes": self._bytes}

    def close(self) -> None:
        """Flush and close the file.

        Raises:
            SinkError: if the disk refuses.
        """
        try:
            self.flush()
        finally:
            os.close(self._handle)


class ParquetSink:
    """Writes complete Parquet files, `<kind>-<number>.parquet`, in a folder.

    Rows wait in memory until a part is full or `flush` is called.

    Args:
        folder: where the parts lie; made if absent.
        tables: texts of the codes, as in `Records.tables`, and names of `experts`.
        position: where a checkpoint left the parts; absent for a new run.
        part_rows: rows of a full part.

    Raises:
        SinkError: if the folder cannot be written, lacks a part of the position, or
            holds the records of another run.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, tuple[str, ...]],
        position: Mapping[str, Any] | None = None,
        *,
        part_rows: int = PART_ROWS,
    ) -> None:
        self._folder, self._tables, self._part_rows = folder, dict(tables), part_rows
        self._buffers: dict[str, _Buffer] = {}
        held = position or {}
        self._parts: dict[str, int] = dict(held.get("parts", {}))
        self._rows: dict[str, int] = dict(held.get("rows", {}))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if position is None and _parts(folder):
                raise SinkError(str(folder), "holds records already", NOT_RESUMED)
            _cut(folder, self._parts)
        except OSError as e:
            raise SinkError(str(folder), *durable.explain(e)) from e
        for kind, rows in self._rows.items():
            _expect_rows(folder, kind, rows)

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if a part could not be written; earlier parts are untouched.
        """
        self._tables |= records.tables
        for kind, columns in records.columns.items():
            if not len(columns["seq"]):
                continue
            buffer = self._buffers.setdefault(kind, _Buffer())
            buffer.add(columns)
            while buffer.rows >= self._part_rows:
                self._write_part(kind)

    def flush(self) -> None:
        """Write the rows that wait as parts of their own.

        Raises:
            SinkError: if a part could not be written; the rows wait on.
        """
        for kind, buffer in self._buffers.items():
            while buffer.rows:
                self._write_part(kind)

    def position(self) -> dict[str, Any]:
        """Say how many parts and rows of each kind are on disk."""
        return {"parts": dict(self._parts), "rows": dict(self._rows)}

    def close(self) -> None:
        """Write the rows that wait.

        Raises:
            SinkError: if a part could not be written.
        """
        self.flush()

    def _write_part(self, kind: str) -> None:
        buffer, number = self._buffers[kind], self._parts.get(kind, 0)
        path = self._folder / f"{kind}-{number:06d}.parquet"
        frame = _frame(kind, buffer.first(self._part_rows), self._tables)
        content = io.BytesIO()
        # zstd would save a sixth of the bytes and take twice the time
        frame.write_parquet(content, compression="lz4")
        try:
            durable.write(path, content.getbuffer())
        except OSError as e:
            raise SinkError(str(path), *durable.explain(e)) from e
        self._parts[kind] = number + 1
        self._rows[kind] = self._rows.get(kind, 0) + len(frame)
        buffer.drop(len(frame))


def read(
    folder: Path, kind: str, columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Give the parts of a kind in order, one at a time.

    Args:
        folder: where a `ParquetSink` wrote.
        kind: a key of `KINDS`, e.g. `scores`.
        columns: those wanted; all when absent.

    Raises:
        SinkError: if the folder or a part is missing or cannot be read.
    """
    import polars as pl

    if not folder.is_dir():
        raise SinkError(str(folder), "expected a folder of records, was none")
    wanted = None if columns is None else list(columns)
    for path in _complete(folder, kind):
        try:
            yield pl.read_parquet(path, columns=wanted)
        except (OSError, pl.exceptions.PolarsError) as e:
            raise SinkError(str(path), f"cannot be read: {e}") from e


class _Buffer:
    """Rows of one kind that wait for their part.

    A live tick brings a few rows, and a part holds many ticks: so pieces are only
    listed at first, and joined when many have come.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._joined: list[Columns] = []
        self._loose: list[Columns] = []

    def add(self, columns: Columns) -> None:
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
        rest = {name: column[count:] for name, column in self._joined[0].items()}
        self.rows -= count
        self._joined = [rest] if self.rows else []


def _join(pieces: Sequence[Columns]) -> Columns:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}


def _frame(
    kind: str,
    columns: Columns,
    tables: Mapping[str, tuple[str, ...]],
) -> pl.DataFrame:
    import polars as pl

    found: list[pl.Series] = []
    for name, column in columns.items():
        table = tables.get(f"{kind}.{name}") or tables.get(name)
        if table is not None:
            found.append(_texts(name, column, table))
        elif name == "weights":
            found += _weights(column, tables["experts"])
        elif name == "amplitude":
            found += _amplitude(column)
        elif name == "covered":
            answers = pl.Series(name, [None, False, True], pl.Boolean)
            found.append(answers.gather(column.astype(np.int64) + 1))
        elif name in {"lower", "upper"}:
            found.append(pl.Series(name, column).fill_nan(None))
        else:
            found.append(pl.Series(name, column))
    return pl.DataFrame(found)


def _texts(name: str, codes: NDArray[Any], table: tuple[str, ...]) -> pl.Series:
    import polars as pl

    # streams come and go: an Enum would make the schemas of two parts differ
    kind = pl.String() if name == "stream" else pl.Enum(table)
    return pl.Series(name, table, kind).gather(codes)


def _weights(column: NDArray[Any], experts: tuple[str, ...]) -> Iterator[pl.Series]:
    import polars as pl

    for expert, weights in zip(experts, column.T, strict=True):
        flat = np.ascontiguousarray(weights)
        yield pl.Series(f"weight_{expert}", flat).fill_nan(None)


def _amplitude(column: NDArray[Any]) -> Iterator[pl.Series]:
    import polars as pl

    if column.shape[1]:
        rows = pl.Series("amplitude", column.astype(np.float32, copy=False))
        stated = pl.lit(pl.Series(~np.isnan(column[:, 0])))
        yield rows.to_frame().select(pl.when(stated).then("amplitude"))["amplitude"]


def _parts(folder: Path) -> dict[Path, tuple[str, int, bool]]:
    """Find parts: kind, number, and whether it was never finished."""
    names = ((path, PART_NAME.fullmatch(path.name)) for path in folder.iterdir())
    return {p: (m[1], int(m[2]), m[3] is not None) for p, m in names if m}


def _complete(folder: Path, kind: str) -> list[Path]:
    """List the finished parts of a kind in order, none missing."""
    found = {
        n: p for p, (k, n, torn) in _parts(folder).items() if k == kind and not torn
    }
    for number in range(len(found)):
        if number not in found:
            path = folder / f"{kind}-{number:06d}.parquet"
            raise SinkError(str(path), "expected a part, was none", "restore it")
    return [found[number] for number in sorted(found)]


def _cut(folder: Path, keep: Mapping[str, int]) -> None:
    for path, (kind, number, torn) in _parts(folder).items():
        if torn or number >= keep.get(kind, 0):
            path.unlink()


def _expect_rows(folder: Path, kind: str, expected: int) -> None:
    was = sum(_length(path) for path in _complete(folder, kind))
    if was != expected:
        at = str(folder / f"{kind}-*.parquet")
        raise SinkError(at, f"expected {expected} rows, was {was}", "start a new run")


def _length(path: Path) -> int:
    """Give the rows of a part from its footer alone."""
    import polars as pl

    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (OSError, pl.exceptions.PolarsError) as e:
        raise SinkError(str(path), f"cannot be read: {e}", "start a new run") from e


def _refuse_old_lines(
    path: Path, size: int, position: Mapping[str, Any] | None
) -> None:
    if position is None and size:
        raise SinkError(str(path), "holds records already", NOT_RESUMED)
    if position is not None and size < position["bytes"]:
        problem = f"expected at least {position['bytes']} bytes, was {size}"
        raise SinkError(str(path), problem, "start a new run")
