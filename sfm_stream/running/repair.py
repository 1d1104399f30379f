"""Rebuilds the records of a run from its events, when files of records are lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfm_stream import sinks
from sfm_stream.engine import Engine
from sfm_stream.errors import CheckpointError, JournalError, SinkError
from sfm_stream.running import homes, warm_start
from sfm_stream.running.loops import run_blocks
from sfm_stream.running.precompile import prepare
from sfm_stream.running.replay import SILENT, Watch
from sfm_stream.running.verify import blocks_of, first, misfit
from sfm_stream.storage import atomic, checkpoint, journal, run_folder

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed
    from sfm_stream.storage.run_folder import Run

REBUILT, DAMAGED = "records.rebuilt", "records.damaged"


def repair(
    run: Run, open_feed: Callable[[Config], Feed], *, watch: Watch = SILENT
) -> dict[str, int]:
    """Replay a run up to its newest checkpoint, and replace its records.

    The old folder is kept as `records.damaged-<n>`.

    Args:
        run: a run that no process works on.
        open_feed: opens the feed of its settings; not called for a live run, which has
            a journal.
        watch: informed about the progress.

    Returns:
        Number of records, per kind.

    Raises:
        JournalError: if a process works on a live run, or the journal does not reach
            back to its first event.
        CheckpointError: if the run has no checkpoint that can be read.
        SourceChanged: if the source differs from the source of the run.
        SinkError: if a process works on a run without a journal; if the records cannot
            be written, or their number differs from the checkpoint's.
    """
    with ExitStack() as opened:
        if run.journal.is_dir():
            opened.enter_context(journal.Journal(run.journal))
            _expect_beginning(run)
        else:
            opened.enter_context(run_folder.held(run.folder))
        held = checkpoint.newest_good(run.checkpoints, watch.say, misfit(run))
        if held is None:
            path, hint = str(run.checkpoints), "resume the run"
            raise CheckpointError(path, "expected a checkpoint, was none", hint)
        engine = Engine(run.config, run.info["fields"])
        warm_start.restore(run, engine)
        prepare(run.config, run.info["fields"], watch.say)
        sink = _rebuilding(run, engine)
        blocks = first(int(held.manifest["seq"]), blocks_of(run, 0, open_feed))
        blocks = homes.carried_out(blocks, engine, run)
        run_blocks(blocks, engine, sink.write, lambda: watch.progress(engine.seq))
        sink.close()
        rows: dict[str, int] = sink.position()["rows"]
        was = held.manifest["sink"]
        _expect_rows(run, rows, Counter(was["rows"]) + Counter(was.get("lost", {})))
        if was.get("lost"):  # the checkpoint counts rows since a later beginning
            _save_at(run, held, sink.position())
        _exchange(run, watch.say)
    return rows


def _expect_beginning(run: Run) -> None:
    since = journal.unbroken(run.journal)
    if since:
        problem = f"expected events from 0 on, first was {since}"
        hint = "start a new run, warm from this one with --from"
        raise JournalError(str(run.journal), problem, hint)


def _rebuilding(run: Run, engine: Engine) -> sinks.ParquetSink:
    """Open an empty folder for records beside the run's own."""
    # an empty position drops the records of a repair that was stopped
    return sinks.ParquetSink(run.folder / REBUILT, {"experts": engine.experts}, {})


def _expect_rows(run: Run, rows: dict[str, int], expected: Counter[str]) -> None:
    if rows != expected:
        problem = f"expected {dict(expected)} records as the checkpoint has, was {rows}"
        hint = "repair it with the version and on the kind of machine that wrote it"
        raise SinkError(str(run.folder / REBUILT), problem, hint)


def _save_at(run: Run, held: checkpoint.Snapshot, position: dict[str, Any]) -> None:
    """Save the checkpoint again, with the position of the rebuilt records."""
    ours = {k: v for k, v in held.manifest.items() if k not in checkpoint.OURS}
    seq, manifest = int(held.manifest["seq"]), {**ours, "sink": position}
    keep = len(list(run.checkpoints.iterdir()))
    checkpoint.save(run.checkpoints, seq, held.arrays, manifest, keep)


def _exchange(run: Run, say: Callable[[str], None]) -> None:
    """Replace the run's records with the rebuilt ones."""
    damaged = atomic.unused(str(run.folder / DAMAGED))
    try:
        if run.records.exists():
            run.records.rename(damaged)
            say(f"the records from before are in {damaged}")
        Path(run.folder / REBUILT).rename(run.records)
        atomic.sync(run.folder)
    except OSError as e:
        raise SinkError(str(run.records), *atomic.explain(e)) from e
