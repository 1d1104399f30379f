"""The sink that writes records as Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfm_stream.errors import HoldsRecords, RecordsLost, SinkError
from sfm_stream.sinks.contract import NOT_RESUMED
from sfm_stream.sinks.gathering import Pile
from sfm_stream.sinks.parquet import growing, parts
from sfm_stream.sinks.parquet.frames import as_frame
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    import polars as pl

    from sfm_stream.records import Records

PART_ROWS = 100_000
"""Rows of a full part: the forecasts of the ticks that a replay takes between two
checkpoints, so that a flush finds full parts and writes each forecast only once."""
GROWTH = 2
"""A log with this many times the rows of its Parquet file is folded into the file."""
LEAST_ROWS = 1_024
"""Least rows to make a Parquet file of; a file with fewer is mostly metadata."""


class ParquetSink:
    """Writes Parquet files, `<kind>-<number>.parquet`, in a folder.

    Rows stay in memory until a part is full or `flush` is called. `flush` writes the
    rows of a part that is not full to a log beside the Parquet file. When the log has
    twice as many rows as the file, it is folded into the file, so that each row is
    written only a few times. All parts but the last are full.

    Args:
        folder: folder of the parts; made if absent.
        tables: texts of the codes, as in `Records.tables`, and names of `experts`.
        position: the sink's position in a checkpoint; None for a new run.
        part_rows: rows of a full part.
        least_rows: least rows of a log that is folded into a Parquet file.

    Raises:
        SinkError: if the folder cannot be written, or holds the records of another run.
        RecordsLost: if a part is missing, or a last part lacks rows of the position.
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
        self._lost: Counter[str] = Counter(held.get("lost", {}))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if position is None and parts.files(folder):
                raise HoldsRecords(str(folder), "holds records already", NOT_RESUMED)
            self._identity = atomic.identity(folder)
            self._take_up(held)
        except OSError as e:
            raise SinkError(str(folder), *atomic.explain(e)) from e

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if an earlier full part could not be written; then no record is
                taken.
            RecordsLost: if its files were removed; a new folder is begun.
        """
        self._keep_place()
        self._write_full()
        self._tables |= records.tables
        for kind, columns in records.columns.items():
            if len(columns["seq"]):
                self._growing.setdefault(kind, _Part(0)).pile.add(columns)
        # these records are taken: a disk that stays full is the next call's error
        with suppress(SinkError):
            self._write_full()

    def flush(self) -> None:
        """Write the rows in memory to disk; the first ones of a part become Parquet.

        Raises:
            SinkError: if they could not be written; they stay in memory.
            RecordsLost: if its files were removed; a new folder is begun.
        """
        self._keep_place()
        self._write_full()
        for kind, part in self._growing.items():
            if part.pile.rows and part.held:
                self._log(kind, part)
            if part.pile.rows or part.logged >= max(self._least, GROWTH * part.stored):
                self._fold(kind, part)

    def position(self) -> dict[str, Any]:
        """Give the number of parts and rows of each kind, and of rows in its last part.

        Also the number of rows lost before, if any: a repair brings them back.
        """
        lost = {"lost": dict(self._lost)} if self._lost else {}
        there = {kind: part for kind, part in self._growing.items() if part.there}
        return {
            "parts": {kind: part.there for kind, part in there.items()},
            "rows": {kind: self._rows[kind] for kind in there},
            "last": {kind: part.held or part.before for kind, part in there.items()},
            **lost,
        }

    def close(self) -> None:
        """Write the rows in memory and in logs as Parquet.

        Raises:
            SinkError: if a part could not be written.
        """
        self._write_full()
        for kind, part in self._growing.items():
            if part.pile.rows or part.logged:
                self._fold(kind, part)

    def _take_up(self, held: Mapping[str, Any]) -> None:
        """Continue at a position, and cut off later rows."""
        parts.cut(self._folder, held.get("parts", {}))
        try:
            for kind, count in held.get("parts", {}).items():
                parts.complete(self._folder, kind)
                number, rows = count - 1, held["last"][kind]
                self._growing[kind] = self._resume(kind, number, rows)
        except SinkError as e:
            raise RecordsLost(e.path, e.problem, e.hint) from e

    def _keep_place(self) -> None:
        """Begin a new folder if it, or a file of a last part, is gone."""
        try:
            if not self._is_gone():
                return
            atomic.set_aside(self._folder)
            self._folder.mkdir()
            self._identity = atomic.identity(self._folder)
        except OSError as e:
            raise SinkError(str(self._folder), *atomic.explain(e)) from e
        lost, self._rows = self._rows, {}
        self._lost.update(lost)
        self._growing = {k: _Part(0, part.pile) for k, part in self._growing.items()}
        problem = (
            f"expected files of {sum(lost.values())} records, was moved or removed"
        )
        raise RecordsLost(str(self._folder), problem, "a new folder is begun")

    def _is_gone(self) -> bool:
        """Say whether the folder was replaced, or lacks a file of a last part."""
        wanted = (
            path
            for kind, part in self._growing.items()
            for path, rows in (
                (self._folder / parts.name_of(kind, part.number), part.stored),
                (self._log_of(kind, part), part.logged),
            )
            if rows
        )
        if atomic.identity(self._folder) != self._identity:
            return True
        return any(atomic.identity(path) is None for path in wanted)

    def _write_full(self) -> None:
        for kind, part in self._growing.items():
            while part.held + part.pile.rows >= self._part_rows:
                self._fold(kind, part)

    def _log(self, kind: str, part: _Part) -> None:
        """Append the rows in memory to the log."""
        count, path = part.pile.rows, self._log_of(kind, part)
        rows = part.pile.first(count)
        if not part.logged:
            part.told = {}
        named = growing.used(kind, rows, self._tables)
        new = {name: t for name, t in named.items() if part.told.get(name) != t}
        try:
            if not part.logged:  # an old log, whose rows are in the Parquet file
                path.unlink(missing_ok=True)
            growing.append(path, part.stored, kind, rows, new)
        except OSError as e:
            raise SinkError(str(path), *atomic.explain(e)) from e
        part.told |= new
        self._count(kind, count)
        part.pile.drop(count)
        part.logged += count

    def _fold(self, kind: str, part: _Part) -> None:
        """Write rows into a part as Parquet until it is full; then begin the next."""
        count = min(part.pile.rows, self._part_rows - part.held)
        frames = self._stored(kind, part)
        if count:
            frames.append(as_frame(kind, part.pile.first(count), self._tables))
        parts.store(self._folder / parts.name_of(kind, part.number), frames)
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
        return list(parts.load(self._folder, kind, part.number))

    def _count(self, kind: str, count: int) -> None:
        self._rows[kind] = self._rows.get(kind, 0) + count

    def _log_of(self, kind: str, part: _Part) -> Path:
        return parts.log_name(self._folder, kind, part.number)

    def _resume(self, kind: str, number: int, rows: int) -> _Part:
        """Open the last part at a position, and cut off later rows."""
        part, path = _Part(number), self._folder / parts.name_of(kind, number)
        log = parts.log_name(self._folder, kind, number)
        part.stored = parts.height(path)
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
            (found,) = parts.load(self._folder, kind, number)
            parts.store(path, [found[:rows]])
            part.stored = rows
        if rows >= self._part_rows:
            part.next()
        return part


class _Part:
    """The last part of a kind, and its rows that are still in memory.

    Attributes:
        number: number of the part.
        before: rows of the part before it.
        stored: rows of its Parquet file.
        logged: rows of its log.
        told: tables that the log holds.
        pile: rows in memory.
    """

    def __init__(self, number: int, pile: Pile | None = None) -> None:
        self.number, self.before, self.stored, self.logged = number, 0, 0, 0
        self.told: dict[str, tuple[str, ...]] = {}
        self.pile = pile or Pile()

    @property
    def held(self) -> int:
        """Rows on disk."""
        return self.stored + self.logged

    @property
    def there(self) -> int:
        """Parts on disk, this one included."""
        return self.number + (self.held > 0)

    def next(self) -> None:
        """Begin the next part."""
        self.number, self.before = self.number + 1, self.held
        self.stored = self.logged = 0
