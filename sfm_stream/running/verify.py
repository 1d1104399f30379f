"""Replay a run from its beginning and compare, record by record, in bounded memory.

Where version, settings, backend and processor are those of the run, every record must
be the same to the last bit. Elsewhere numbers may differ a little, for the order of
sums and the instructions differ; how little is written below.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sfm_stream import sinks
from sfm_stream.engine import Engine
from sfm_stream.errors import CheckpointError, ReplayMismatch
from sfm_stream.events import Block
from sfm_stream.records import KINDS
from sfm_stream.running import homes, warm_start
from sfm_stream.running.loops import run_blocks
from sfm_stream.running.precompile import prepare
from sfm_stream.running.replay import SILENT, Watch
from sfm_stream.storage import checkpoint, history, journal, moves, run_folder

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed
    from sfm_stream.records import Records
    from sfm_stream.storage.checkpoint import Misfit
    from sfm_stream.storage.moves import Departure
    from sfm_stream.storage.run_folder import Run

    Compare: TypeAlias = Callable[[str, int, pl.DataFrame, pl.DataFrame], None]

SPREAD_TOLERANCE = 1e-3
"""Allowed under another fingerprint, in standard deviations of the column."""
RELATIVE_TOLERANCE = 1e-6
"""Allowed besides, as a share of the number itself."""
DECIDED = ("covered",)
"""What is decided by comparing numbers may fall the other way within tolerances."""
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found to be the same.

    Attributes:
        events: number of events replayed.
        records: number of records compared, per kind.
        differences: of the fingerprints, name to (in the run, now); when there are
            none, the records are identical, else they agree within tolerances.
    """

    events: int
    records: Mapping[str, int]
    differences: Mapping[str, tuple[Any, Any]]


def verify(
    run: Run, open_feed: Callable[[Config], Feed], *, watch: Watch = SILENT
) -> Verdict:
    """Replay a run up to its newest checkpoint and compare all records.

    Where a live run's journal does not reach back to the start, because old segments
    were deleted or a full disk left a hole, it is replayed from the oldest checkpoint
    that all later events are there for.

    Args:
        run: to be verified.
        open_feed: opens the feed of its settings; not called for a live run, which has
            a journal.
        watch: told how it gets on.

    Raises:
        ReplayMismatch: at the first difference.
        SourceChanged: if the source is not the one the run was made from.
        CheckpointError: if the run has no checkpoint that can be read.
        SinkError: if its records cannot be read.
    """
    held = checkpoint.newest_good(run.checkpoints, watch.say, misfit(run))
    if held is None:
        path = str(run.checkpoints)
        raise CheckpointError(path, "expected a checkpoint, was none", "resume the run")
    engine = Engine(run.config, run.info["fields"])
    before = _begin(run, engine, watch)
    began = engine.seq
    prepare(run.config, run.info["fields"], watch.say)
    differences = run_folder.differences(run, engine.backend)
    compare = _Tolerances(run.records) if differences else _identical
    rows = held.manifest["sink"]["rows"]
    comparison = _Comparison(run, engine, before, rows, compare)

    def after_block() -> None:
        watch.progress(engine.seq)

    events = int(held.manifest["seq"]) - began
    given = first(events, blocks_of(run, began, open_feed))
    seen = partial(_expect_kept, run, bool(differences))
    blocks = homes.carried_out(given, engine, run, seen)
    run_blocks(blocks, engine, comparison.take, after_block)
    counted = engine.seq - began
    # what left since the checkpoint must have arrived as it left
    last = max((one.seq for one in moves.departures(run)), default=0)
    given = first(last - engine.seq, blocks_of(run, engine.seq, open_feed))
    blocks = homes.carried_out(given, engine, run, seen)
    run_blocks(blocks, engine, lambda _: None, after_block)
    return Verdict(counted, comparison.finish(), differences)


def misfit(run: Run) -> Misfit:
    """Give what says why a checkpoint is not of the run's journal."""
    if not run.journal.is_dir():
        return lambda _: ""
    return history.misfit(run.journal, journal.end(run.journal))


def _begin(run: Run, engine: Engine, watch: Watch) -> Mapping[str, int]:
    """Bring an engine to where the replay can begin; give the rows written before."""
    since = journal.unbroken(run.journal) if run.journal.is_dir() else 0
    if since == 0:
        warm_start.restore(run, engine)
        return {}
    held = checkpoint.oldest_good(run.checkpoints, watch.say, since, misfit(run))
    if held is None:
        path, problem = str(run.checkpoints), f"expected a checkpoint after {since}"
        raise CheckpointError(path, f"{problem} events, was none", "let it run on")
    engine.restore(held.arrays, held.manifest["engine"])
    watch.say(f"the journal begins at event {since}: verified from {engine.seq} on")
    rows: Mapping[str, int] = held.manifest["sink"]["rows"]
    return rows


def blocks_of(
    run: Run, began: int, open_feed: Callable[[Config], Feed]
) -> Iterator[Block]:
    """Give a run's events after so many: from its journal, or else its feed."""
    size = run.config.run.block
    if run.journal.is_dir():
        events = journal.read(run.journal, began)
        while batch := list(islice(events, size)):
            yield Block.of(batch, len(run.info["fields"]))
    else:
        feed = open_feed(run.config)
        run_folder.expect_source(run, feed)
        yield from feed.blocks(size)


