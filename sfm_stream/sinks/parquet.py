"""Records as Parquet files, each of them complete at any moment."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.errors import SinkError
from sfm_stream.sinks.contract import NOT_RESUMED
from sfm_stream.sinks.gathering import Pile
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from sfm_stream.records import Records
    from sfm_stream.sinks.gathering import Columns

PART_ROWS = 131_072
PART_NAME = re.compile(r"([a-z]+)-(\d{6,})\.parquet(\.tmp)?")


class ParquetSink:
    """Writes Parquet files, `<kind>-<number>.parquet`, in a folder.

    Rows wait in memory until a part is full or `flush` is called. A part that is not
    full is written again, longer, by later calls, so that all but the last are full.

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
        self._growing: dict[str, _Part] = {}
        held = position or {}
        self._rows: dict[str, int] = dict(held.get("rows", {}))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if position is None and _parts(folder):
                raise SinkError(str(folder), "holds records already", NOT_RESUMED)
            _cut(folder, held.get("parts", {}))
        except OSError as e:
            raise SinkError(str(folder), *atomic.explain(e)) from e
        for kind, count in held.get("parts", {}).items():
            _complete(folder, kind)
            self._growing[kind] = self._resume(kind, count - 1, held["last"][kind])

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if a full part that waits could not be written; nothing is taken.
        """
        self._write_full()
        self._tables |= records.tables
        for kind, columns in records.columns.items():
            if len(columns["seq"]):
                self._growing.setdefault(kind, _Part(0)).pile.add(columns)
        # these records are taken: a disk that stays full is the next call's error
        with suppress(SinkError):
            self._write_full()

    def flush(self) -> None:
        """Write the rows that wait, with those before them in their part.

        Raises:
            SinkError: if a part could not be written; the rows wait on.
        """
        self._write_full()
        for kind, part in self._growing.items():
            if part.pile.rows or part.held > part.written:
                self._write_part(kind, part)

    def position(self) -> dict[str, Any]:
        """Say how many parts and rows of each kind there are, and in its last part."""
        there = {kind: part for kind, part in self._growing.items() if part.there}
        return {
            "parts": {kind: part.there for kind, part in there.items()},
            "rows": {kind: self._rows[kind] for kind in there},
            "last": {kind: part.written or part.before for kind, part in there.items()},
        }

    def close(self) -> None:
        """Write the rows that wait.

        Raises:
            SinkError: if a part could not be written.
        """
        self.flush()

    def _write_full(self) -> None:
        for kind, part in self._growing.items():
            while part.held + part.pile.rows >= self._part_rows:
                self._write_part(kind, part)

    def _write_part(self, kind: str, part: _Part) -> None:
        """Write what the growing part holds; behind a full one begins the next."""
        if part.pile.rows:
            count = min(part.pile.rows, self._part_rows - part.held)
            part.grow(_frame(kind, part.pile.first(count), self._tables))
            part.pile.drop(count)
        self._store(kind, part)
        self._rows[kind] = self._rows.get(kind, 0) + part.held - part.written
        part.written = part.held
        if part.held >= self._part_rows:
            part.next()

    def _store(self, kind: str, part: _Part) -> None:
        path = self._folder / _name(kind, part.number)
        content = io.BytesIO()
        # zstd would save a sixth of the bytes and take twice the time
        part.frame.write_parquet(content, compression="lz4")
        try:
            atomic.write(path, content.getbuffer())
        except OSError as e:
            raise SinkError(str(path), *atomic.explain(e)) from e

    def _resume(self, kind: str, number: int, rows: int) -> _Part:
        """Take in the last part as it was, and cut what came later."""
        path = self._folder / _name(kind, number)
        found = _load(path)
        if len(found) < rows:
            problem = f"expected {rows} rows, was {len(found)}"
            raise SinkError(str(path), problem, "start a new run")
        part = _Part(number)
        part.grow(found[:rows])
        part.written = rows
        if len(found) > rows:
            self._store(kind, part)
        if rows >= self._part_rows:
            part.next()
        return part


class _Part:
    """The part of a kind that still grows, and the rows that wait for it.

    Attributes:
        number: of the part.
        before: rows of the part before it.
        written: rows of it on disk.
        frame: its rows as they stand, or will stand, on disk.
        pile: rows that came since.
    """

    def __init__(self, number: int) -> None:
        import polars as pl

        self.number, self.before, self.written = number, 0, 0
        self.frame, self.pile = pl.DataFrame(), Pile()

    @property
    def held(self) -> int:
        """Rows of the frame."""
        return len(self.frame)

    @property
    def there(self) -> int:
        """Parts on disk, this one included."""
        return self.number + (self.written > 0)

    def grow(self, frame: pl.DataFrame) -> None:
        """Add rows to the frame."""
        import polars as pl

        self.frame = pl.concat([self.frame, frame]).rechunk() if self.held else frame

    def next(self) -> None:
        """Begin the part behind this one."""
        self.number, self.before, self.written = self.number + 1, self.written, 0
        self.frame = self.frame.clear()


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
    if not folder.is_dir():
        raise SinkError(str(folder), "expected a folder of records, was none")
    wanted = None if columns is None else list(columns)
    for path in _complete(folder, kind):
        yield _load(path, wanted)


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
            path = folder / _name(kind, number)
            raise SinkError(str(path), "expected a part, was none", "restore it")
    return [found[number] for number in sorted(found)]


def _cut(folder: Path, keep: Mapping[str, int]) -> None:
    for path, (kind, number, torn) in _parts(folder).items():
        if torn or number >= keep.get(kind, 0):
            path.unlink()


def _load(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as e:
        raise SinkError(str(path), f"cannot be read: {e}") from e


def _name(kind: str, number: int) -> str:
    return f"{kind}-{number:06d}.parquet"
