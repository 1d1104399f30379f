"""The backtest: reads the ticks of a file, writes a run with records and a summary.

A checkpoint holds the engine's state and the sink's position after the same event, so a
run that was stopped, or ran out of disk, resumes without a difference.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfm_stream import sinks
from sfm_stream.engine import Engine
from sfm_stream.errors import FeedError
from sfm_stream.feeds import Explained
from sfm_stream.running import judgement, metrics, room, warm_start
from sfm_stream.running.loops import cut, run_blocks
from sfm_stream.running.precompile import prepare
from sfm_stream.running.rss import peak_rss_mib
from sfm_stream.sinks.behind import Behind
from sfm_stream.state import periods
from sfm_stream.storage import checkpoint, run_folder

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed
    from sfm_stream.storage.run_folder import Run


@dataclass(frozen=True, slots=True)
class Watch:
    """Receives messages and progress of a run.

    Attributes:
        say: takes a line for the user.
        progress: takes the number of processed events, after each block.
    """

    say: Callable[[str], None] = lambda _: None
    progress: Callable[[int], None] = lambda _: None


SILENT = Watch()


def replay(
    config: Config,
    feed: Feed,
    out: Path,
    *,
    start: Run | None = None,
    watch: Watch = SILENT,
) -> dict[str, Any]:
    """Make a new run of all ticks of a feed.

    Args:
        config: settings of the run.
        feed: the feed, opened with these settings.
        out: folder of the run.
        start: a run, to start warm from its newest checkpoint.
        watch: informed about the progress.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        FeedError: if the feed cannot be read further; the ticks before are recorded,
            checkpointed and summarised.
        SinkError: if another process uses the folder, it holds other files, or records
            cannot be written; `resume` continues from the last checkpoint.
        CheckpointError: if a checkpoint cannot be written or used.
        KeyboardInterrupt: if interrupted, after a checkpoint.
    """
    run_folder.expect_free(out)
    room.expect(config, feed.fields)
    engine = Engine(config, feed.fields)
    if start is not None:
        warm_start.adopt(engine, start, watch.say)
    with run_folder.held(out):
        run = run_folder.create(out, config, feed, engine)
        if start is not None:
            warm_start.keep(run, engine)
        sink = sinks.ParquetSink(run.records, {"experts": engine.experts})
        return _Session(run, engine, Behind(sink), feed, watch).carry_out()


def resume(run: Run, feed: Feed, *, watch: Watch = SILENT) -> dict[str, Any]:
    """Continue a run from its newest good checkpoint.

    Args:
        run: a run that was stopped, or whose source ended in an error.
        feed: the feed, opened with the run's settings.
        watch: informed about the progress.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        SourceChanged: if the source differs from the source of the run.
        FeedError, SinkError, CheckpointError, KeyboardInterrupt: as in `replay`.
    """
    run_folder.expect_source(run, feed)
    with run_folder.held(run.folder):
        return _resumed(run, feed, watch).carry_out()


def _resumed(run: Run, feed: Feed, watch: Watch) -> _Session:
    """Restore a run from its newest good checkpoint."""
    engine = Engine(run.config, feed.fields)
    if run_folder.differences(run, engine.backend):
        watch.say("this is another machine or version: records may differ in detail")
        run = run_folder.note_resumed(run, engine.backend)
    held = checkpoint.newest_good(run.checkpoints, watch.say)
    position, seconds = {}, 0.0
    if held is not None:
        engine.restore(held.arrays, held.manifest["engine"])
        position, seconds = held.manifest["sink"], held.manifest["seconds"]
    else:
        warm_start.restore(run, engine)
    tables = {"experts": engine.experts}
    sink = sinks.ParquetSink(run.records, tables, position)
    return _Session(run, engine, Behind(sink), feed, watch, seconds)


class _Session:
    """A run from its present position to the end of its feed."""

    def __init__(
        self,
        run: Run,
        engine: Engine,
        sink: Behind,
        feed: Feed,
        watch: Watch,
        seconds: float = 0.0,
    ) -> None:
        self._run, self._engine, self._sink = run, engine, sink
        self._feed, self._watch = feed, watch
        self._seconds = seconds

    def carry_out(self) -> dict[str, Any]:
        """Feed the remaining events to the engine, and summarise the run."""
        # compile before the clock starts: it does not count as the model's pace
        prepare(self._run.config, self._feed.fields, self._watch.say)
        self._begun = time.perf_counter() - self._seconds
        try:
            with _interruptible() as is_interrupted:
                self._feed_blocks(is_interrupted)
        except FeedError:
            self._summarise()
            raise
        if is_interrupted():
            self._save()
            self._sink.flush()
            raise KeyboardInterrupt
        return self._summarise()

    def _feed_blocks(self, is_interrupted: Callable[[], bool]) -> None:
        engine, settings = self._engine, self._run.config.run
        every = settings.checkpoint_every
        blocks = cut(self._feed.blocks(settings.block, engine.seq), engine.seq, every)
        going = takewhile(lambda _: not is_interrupted(), blocks)
        run_blocks(going, engine, self._sink.write, self._after_block)

    def _after_block(self) -> None:
        self._watch.progress(self._engine.seq)
        if self._engine.seq % self._run.config.run.checkpoint_every == 0:
            self._save()

    def _save(self) -> None:
        """Take a snapshot; it is saved once the records before it are on disk."""
        arrays, meta = self._engine.snapshot()
        seconds = time.perf_counter() - self._begun
        folder, seq = self._run.checkpoints, self._engine.seq

        def keep(position: Mapping[str, Any]) -> None:
            told = {"engine": meta, "sink": position, "seconds": seconds}
            checkpoint.save(folder, seq, arrays, told)

        self._sink.mark(keep)

    def _summarise(self) -> dict[str, Any]:
        self._save()
        self._sink.close()
        seconds = time.perf_counter() - self._begun
        rejected = self._sink.position()["rows"].get("rejected", 0)
        run, engine = self._run, self._engine
        summary = _summary(run, engine, seconds, rejected)
        summary["account"] = judgement.of_run(
            run.records, self._feed, run.config, summary["ticks"], engine.seq
        )
        summary["remarks"] = judgement.remarks(
            run.records, run.config, engine.fields, engine.ticks, summary
        )
        notes = self._feed.notes if isinstance(self._feed, Explained) else ()
        summary["notes"] = list(notes)
        run_folder.write(
            self._run.folder / run_folder.SUMMARY, run_folder.to_json(summary)
        )
        return summary


def _summary(run: Run, engine: Engine, seconds: float, rejected: int) -> dict[str, Any]:
    ticks = sum(engine.ticks.values())
    first = metrics.first_scored(run.config.run.warmup, engine.ticks)
    scored = metrics.fold_scores(run.records, first)
    return {
        "target": list(engine.targets),
        "fields": list(engine.fields),
        "ticks": ticks,
        "seconds": seconds,
        "ticks_per_s": ticks / seconds,
        "rejected": rejected,
        "horizons": scored.pop("horizons"),
        "experts": _mean_weights(run.records, engine.experts),
        "period": _periods(engine),
        "peak_rss_mib": peak_rss_mib(),
        **scored,
    }


def _periods(engine: Engine) -> dict[str, dict[str, int]]:
    """Give the detected periods, in ticks, per target and stream."""
    memory = engine.config.features.scale
    return periods.found(engine.view, engine.targets, engine.ticks, memory)


def _mean_weights(records: Path, experts: Iterable[str]) -> dict[str, float | None]:
    """Average the experts' weights over all forecasts, part by part."""
    names = {f"weight_{expert}": expert for expert in experts}
    sums, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for part in sinks.read(records, "forecasts", list(names)):
        for name in names:
            column = part[name].drop_nulls()
            sums[name] += float(column.sum())
            counts[name] += len(column)
    return {
        expert: sums[name] / counts[name] if counts[name] else None
        for name, expert in names.items()
    }


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Note the first interrupt instead of raising it, so that the block is finished."""
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set  # only the main thread receives signals
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        del number, frame
        noted.set()
        signal.signal(signal.SIGINT, before)  # a second interrupt ends the run at once

    signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
