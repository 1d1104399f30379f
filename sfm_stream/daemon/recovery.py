"""How a daemon returns to where it was: checkpoint, the journal's tail, then live.

There is one way to start, whatever came before: a first start has no checkpoint and an
empty journal. The journal is opened first, and its lock held, so that two processes
never work on one run.
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
from sfm_stream.errors import ConfigError, JournalError, RecordsLost
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
        engine: has observed all that was journalled.
        journal: open for more.
        sinks: by name, the run's own records first; they hold what the engine said.
        events: how many events were taken from the journal.
        saved: events that the checkpoint begun with was taken after; 0 without one.
        aside: the checkpoints that were set aside at this start, and why.
        lost: what is gone of the journal or the sinks' records, each in words.
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
        """Hand records to every sink, and wait for it.

        Raises:
            SinkError: if one could not take them.
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
    """Begin a live run, or come back to where it was.

    Args:
        config: of the process; what decides the model must be the run's.
        feed: which fields ticks have.
        folder: of the run; made if absent.
        start: a run that a new one starts warm from.
        say: told what a person should know.
        guard: raises `Fenced` if another process has taken the run.

    Raises:
        JournalError: if another process works on the run, or the journal is damaged
            or gone.
        CheckpointMismatch: if the settings are not those of the run.
        ConfigError: if the folder is not one of a live run, if fields differ, or if
            there is no such sink.
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
            guard()  # opening a sink cuts off what came later
            sink = _open(settings, found, positions, name, say)
            found.sinks[name] = opened.enter_context(closing(sink))
        moves.settle(run)
        for block in homes.carried_out(tail, engine, run):
            found.events += len(block)
            loops.step(block, engine, found.write)
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
    """Make a run and its engine, or load the run and make an engine for it."""
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


def _restored(found: Recovered, say: Say) -> Mapping[str, Any]:
    """Bring the engine to the newest good checkpoint; give the sinks' positions.

    A checkpoint of events that the journal does not hold is set aside for good.
    """
    run, position = found.run, found.journal.position
    found.aside = tuple(history.set_aside(run.checkpoints, run.journal, position))
    for line in found.aside:
        say(error(line))
    damaged = lambda line: say(error(line))  # noqa: E731
    held = checkpoint.newest_good(run.checkpoints, damaged)
    if held is None:
        warm_start.restore(run, found.engine)
        return {}
    found.engine.restore(held.arrays, held.manifest["engine"])
    found.saved = found.engine.seq
    return {RECORDS: held.manifest["sink"], **held.manifest["sinks"]}


def _tail(journal: Journal, engine: Engine) -> Iterator[Block]:
    """Give the events after the engine's, the first of them read already.

    So a journal that does not reach back far enough is refused before any sink is cut.
    """
    if journal.position == engine.seq:
        return iter(())
    blocks = journal.blocks(engine.seq, len(engine.fields), BATCH)
    return chain(list(islice(blocks, 1)), blocks)


def _open(
    settings: Settings,
    found: Recovered,
    positions: Mapping[str, Any],
    name: str,
    say: Say,
) -> Chosen:
    """Open a sink where the checkpoint left it, or anew if what it had is gone.

    Without a checkpoint it may hold records of the journal's events; the replay writes
    all of them again.
    """
    held = positions.get(name)
    if held is None and not found.saved and found.journal.position:
        held = {}
    tables = {"experts": found.engine.experts}
    try:
        return open_sink(settings, found.run.folder, tables, held)
    except RecordsLost as lost:
        if name == RECORDS and not unbroken(found.run.journal):
            raise  # a repair brings them back
        problem = f"sink {name}: {lost.path}: {lost.problem}"
    found.lost.append(f"{problem}; it goes on anew from event {found.engine.seq}")
    say(error(found.lost[-1]))
    return open_anew(settings, found.run.folder, tables)


def _expect_end(found: Recovered) -> None:
    expected, was = found.journal.position, found.engine.seq
    if expected != was:
        problem = f"expected {expected} events, was {was}"
        raise JournalError(str(found.run.journal), problem, "restore it from a copy")
