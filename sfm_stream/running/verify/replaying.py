"""Replays a run, and compares its records and moves with the replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.engine import Engine
from sfm_stream.errors import CheckpointError, ReplayMismatch
from sfm_stream.events import Block
from sfm_stream.running import homes, warm_start
from sfm_stream.running.loops import run_blocks
from sfm_stream.running.precompile import prepare
from sfm_stream.running.replay import SILENT, Watch
from sfm_stream.running.verify.comparing import (
    RELATIVE_TOLERANCE,
    SPREAD_TOLERANCE,
    Comparison,
    Tolerances,
    identical,
)
from sfm_stream.storage import checkpoint, history, journal, moves, run_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed
    from sfm_stream.storage.checkpoint import Misfit
    from sfm_stream.storage.moves import Departure
    from sfm_stream.storage.run_folder import Run


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification without a mismatch.

    Attributes:
        events: number of events replayed.
        records: number of records compared, per kind.
        differences: parts of the fingerprint that differ, name to (in the run, now).
            Without a difference the records are identical, else they agree within
            tolerances.
        unchecked: number of events of the journal after the newest checkpoint, whose
            records were not compared.
    """

    events: int
    records: Mapping[str, int]
    differences: Mapping[str, tuple[Any, Any]]
    unchecked: int = 0


def verify(
    run: Run, open_feed: Callable[[Config], Feed], *, watch: Watch = SILENT
) -> Verdict:
    """Replay a run up to its newest checkpoint and compare all records.

    If a live run's journal does not reach back to the start, because old segments were
    deleted or a full disk left a hole, the replay begins at the oldest checkpoint after
    which no event is missing.

    Args:
        run: the run.
        open_feed: opens the feed of its settings; not called for a live run, which has
            a journal.
        watch: informed about the progress.

    Raises:
        ReplayMismatch: naming the first difference.
        SourceChanged: if the source differs from the source of the run.
        CheckpointError: if the run has no checkpoint that can be read.
        SinkError: if its records cannot be read.
    """
    held = checkpoint.newest_good(run.checkpoints, watch.say, misfit(run))
    if held is None:
        path = str(run.checkpoints)
        hint = "let the run go on, or resume it if it was stopped"
        raise CheckpointError(path, "expected a checkpoint, was none", hint)
    engine = Engine(run.config, run.info["fields"])
    before = _begin(run, engine, watch)
    began = engine.seq
    prepare(run.config, run.info["fields"], watch.say)
    differences = run_folder.differences(run, engine.backend)
    compare = Tolerances(run.records) if differences else identical
    rows = held.manifest["sink"]["rows"]
    comparison = Comparison(run, engine, before, rows, compare)

    def after_block() -> None:
        watch.progress(engine.seq)

    events = int(held.manifest["seq"]) - began
    given = first(events, blocks_of(run, began, open_feed))
    seen = partial(_expect_kept, run, bool(differences))
    blocks = homes.carried_out(given, engine, run, seen)
    run_blocks(blocks, engine, comparison.take, after_block)
    counted = engine.seq - began
    # streams that left after the checkpoint must have arrived with the same state
    last = max((one.seq for one in moves.departures(run)), default=0)
    given = first(last - engine.seq, blocks_of(run, engine.seq, open_feed))
    blocks = homes.carried_out(given, engine, run, seen)
    run_blocks(blocks, engine, lambda _: None, after_block)
    there = journal.end(run.journal) if run.journal.is_dir() else 0
    unchecked = max(0, there - int(held.manifest["seq"]))
    return Verdict(counted, comparison.finish(), differences, unchecked)


def misfit(run: Run) -> Misfit:
    """Give a function that says why a checkpoint does not fit the run's journal."""
    if not run.journal.is_dir():
        return lambda _: ""
    return history.misfit(run.journal, journal.end(run.journal))


def _begin(run: Run, engine: Engine, watch: Watch) -> Mapping[str, int]:
    """Restore an engine for the start of the replay; give the rows written before."""
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
    """Yield a run's events from a position on: from its journal, or else its feed."""
    size = run.config.run.block
    if run.journal.is_dir():
        width = len(run.info["fields"])
        yield from journal.blocks(run.journal, began, width, size)
    else:
        feed = open_feed(run.config)
        run_folder.expect_source(run, feed)
        yield from feed.blocks(size)


def first(count: int, blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield `count` events and read no further: the feed may fail after them."""
    while count > 0 and (block := next(blocks, None)) is not None:
        yield block[:count]
        count -= len(block)


def _expect_kept(
    run: Run, differs: bool, departure: Departure, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Expect that streams arrived in their new run with the state they left with.

    Raises:
        ReplayMismatch: if an array differs.
        CheckpointCorrupt: if the state that arrived cannot be read.
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
