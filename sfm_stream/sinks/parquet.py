"""Records as Parquet files, each of them complete, and a log of what is to be one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.errors import SinkError
from sfm_stream.records import MAY_BE_UNKNOWN
from sfm_stream.sinks import growing
from sfm_stream.sinks.contract import NOT_RESUMED
from sfm_stream.sinks.gathering import Pile
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from sfm_stream.records import Records
    from sfm_stream.sinks.gathering import Columns

PART_ROWS = 131_072
GROWTH = 2
"""Rows of a log that becomes Parquet, as a multiple of those that are Parquet."""
LEAST_ROWS = 1_024
"""Rows of a log that becomes Parquet; a file of fewer is mostly its own head."""
SUFFIX = ".parquet"
PART_NAME = re.compile(r"([a-z]+)-(\d{6,})(\.parquet|\.log|\.parquet\.tmp)")
WHOLE = (SUFFIX, growing.SUFFIX)


class ParquetSink:
    """Writes Parquet files, `<kind>-<number>.parquet`, in a folder.

    Rows wait in memory until a part is full or `flush` is called. The rows of a part
    that is not full go to a log beside it, which becomes part of the Parquet file when
    it has twice as many rows as that, so that each row is written a few times at most.
    All parts but the last are full.

    Args:
        folder: where the parts lie; made if absent.
        tables: texts of the codes, as in `Records.tables`, and names of `experts`.
        position: where a checkpoint left the parts; absent for a new run.
        part_rows: rows of a full part.
        least_rows: of a log that becomes Parquet.

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
        least_rows: int = LEAST_ROWS,
    ) -> None:
        self._folder, self._tables, self._part_rows = folder, dict(tables), part_rows
        self._least = least_rows
        self._growing: dict[str, _Part] = {}
        held = position or {}
        self._rows: dict[str, int] = dict(held.get("rows", {}))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if position is None and _parts(folder):
                raise SinkError(str(folder), "holds records already", NOT_RESUMED)
            _cut(folder, held.get("parts", {}))
            for kind, count in held.get("parts", {}).items():
                _complete(folder, kind)
                number, rows = count - 1, held["last"][kind]
                self._growing[kind] = self._resume(kind, number, rows)
        except OSError as e:
            raise SinkError(str(folder), *atomic.explain(e)) from e

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
        """Put the rows that wait on disk: the first ones of a part as Parquet.

        Raises:
            SinkError: if they could not be written; they wait on.
        """
        self._write_full()
        for kind, part in self._growing.items():
            if part.pile.rows and part.held:
                self._log(kind, part)
            if part.pile.rows or part.logged >= max(self._least, GROWTH * part.stored):
                self._fold(kind, part)

    def position(self) -> dict[str, Any]:
        """Say how many parts and rows of each kind there are, and in its last part."""
        there = {kind: part for kind, part in self._growing.items() if part.there}
        return {
            "parts": {kind: part.there for kind, part in there.items()},
            "rows": {kind: self._rows[kind] for kind in there},
            "last": {kind: part.held or part.before for kind, part in there.items()},
        }

    def close(self) -> None:
        """Write the rows that wait, and make Parquet of all.

        Raises:
            SinkError: if a part could not be written.
        """
        self._write_full()
        for kind, part in self._growing.items():
            if part.pile.rows or part.logged:
                self._fold(kind, part)

    def _write_full(self) -> None:
        for kind, part in self._growing.items():
            while part.held + part.pile.rows >= self._part_rows:
                self._fold(kind, part)

    def _log(self, kind: str, part: _Part) -> None:
        """Add the rows that wait to the log."""
        count, path = part.pile.rows, self._log_of(kind, part)
        rows = part.pile.first(count)
        if not part.logged:
            part.told = {}
        named = growing.used(kind, rows, self._tables)
        new = {name: t for name, t in named.items() if part.told.get(name) != t}
        try:
            if not part.logged:  # one whose rows are in the Parquet file by now
                path.unlink(missing_ok=True)
            growing.append(path, part.stored, kind, rows, new)
        except OSError as e:
            raise SinkError(str(path), *atomic.explain(e)) from e
        part.told |= new
        self._count(kind, count)
        part.pile.drop(count)
        part.logged += count

    def _fold(self, kind: str, part: _Part) -> None:
        """Write what fits into a part as Parquet; begin the next part if it is full."""
        count = min(part.pile.rows, self._part_rows - part.held)
        frames = self._stored(kind, part)
        if count:
            frames.append(_frame(kind, part.pile.first(count), self._tables))
        _store(self._folder / _name(kind, part.number), frames)
        self._count(kind, count)
        if count:
            part.pile.drop(count)
        with suppress(OSError):  # a log whose rows are in the Parquet file is ignored
            self._log_of(kind, part).unlink(missing_ok=True)
        part.stored, part.logged = part.held + count, 0
        if part.stored >= self._part_rows:
            part.next()

    def _stored(self, kind: str, part: _Part) -> list[pl.DataFrame]:
        """Give the rows of a part that are on disk."""
        if not part.held:
            return []
        return list(_load(self._folder, kind, part.number))

    def _count(self, kind: str, count: int) -> None:
        self._rows[kind] = self._rows.get(kind, 0) + count

    def _log_of(self, kind: str, part: _Part) -> Path:
        return _log_name(self._folder, kind, part.number)

    def _resume(self, kind: str, number: int, rows: int) -> _Part:
        """Take in the last part as it was, and cut what came later."""
        part, path = _Part(number), self._folder / _name(kind, number)
        log = _log_name(self._folder, kind, number)
        part.stored = _height(path)
        grown = growing.load(log)
        if grown is None or grown.after != part.stored or part.stored >= rows:
            log.unlink(missing_ok=True)
        else:
            growing.cut(log, grown, kind, rows - part.stored)
            part.logged = rows - part.stored
        if part.held < rows:
            problem = f"expected {rows} rows, was {part.held}"
            raise SinkError(str(path), problem, growing.REPAIR)
        if part.stored > rows:
            (found,) = _load(self._folder, kind, number)
            _store(path, [found[:rows]])
            part.stored = rows
        if rows >= self._part_rows:
            part.next()
        return part