def first(count: int, blocks: Iterator[Block]) -> Iterator[Block]:
    """Give as many events, and read no further: there the run may have met an error."""
    while count > 0 and (block := next(blocks, None)) is not None:
        yield block[:count]
        count -= len(block)


def _expect_kept(
    run: Run, differs: bool, departure: Departure, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Expect that streams came to their new home with what they left with.

    Raises:
        ReplayMismatch: if an array differs.
        CheckpointCorrupt: if what they came with cannot be read.
    """
    home = run.folder / departure.home.run
    came = moves.brought(run_folder.load(home), departure.home.seq)
    for name, left in arrays.items():
        real = left.dtype.kind == "f"
        near = (
            differs
            and real
            and np.allclose(
                left, came[name], RELATIVE_TOLERANCE, SPREAD_TOLERANCE, equal_nan=True
            )
        )
        if not (near or np.array_equal(left, came[name], equal_nan=real)):
            streams, seq = ", ".join(departure.streams), departure.seq
            where = f"another in {home.resolve()}"
            raise ReplayMismatch(f"move of {streams}", seq, name, "as it left", where)


class _Comparison:
    """What is replayed, beside what the run says."""

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
        """Expect that the run has no more to say, and count what was compared."""
        for kind, rows in self._rows.items():
            done = self._done[kind]
            if done < rows:
                raise ReplayMismatch(kind, done, "seq", "a record", "none")
        return {kind: done - self._before[kind] for kind, done in self._done.items()}

    def _take(self, kind: str, frame: pl.DataFrame) -> None:
        done = self._done[kind]
        if done + len(frame) > self._rows[kind]:
            raise ReplayMismatch(kind, self._rows[kind], "seq", "none", "a record")
        for part in frame.iter_slices(ROWS_AT_ONCE):
            said = self._said[kind].take(len(part))
            self._compare(kind, done, said, part)
            done += len(part)
        self._done[kind] = done


class _Rows:
    """The records of a kind, some at a time, in order."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._parts = sinks.read(folder, kind)
        self._rest: pl.DataFrame | None = None

    def take(self, count: int) -> pl.DataFrame:
        """Give the next rows: as many as asked for, or all there are."""
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
    """Give records as they come back from a run's files, for so they are compared."""
    with tempfile.TemporaryDirectory(prefix="sfm-stream-") as folder:
        sink = sinks.ParquetSink(Path(folder), {"experts": experts})
        sink.write(records)
        sink.close()
        for kind in KINDS:
            for frame in sinks.read(Path(folder), kind):
                yield kind, frame


def _identical(kind: str, row: int, said: pl.DataFrame, was: pl.DataFrame) -> None:
    """Expect the same rows to the last bit; NaN is NaN.

    Raises:
        ReplayMismatch: at the first row, and its first column, that differs.
    """
    if not said.equals(was):
        _expect(kind, row, said, was, _unequal)


class _Tolerances:
    """Compares rows as `_identical` does, numbers within the tolerances of this module.

    They are of a column's deviation over the whole run: over a quiet stretch alone it
    would be next to nothing.

    Args:
        folder: of the run's records.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spreads: dict[str, dict[str, float]] = {}

    def __call__(
        self, kind: str, row: int, said: pl.DataFrame, was: pl.DataFrame
    ) -> None:
        """Expect the same rows.

        Raises:
            ReplayMismatch: at the first row and column that differ by more.
        """
        if kind not in self._spreads:
            self._spreads[kind] = _spreads(sinks.read(self._folder, kind))
        spreads = self._spreads[kind]

        def far(name: str, said: pl.Series, was: pl.Series) -> pl.Series:
            return _far(said, was, spreads.get(name, 0.0))

        said, was = (frame.drop(DECIDED, strict=False) for frame in (said, was))
        _expect(kind, row, said, was, far)


def _spreads(frames: Iterable[pl.DataFrame]) -> dict[str, float]:
    """Give the standard deviation of each column of reals, of its finite values."""
    moments: dict[str, _Moments] = {}
    for frame in frames:
        for name, column in _flat(frame).items():
            if column.dtype.is_float():
                found = moments.setdefault(name, _Moments())
                found.add(column.drop_nulls().to_numpy().astype(np.float64))
    return {name: found.deviation() for name, found in moments.items()}


class _Moments:
    """Count, mean and squared deviations of values that come in parts."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Take in a part (Chan, Golub and LeVeque, 1983)."""
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
        """Give the standard deviation, 0 without values."""
        return float(np.sqrt(self._squares / self._count)) if self._count else 0.0


def _expect(
    kind: str,
    row: int,
    said: pl.DataFrame,
    was: pl.DataFrame,
    differ: Callable[[str, pl.Series, pl.Series], pl.Series],
) -> None:
    if len(said) < len(was):
        raise ReplayMismatch(kind, row + len(said), "seq", "none", "a record")
    columns, now = _flat(said), _flat(was)
    if columns.keys() != now.keys():
        raise ReplayMismatch(kind, row, "*", list(columns), list(now))
    first = [
        (differing.arg_max(), name)
        for name, column in columns.items()
        if (differing := differ(name, column, now[name])).any()
    ]
    if first:
        at, name = min(first, key=lambda found: found[0] or 0)
        at = at or 0
        raise ReplayMismatch(kind, row + at, name, columns[name][at], now[name][at])


def _flat(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Give columns of single values: texts as such, arrays one column per place."""
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
