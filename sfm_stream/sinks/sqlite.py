"""The sink that writes records to an SQLite database, which others can read meanwhile.

There is a table per kind, with the columns of its records. Its key begins with stream
and seq; a record that is written again replaces the old one. `weights`, `amplitude` and
`quantiles` are JSON text: any reader of SQLite understands it, unlike blobs, and
numbers are exact to the last bit. Unknown values and NaN are NULL.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from sfm_stream.errors import HoldsRecords, RecordsLost, SinkError
from sfm_stream.records import KINDS
from sfm_stream.sinks.contract import ANEW, NOT_RESUMED
from sfm_stream.storage import atomic

if TYPE_CHECKING:
    from sfm_stream.records import Records

APPLICATION, SCHEMA = 0x53464D52, 2
FIRST_SCHEMA = 1
KEYS = ("stream", "seq", "target", "horizon", "origin", "version")
SHARED: Mapping[str, tuple[str, ...]] = {
    "updates": ("labels",),
    "rejected": ("time", "field"),
}
"""Further key columns, for kinds where one event closes several bins."""
TYPES: Mapping[object, str] = {
    int: "INTEGER",
    bool | None: "INTEGER",
    float: "REAL",
    float | None: "REAL",
}
ARRAYS = ("weights", "amplitude", "quantiles")
WAIT_S = 1.0
"""Seconds that a write waits for another writer before it is an error."""
LATER = "read it with the version that wrote it, or choose another place"


class SqliteSink:
    """Writes records into an SQLite database, each write in one transaction.

    Args:
        path: the database; made if absent.
        position: the sink's position in a checkpoint; None for a new run.

    Raises:
        SinkError: if the database cannot be written, has an unknown schema, or holds
            the records of another run.
        RecordsLost: if the database is gone, damaged, another one, or ends before the
            position.
    """

    def __init__(self, path: Path, position: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._inserts = {kind: _insert(kind) for kind in KINDS}
        if position and not path.exists():
            problem = "expected the database of this run, was none"
            raise RecordsLost(str(path), problem, ANEW)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise SinkError(str(path), *atomic.explain(e)) from e
        try:
            self._connect(position)
        except SinkError as e:
            if position and type(e.__cause__) is sqlite3.DatabaseError:  # no database
                raise RecordsLost(str(path), e.problem, ANEW) from e
            raise

    def write(self, records: Records) -> None:
        """Write records, or replace them where their keys exist already.

        Raises:
            SinkError: if they could not be written; then no record was written.
            RecordsLost: if the database was removed; a new one is begun.
        """
        self._keep_place()
        counts = {kind: records.count(kind) for kind in records.columns}
        with self._explained(), self._transaction():
            for kind, count in counts.items():
                if count:
                    self._base.executemany(self._inserts[kind], _rows(kind, records))
                    last = int(records.columns[kind]["seq"].max())
                    self._base.execute("UPDATE run SET seq = max(seq, ?)", (last,))

    def flush(self) -> None:
        """Wait until all records written so far are on disk.

        Raises:
            SinkError: if the disk refuses.
            RecordsLost: if the database was removed; a new one is begun.
        """
        self._keep_place()
        try:
            atomic.sync(self._path.with_name(f"{self._path.name}-wal"))
        except OSError as e:
            raise SinkError(str(self._path), *atomic.explain(e)) from e

    def position(self) -> dict[str, Any]:
        """Give the database's random name, and the last event with records."""
        with self._explained():
            database, seq = self._base.execute("SELECT name, seq FROM run").fetchone()
        return {"database": database, "seq": seq}

    def close(self) -> None:
        """Move all records into the main file of the database, and close it.

        Raises:
            SinkError: if the disk refuses.
        """
        with self._explained():
            self._base.close()

    def _connect(self, position: Mapping[str, Any] | None) -> None:
        with self._explained():
            self._base = sqlite3.connect(
                self._path,
                timeout=WAIT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with self._explained():
                self._open(position)
            self._identity = atomic.identity(self._path)
        except SinkError:
            self._base.close()
            raise

    def _keep_place(self) -> None:
        """Begin a new database if the path no longer names the open one."""
        try:
            if atomic.identity(self._path) == self._identity:
                return
        except OSError as e:
            raise SinkError(str(self._path), *atomic.explain(e)) from e
        with self._explained():
            self._base.close()
        self._connect(None)
        problem = "expected its own database, was moved or removed"
        raise RecordsLost(str(self._path), problem, "a new one is begun")

    def _open(self, position: Mapping[str, Any] | None) -> None:
        base = self._base
        application, schema, tables = (
            base.execute(question).fetchone()[0]
            for question in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_schema",
            )
        )
        if tables and (position is None or application != APPLICATION):
            raise HoldsRecords(str(self._path), "holds records already", NOT_RESUMED)
        if tables and not FIRST_SCHEMA <= schema <= SCHEMA:
            problem = f"expected schema {SCHEMA}, was {schema}"
            raise SinkError(str(self._path), problem, LATER)
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            if not tables:
                self._make()
            elif schema < SCHEMA:
                self._widen()
            self._expect(position or {})
            if position is not None:
                self._cut(position.get("seq", -1))

    def _make(self) -> None:
        for kind in KINDS:
            self._base.execute(_table(kind))
        self._base.execute("CREATE TABLE run (name TEXT, seq INTEGER)")
        self._base.execute("INSERT INTO run VALUES (?, -1)", (secrets.token_hex(8),))
        self._base.execute(f"PRAGMA application_id = {APPLICATION}")
        self._base.execute(f"PRAGMA user_version = {SCHEMA}")

    def _widen(self) -> None:
        """Add the columns that are newer than the tables."""
        for kind in KINDS:
            found = self._base.execute(f"PRAGMA table_info({kind})")
            there = {name for _, name, *_ in found}
            for name, column in _columns(kind).items():
                if name not in there:
                    self._base.execute(f"ALTER TABLE {kind} ADD COLUMN {column}")
        self._base.execute(f"PRAGMA user_version = {SCHEMA}")

    def _expect(self, position: Mapping[str, Any]) -> None:
        """Refuse a position of another database, or behind the end of this one."""
        there = self.position()
        name, seq = position.get("database"), position.get("seq", -1)
        if name not in {None, there["database"]}:
            problem = "expected the database of this run, was another"
            raise RecordsLost(str(self._path), problem, ANEW)
        if seq > there["seq"]:
            problem = f"expected records up to {seq}, was {there['seq']}"
            raise RecordsLost(str(self._path), problem, ANEW)

    def _cut(self, seq: int) -> None:
        """Delete the records after an event; by stream, so that the key is used."""
        for kind in KINDS:
            for stream in self._streams(kind):
                self._base.execute(
                    f"DELETE FROM {kind} WHERE stream = ? AND seq > ?",  # noqa: S608 ours
                    (stream, seq),
                )
        self._base.execute("UPDATE run SET seq = ?", (seq,))

    def _streams(self, kind: str) -> list[str]:
        """Find a table's streams by its key: DISTINCT would read the whole table."""
        found: list[str] = []
        question = f"SELECT min(stream) FROM {kind} WHERE stream > ?"  # noqa: S608 ours
        first = self._base.execute(f"SELECT min(stream) FROM {kind}")  # noqa: S608 ours
        while (name := first.fetchone()[0]) is not None:
            found.append(name)
            first = self._base.execute(question, (name,))
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        finally:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            raise SinkError(str(self._path), f"cannot be used: {e}") from e


