"""Moves streams from one run to another, while no process works on either.

    old run     journals a gap for each stream, which voids its pending forecasts
    new run     stores the state of the streams, then journals a marker: the move counts
    both        the next start and every replay find the move in the journals

If it stops at any step, the move has happened in both runs or in neither; it is safe to
run it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfm_stream.cluster.shards import Shard, folder, key_of, owner
from sfm_stream.engine import Engine, handover
from sfm_stream.errors import CheckpointMismatch, ConfigError, amount
from sfm_stream.events import Block, Gap
from sfm_stream.running import homes, warm_start
from sfm_stream.running.precompile import prepare
from sfm_stream.storage import checkpoint, epoch, history, lock, moves, run_folder
from sfm_stream.storage.journal import Journal
from sfm_stream.storage.moves import Arrival, Departure, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfm_stream.storage.run_folder import Run

BATCH = 4_096


@dataclass(frozen=True, slots=True)
class Held:
    """A run that this process alone works on.

    Attributes:
        run: its folder and settings.
        journal: its journal, open for appending.
        guard: raises `Fenced` if another process has taken the run.
    """

    run: Run
    journal: Journal
    guard: Callable[[], None]


class Feed:
    """Stands in for the feed of a new run: names the fields and source of another run.

    Args:
        run: the other run.
    """

    def __init__(self, run: Run) -> None:
        self.fields: tuple[str, ...] = tuple(run.info["fields"])
        self._source = dict(run.info["source"])

    def source(self) -> dict[str, object]:
        """Give the identity of the source."""
        return self._source


def move(
    streams: Sequence[str],
    origin: Path,
    home: Path,
    *,
    lease: float,
    say: Callable[[str], None],
    now: Callable[[], int] = time.time_ns,
) -> None:
    """Move streams to another run, with their learned state.

    Args:
        streams: names of the streams.
        origin: folder of the run that they are in.
        home: folder of the run that they move to; made if absent.
        lease: seconds that a process which may still work on a run must be silent.
        say: takes a message for people.
        now: gives the time of day, ns.

    Raises:
        StorageError: if a process works on one of the runs.
        CheckpointMismatch: if the models of the runs differ.
        ConfigError: if a stream is not in the run, or both runs are the same.
    """
    if origin.resolve() == home.resolve():
        raise ConfigError("--to", f"expected another run, was {home}")
    _expect_live(origin)
    with _held(origin, lease) as old:
        engine = _recovered(old, say)
        _expect_at_home(streams, engine, origin)
        _leave(list(dict.fromkeys(streams)), old, engine, home, lease, now())
    say(f"moved {amount(len(streams), 'stream')} from {origin} to {home}")


def rebalance(
    runs: Path,
    shards: int,
    group: str,
    *,
    lease: float,
    say: Callable[[str], None],
    now: Callable[[], int] = time.time_ns,
) -> int:
    """Move each stream to the run of its shard, for a new number of shards.

    Args:
        runs: the folder of all shards' runs.
        shards: new number of shards.
        group: as `daemon.group`.
        lease: seconds that a process which may still work on a run must be silent.
        say: takes a message for people.
        now: gives the time of day, ns.

    Returns:
        Number of streams that moved.

    Raises:
        ConfigError: if there is no run.
        StorageError: if a process works on one of the runs.
    """
    there = [p for p in (runs, *sorted(runs.glob("shard-*"))) if _is_run(p)]
    if not there:
        problem = "expected the folder of shards' runs, was none"
        raise ConfigError(str(runs), problem, "name it with --runs")
    moved = 0
    for origin in there:
        _expect_live(origin)
        with _held(origin, lease) as old:
            engine = _recovered(old, say)
            for home, names in _homes(tuple(engine.ticks), shards, group, runs).items():
                if home != origin:
                    _leave(names, old, engine, home, lease, now())
                    moved += len(names)
                    say(f"moved {amount(len(names), 'stream')} from {origin} to {home}")
    if not moved:
        say("each stream is in its shard already: none moved")
    return moved


def _leave(
    streams: Sequence[str],
    old: Held,
    engine: Engine,
    home: Path,
    lease: float,
    now: int,
) -> None:
    """Move streams to a run, which is made if absent."""
    with _held(home, lease, old.run) as new:
        _expect_alike(old.run, new.run)
        _hand_over(streams, old, new, engine, now)


def _homes(
    streams: Sequence[str], shards: int, group: str, runs: Path
) -> Mapping[Path, list[str]]:
    """Group streams by the run of their new shard."""
    found: dict[Path, list[str]] = {}
    for name in streams:
        shard = Shard(owner(key_of(name, group), shards), shards)
        found.setdefault(folder(runs, shard), []).append(name)
    return found


def _is_run(path: Path) -> bool:
    return (path / run_folder.INFO).exists()


def _expect_live(path: Path) -> None:
    """Expect the folder of a live run.

    Raises:
        ConfigError: if it is the folder of no live run.
        JournalError: if its journal is gone.
    """
    history.expect_live(run_folder.load(path).folder, "name the run of a daemon")


@contextmanager
def _held(folder: Path, lease: float, like: Run | None = None) -> Iterator[Held]:
    """Take a run for this process alone; make an absent one like `like`."""
    with ExitStack() as opened:
        own = opened.enter_context(epoch.take(folder, lease))
        guard = own.expect_own
        if like is not None and not _is_run(folder):
            run_folder.create(folder, like.config, Feed(like), _like(like), guard)
        run = run_folder.load(folder)
        if own.seized:
            lock.take_over(run.journal)
        journal = opened.enter_context(Journal(run.journal, guard=guard))
        moves.settle(run)
        yield Held(run, journal, guard)


def _like(run: Run) -> Engine:
    """Make a new engine with a run's settings."""
    return Engine(run.config, run.info["fields"])


