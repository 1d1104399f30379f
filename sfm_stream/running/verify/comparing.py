"""Compares the records of a run with its replay: exactly, or within tolerances."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sfm_stream import sinks
from sfm_stream.engine import Engine
from sfm_stream.errors import ReplayMismatch
from sfm_stream.records import KINDS

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from sfm_stream.records import Records
    from sfm_stream.storage.run_folder import Run

    Compare: TypeAlias = Callable[[str, int, pl.DataFrame, pl.DataFrame], None]

SPREAD_TOLERANCE = 1e-3
"""Difference allowed under another fingerprint, in deviations of the column."""
RELATIVE_TOLERANCE = 1e-6
"""Difference allowed besides, as a share of the number."""
DECIDED = ("covered",)
"""Columns that compare two numbers; with tolerances they may differ."""
ROWS_AT_ONCE = 65_536


class Comparison:
    """Compares replayed records with the records of a run, in order."""

    def __init__(
        self,
        run: Run,
        engine: Engine,
        before: Mapping[str, int],
        rows: Mapping[str, int],
        compare: Compare,
    ) -> None:
        self._experts = engine.experts
        self._rows = {kind: rows.get(kind, 0) for kind in KINDS}
        self._compare = compare
        self._said = {kind: _Rows(run.records, kind) for kind in KINDS}
        self._before = {kind: before.get(kind, 0) for kind in KINDS}
        self._done = dict(self._before)
        for kind, passed in self._before.items():
            self._said[kind].take(passed)

    def take(self, records: Records) -> None:
        """Compare replayed records with the run's next ones."""
        for kind, frame in _frames(records, self._experts):
            self._take(kind, frame)

    def finish(self) -> dict[str, int]:
        """Expect that the run has no more records; count the compared ones per kind."""
        for kind, rows in self._rows.items():
            done = self._done[kind]
            if done < rows:
                raise ReplayMismatch(kind, done, "seq", "none", "a record")
        return {kind: done - self._before[kind] for kind, done in self._done.items()}

    def _take(self, kind: str, frame: pl.DataFrame) -> None:
        done = self._done[kind]
        if done + len(frame) > self._rows[kind]:
            raise ReplayMismatch(kind, self._rows[kind], "seq", "a record", "none")
        for part in frame.iter_slices(ROWS_AT_ONCE):
            said = self._said[kind].take(len(part))
            self._compare(kind, done, said, part)
            done += len(part)
        self._done[kind] = done


class _Rows:
    """Reads the records of a kind in order, in pieces of any size."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._parts = sinks.read(folder, kind)
        self._rest: pl.DataFrame | None = None

    def take(self, count: int) -> pl.DataFrame:
        """Give the next `count` rows, or all that are left."""
        import polars as pl

        found: list[pl.DataFrame] = []
        while count > 0:
            rest = next(self._parts, None) if self._rest is None else self._rest
            if rest is None:
                break
            found.append(rest[:count])
            self._rest = rest[count:] if len(rest) > count else None
            count -= len(found[-1])
        return pl.concat(found) if found else pl.DataFrame()


def _frames(
    records: Records, experts: tuple[str, ...]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield records as they read back from files, so that both sides are alike."""
    with tempfile.TemporaryDirectory(prefix="sfm-stream-") as folder:
        sink = sinks.ParquetSink(Path(folder), {"experts": experts})
        sink.write(records)
        sink.close()
        for kind in KINDS:
            for frame in sinks.read(Path(folder), kind):
                yield kind, frame


def identical(kind: str, row: int, said: pl.DataFrame, was: pl.DataFrame) -> None:
    """Expect equal rows to the last bit; NaN equals NaN.

    Raises:
        ReplayMismatch: naming the first row, and its first column, that differs.
    """
    if not said.equals(was):
        _expect(kind, row, said, was, _unequal)


class Tolerances:
    """Compares rows like `identical`, but numbers within the tolerances of this module.

    A tolerance is relative to a column's deviation over the whole run: over a quiet
    stretch alone the deviation would be almost 0.

    Args:
        folder: folder of the run's records.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spreads: dict[str, dict[str, float]] = {}

    def __call__(
        self, kind: str, row: int, said: pl.DataFrame, was: pl.DataFrame
    ) -> None:
        """Expect equal rows.

        Raises:
            ReplayMismatch: naming the first row and column that differ by more.
        """
        if kind not in self._spreads:
            self._spreads[kind] = _spreads(sinks.read(self._folder, kind))
        spreads = self._spreads[kind]

        def far(name: str, said: pl.Series, was: pl.Series) -> pl.Series:
            return _far(said, was, spreads.get(name, 0.0))

        said, was = (frame.drop(DECIDED, strict=False) for frame in (said, was))
        _expect(kind, row, said, was, far)


def _spreads(frames: Iterable[pl.DataFrame]) -> dict[str, float]:
    """Give the standard deviation of the finite values of each column of floats."""
    moments: dict[str, _Moments] = {}
    for frame in frames:
        for name, column in _flat(frame).items():
            if column.dtype.is_float():
                found = moments.setdefault(name, _Moments())
                found.add(column.drop_nulls().to_numpy().astype(np.float64))
    return {name: found.deviation() for name, found in moments.items()}


class _Moments:
    """Running count, mean and sum of squared deviations."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Add values (Chan, Golub and LeVeque, 1983)."""
        values = values[np.isfinite(values)]
        if not len(values):
            return
        count, mean = self._count + len(values), float(values.mean())
        moved = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum())
        self._squares += moved**2 * self._count * len(values) / count
        self._mean += moved * len(values) / count
        self._count = count

    def deviation(self) -> float:
        """Give the standard deviation; 0 without values."""
        return float(np.sqrt(self._squares / self._count)) if self._count else 0.0


def _expect(
    kind: str,
    row: int,
    said: pl.DataFrame,
    was: pl.DataFrame,
    differ: Callable[[str, pl.Series, pl.Series], pl.Series],
) -> None:
    if len(said) < len(was):
        raise ReplayMismatch(kind, row + len(said), "seq", "a record", "none")
    columns, now = _flat(said), _flat(was)
    if columns.keys() != now.keys():
        raise ReplayMismatch(kind, row, "*", list(now), list(columns))
    first = [
        (differing.arg_max(), name)
        for name, column in columns.items()
        if (differing := differ(name, column, now[name])).any()
    ]
    if first:
        at, name = min(first, key=lambda found: found[0] or 0)
        at = at or 0
        raise ReplayMismatch(kind, row + at, name, now[name][at], columns[name][at])


def _flat(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Split into columns of scalars: enums as texts, arrays by element."""
    import polars as pl

    found: dict[str, pl.Series] = {}
    for column in frame:
        if isinstance(column.dtype, pl.Array):
            for i in range(column.dtype.size):
                found[f"{column.name}[{i}]"] = column.arr.get(i)
        elif isinstance(column.dtype, pl.Enum):
            found[column.name] = column.cast(pl.String)
        else:
            found[column.name] = column
    return found


def _unequal(_: str, said: pl.Series, was: pl.Series) -> pl.Series:
    return said.ne_missing(was)


def _far(said: pl.Series, was: pl.Series, spread: float) -> pl.Series:
    import polars as pl

    if not said.dtype.is_float():
        return said.ne_missing(was)
    before, now = (c.cast(pl.Float64).fill_null(np.nan).to_numpy() for c in (said, was))
    near = np.isclose(
        now,
        before,
        rtol=RELATIVE_TOLERANCE,
        atol=SPREAD_TOLERANCE * spread,
        equal_nan=True,
    )
    return pl.Series(~near)