class _Part:
    """The part of a kind that still grows, and the rows that wait for it.

    Attributes:
        number: of the part.
        before: rows of the part before it.
        stored: rows of its Parquet file.
        logged: rows of its log.
        told: tables that stand in the log.
        pile: rows that came since.
    """

    def __init__(self, number: int) -> None:
        self.number, self.before, self.stored, self.logged = number, 0, 0, 0
        self.told: dict[str, tuple[str, ...]] = {}
        self.pile = Pile()

    @property
    def held(self) -> int:
        """Rows on disk."""
        return self.stored + self.logged

    @property
    def there(self) -> int:
        """Parts on disk, this one included."""
        return self.number + (self.held > 0)

    def next(self) -> None:
        """Begin the part behind this one."""
        self.number, self.before = self.number + 1, self.held
        self.stored = self.logged = 0


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
    for number in _complete(folder, kind):
        yield from _load(folder, kind, number, wanted)


def last(
    folder: Path, kind: str, rows: int, columns: Sequence[str] | None = None
) -> pl.DataFrame | None:
    """Give the latest rows of a kind; None if there are none.

    Args:
        folder: where a `ParquetSink` wrote.
        kind: a key of `KINDS`, e.g. `scores`.
        rows: how many at most.
        columns: those wanted; all when absent.

    Raises:
        SinkError: if the folder or a part is missing or cannot be read.
    """
    import polars as pl

    wanted = None if columns is None else list(columns)
    found: list[pl.DataFrame] = []
    for number in reversed(_complete(folder, kind)):
        found = [*_load(folder, kind, number, wanted), *found]
        if sum(map(len, found)) >= rows:
            break
    return pl.concat(found, how="diagonal_relaxed").tail(rows) if found else None


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
        elif name in {"amplitude", "quantiles"}:
            found += _arrays(name, column)
        elif name == "covered":
            answers = pl.Series(name, [None, False, True], pl.Boolean)
            found.append(answers.gather(column.astype(np.int64) + 1))
        elif name in MAY_BE_UNKNOWN:
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


def _arrays(name: str, column: NDArray[Any]) -> Iterator[pl.Series]:
    """Give rows of numbers, null where the first is NaN."""
    import polars as pl

    if column.shape[1]:
        rows = pl.Series(name, np.ascontiguousarray(column))
        stated = pl.lit(pl.Series(~np.isnan(column[:, 0])))
        yield rows.to_frame().select(pl.when(stated).then(name))[name]


def _parts(folder: Path) -> dict[Path, tuple[str, int, str]]:
    """Find the files of parts: kind, number, and suffix."""
    names = ((path, PART_NAME.fullmatch(path.name)) for path in folder.iterdir())
    return {p: (m[1], int(m[2]), m[3]) for p, m in names if m}


def _complete(folder: Path, kind: str) -> list[int]:
    """List the parts of a kind in order, none missing."""
    files = _parts(folder).values()
    found = {n for k, n, suffix in files if k == kind and suffix in WHOLE}
    for number in range(len(found)):
        if number not in found:
            path = folder / _name(kind, number)
            raise SinkError(str(path), "expected a part, was none", growing.REPAIR)
    return sorted(found)


def _cut(folder: Path, keep: Mapping[str, int]) -> None:
    for path, (kind, number, suffix) in _parts(folder).items():
        if suffix not in WHOLE or number >= keep.get(kind, 0):
            path.unlink()


def _load(
    folder: Path, kind: str, number: int, columns: list[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Give the rows of a part: those of its Parquet file, and those of its log."""
    path = folder / _name(kind, number)
    grown = growing.load(_log_name(folder, kind, number))
    stored = 0
    if path.exists():
        found = _read(path, columns)
        stored = len(found)
        yield found
    if grown is not None and grown.after == stored:
        for block in grown.blocks:
            frame = _frame(kind, block.columns[kind], block.tables)
            yield frame if columns is None else frame.select(columns)


def _read(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as e:
        raise SinkError(str(path), f"cannot be read: {e}", growing.REPAIR) from e


def _height(path: Path) -> int:
    """Give the rows of a Parquet file; 0 if there is none."""
    return len(_read(path, ["seq"])) if path.exists() else 0


def _store(path: Path, frames: Sequence[pl.DataFrame]) -> None:
    """Write a Parquet file at once.

    Raises:
        SinkError: if the disk is full or refuses; the file is as before.
    """
    import polars as pl

    # a part begun by an earlier version lacks the columns of now
    whole = pl.concat(frames, how="diagonal").rechunk()
    content = io.BytesIO()
    # zstd would save a sixth of the bytes and take twice the time
    whole.write_parquet(content, compression="lz4")
    try:
        atomic.write(path, content.getbuffer())
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e


def _name(kind: str, number: int) -> str:
    return f"{kind}-{number:06d}{SUFFIX}"


def _log_name(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{kind}-{number:06d}{growing.SUFFIX}"