def _table(kind: str) -> str:
    """Give the SQL statement that makes a kind's table."""
    columns = _columns(kind)
    names = [*(name for name in KEYS if name in columns), *SHARED.get(kind, ())]
    key = ", ".join(names)
    parts = ", ".join([*columns.values(), f"PRIMARY KEY ({key})"])
    return f"CREATE TABLE {kind} ({parts}) WITHOUT ROWID"


def _columns(kind: str) -> dict[str, str]:
    """Give the columns of a kind's table by name, as SQL declares them."""
    hints = get_type_hints(KINDS[kind])
    return {name: f"{name} {TYPES.get(hint, 'TEXT')}" for name, hint in hints.items()}


def _insert(kind: str) -> str:
    fields = KINDS[kind].__struct_fields__
    names, places = ", ".join(fields), ", ".join("?" * len(fields))
    return f"INSERT OR REPLACE INTO {kind} ({names}) VALUES ({places})"  # noqa: S608 ours


def _rows(kind: str, records: Records) -> Iterator[tuple[Any, ...]]:
    fields = KINDS[kind].__struct_fields__
    columns = [
        [_json(value) for value in column] if name in ARRAYS else column
        for name, column in zip(fields, records.lists(kind), strict=True)
    ]
    return zip(*columns, strict=True)


def _json(values: Sequence[float]) -> str | None:
    return msgspec.json.encode(values).decode() if values else None
