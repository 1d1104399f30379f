"""Recovery of a live run: restore the checkpoint, then replay the journal's tail.

Every start takes the same way: a first start has no checkpoint and an empty journal.
The journal is opened and locked first, so that two processes never work on one run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfm_stream.config import of_model
from sfm_stream.daemon.named_sinks import RECORDS, SPILL, named
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError, HoldsRecords, JournalError, RecordsLost
from sfm_stream.events import Block
from sfm_stream.feeds import Source
from sfm_stream.notices import Say, error, info, warning
from sfm_stream.running import homes, loops, room, warm_start
from sfm_stream.running.precompile import prepare
from sfm_stream.settings import Sink as Settings
from sfm_stream.sinks import open_anew, open_sink
from sfm_stream.storage import checkpoint, history, moves, run_folder
from sfm_stream.storage.journal import Journal, unbroken
from sfm_stream.storage.run_folder import Run

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.records import Records
    from sfm_stream.sinks import Chosen

BATCH = 4_096


@dataclass(slots=True)
class Recovered:
    """A run at the end of its journal.

    Attributes:
        run: its folder and settings.
        engine: the engine, after all journalled events.
        journal: its journal, open for appending.
        sinks: sinks by name, the run's own records first; they hold all records so far.
        events: number of events replayed from the journal.
        saved: number of events before the restored checkpoint; 0 without one.
        aside: messages about checkpoints that were set aside at this start.
        lost: messages about lost parts of the journal or of the sinks' records.
        guard: raises `Fenced` if another process has taken the run.
    """

    run: Run
    engine: Engine
    journal: Journal
    sinks: dict[str, Chosen] = field(default_factory=dict)
    events: int = 0
    saved: int = 0
    aside: tuple[str, ...] = ()
    lost: list[str] = field(default_factory=list)
    guard: Callable[[], None] = lambda: None

    def write(self, records: Records) -> None:
        """Write records to every sink, and wait for it.

        Raises:
            SinkError: if a sink could not write them.
            Fenced: if another process has taken the run.
        """
        self.guard()
        for sink in self.sinks.values():
            sink.write(records)


def recover(
    config: Config,
    feed: Source,
    folder: Path,
    *,
    start: Run | None = None,
    say: Say,
    guard: Callable[[], None] = lambda: None,
) -> Recovered:
    """Begin a live run, or restore it to the end of its journal.

    Args:
        config: settings of the process; those of the model must equal the run's.
        feed: the feed, for the fields of its ticks.
        folder: folder of the run; made if absent.
        start: a run to start warm from, if the run is new.
        say: takes messages for people.
        guard: raises `Fenced` if another process has taken the run.

    Raises:
        JournalError: if another process works on the run, or the journal is damaged
            or gone.
        CheckpointMismatch: if the settings of the model differ from the run's.
        ConfigError: if the folder is not of a live run, if fields differ, or if there
            is no such sink.
        SinkError: if a sink cannot be opened.
        RecordsLost: if files of the run's own records are gone that a repair can
            bring back.
    """
    if (folder / run_folder.INFO).exists():
        hint = "start warm from it with --from, in a folder of its own"
        history.expect_live(folder, hint)
    wanted = named(config)
    with ExitStack() as opened:
        journal = opened.enter_context(Journal(folder / "journal", guard=guard))
        guard()
        # replaying the journal recreates the spilled records
        shutil.rmtree(folder / SPILL, ignore_errors=True)
        if journal.cut_bytes and not journal.lost:
            cut = journal.cut_bytes
            say(warning(f"the journal ended in a torn entry: {cut} bytes cut"))
        run, engine = _model(config, feed, folder, start, say, guard)
        prepare(run.config, run.info["fields"], lambda line: say(info(line)))
        lost = [journal.lost] if journal.lost else []
        found = Recovered(run, engine, journal, lost=lost, guard=guard)
        positions = _restored(found, say)
        tail = _tail(journal, engine)
        for name, settings in wanted.items():
            guard()  # opening a sink cuts off later records
            sink = _open(settings, found, positions, name, say)
            found.sinks[name] = opened.enter_context(closing(sink))
        moves.settle(run)
        for block in homes.carried_out(tail, engine, run):
            found.events += len(block)
            loops.step(block, engine, found.write, found.write)
        _expect_end(found)
        opened.pop_all()
    return found


def _model(
    config: Config,
    feed: Source,
    folder: Path,
    start: Run | None,
    say: Say,
    guard: Callable[[], None],
) -> tuple[Run, Engine]:
    """Make a run or load it; give the run and a new engine for it."""
    settings = of_model(config)
    if not (folder / run_folder.INFO).exists():
        room.expect(settings, feed.fields)
        engine = Engine(settings, feed.fields)
        if start is not None:
            warm_start.adopt(engine, start, lambda line: say(warning(line)))
        run = run_folder.create(folder, settings, feed, engine, guard)
        if start is not None:
            guard()
            warm_start.keep(run, engine)
        return run, engine
    run = run_folder.load(folder)
    run_folder.expect_model(folder, run, settings)
    fields = tuple(run.info["fields"])
    if fields != tuple(feed.fields):
        problem = f"expected {list(fields)}, was {list(feed.fields)}"
        raise ConfigError("stream.fields", problem, "a run keeps the fields it has")
    engine = Engine(run.config, fields)
    if run_folder.differences(run, engine.backend):
        told = "this is another machine or version: records may differ in detail"
        say(warning(told))
        guard()
        run = run_folder.note_resumed(run, engine.backend)
    return run, engine


def _restored(found: Recovered, say: Say) -> Mapping[str, Any] | None:
    """Restore the newest good checkpoint; give the sinks' positions, None without one.

    A checkpoint of events that the journal does not hold is renamed and not used again.
    """
    run, position = found.run, found.journal.position
    found.aside = tuple(history.set_aside(run.checkpoints, run.journal, position))
    for line in found.aside:
        say(error(line))
    damaged = lambda line: say(error(line))  # noqa: E731
    held = checkpoint.newest_good(run.checkpoints, damaged)
    if held is None:
        warm_start.restore(run, found.engine)
        return None
    found.engine.restore(held.arrays, held.manifest["engine"])
    found.saved = found.engine.seq
    return {RECORDS: held.manifest["sink"], **held.manifest["sinks"]}


def _tail(journal: Journal, engine: Engine) -> Iterator[Block]:
    """Give the events after the engine's position; read the first block at once.

    So a journal that does not reach back far enough is refused before a sink is cut.
    """
    if journal.position == engine.seq:
        return iter(())
    blocks = journal.blocks(engine.seq, len(engine.fields), BATCH)
    return chain(list(islice(blocks, 1)), blocks)


def _open(
    settings: Settings,
    found: Recovered,
    positions: Mapping[str, Any] | None,
    name: str,
    say: Say,
) -> Chosen:
    """Open a sink at its position in the checkpoint, or anew if its records are gone.

    Without a checkpoint it may hold records of the journal's events; the replay writes
    all of them again. If the checkpoint does not know the sink, its records are set
    aside: it may have been added afterwards, or removed and added again.
    """
    begun = found.journal.position > 0
    if positions is None:
        positions = {name: {}} if begun else {}
    held = positions.get(name)
    tables = {"experts": found.engine.experts}
    try:
        return open_sink(settings, found.run.folder, tables, held)
    except RecordsLost as lost:
        if name == RECORDS and not unbroken(found.run.journal):
            raise  # `repair` brings them back
        problem = f"sink {name}: {lost.path}: {lost.problem}"
    except HoldsRecords as there:
        if name == RECORDS or not begun:
            raise  # a new run does not know whose they are
        problem = f"sink {name}: {there.path}: {there.problem}, which are set aside"
    found.lost.append(f"{problem}; it goes on anew from event {found.engine.seq}")
    say(error(found.lost[-1]))
    return open_anew(settings, found.run.folder, tables)


def _expect_end(found: Recovered) -> None:
    expected, was = found.journal.position, found.engine.seq
    if expected != was:
        problem = f"expected {expected} events, was {was}"
        raise JournalError(str(found.run.journal), problem, "restore it from a copy")