def _recovered(held: Held, say: Callable[[str], None]) -> Engine:
    """Give an engine in the state at the end of a run's journal; write no records."""
    run, journal = held.run, held.journal
    engine = _like(run)
    prepare(run.config, run.info["fields"], say)
    misfit = history.misfit(run.journal, journal.position)
    saved = checkpoint.newest_good(run.checkpoints, say, misfit)
    if saved is None:
        warm_start.restore(run, engine)
    else:
        engine.restore(saved.arrays, saved.manifest["engine"])
    tail = journal.blocks(engine.seq, len(engine.fields), BATCH)
    for block in homes.carried_out(tail, engine, run):
        engine.run(block)
    return engine


def _expect_at_home(streams: Sequence[str], engine: Engine, origin: Path) -> None:
    here = engine.ticks
    for name in streams:
        if name not in here:
            problem = f"expected a stream of {origin}, was {name!r}"
            raise ConfigError("STREAM", problem, f"there are: {', '.join(here)}")


def _expect_alike(old: Run, new: Run) -> None:
    """Refuse to move streams between runs of different models."""
    for key in ("fields", "targets"):
        if old.info[key] != new.info[key]:
            problem = f"expected {key} {old.info[key]}, was {new.info[key]}"
            raise CheckpointMismatch(str(new.folder), problem, "name another run")
    run_folder.expect_model(new.folder, old, new.config)


def _hand_over(
    streams: Sequence[str], old: Held, new: Held, engine: Engine, now: int
) -> None:
    """Carry out a move; it counts once the marker is in the new journal."""
    leaving = [Gap(name, now, f"moves to {new.run.folder.name}") for name in streams]
    old.journal.append(leaving)
    old.journal.sync()
    engine.run(Block.of(leaving, len(engine.fields)))
    left, came = old.journal.position, new.journal.position
    said = moves.marker(old.run.folder, left)
    arrays = handover.release(engine, streams)
    origin = Place(moves.between(new.run.folder, old.run.folder), left)
    home = Place(moves.between(old.run.folder, new.run.folder), came)
    moves.arrive(new.run, Arrival(came, tuple(streams), origin, said), arrays)
    departure = Departure(left, tuple(streams), home, said)
    moves.depart(old.run, departure)
    old.guard()
    new.journal.append([Gap(name, now, said) for name in streams])
    new.journal.sync()
    moves.settle(old.run)
