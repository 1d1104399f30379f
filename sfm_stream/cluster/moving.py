"""Streams move from one run to another, while no process works on either.

    old home    a gap for each stream, so that nothing waits; then its rows are taken
    new home    what they learned is kept, and a marker is journalled: now it counts
    both        the next start finds it in the journals, and so does every replay

Stopped at any step, a move has happened in both runs or in none; to ask again is safe.
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
from sfm_stream.errors import CheckpointMismatch, ConfigError
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
    """A run that nobody else works on.

    Attributes:
        run: its folder and settings.
        journal: open for more.
        guard: raises `Fenced` if another process has taken the run.
    """

    run: Run
    journal: Journal
    guard: Callable[[], None]


class Feed:
    """What a new run is told of the feed it will have: that of another run.

    Args:
        run: the other one.
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
    """Have streams go on in another run, with all that they have learned.

    Args:
        streams: their names.
        origin: folder of the run they are at home in.
        home: folder of the run they move to; made if absent.
        lease: seconds for which a process that may still work there must be silent.
        say: told what a person should know.
        now: gives the time of day, ns.

    Raises:
        StorageError: if a process works on one of the runs.
        CheckpointMismatch: if the runs are of different models.
        ConfigError: if a stream is not at home there, or the runs are one.
    """
    if origin.resolve() == home.resolve():
        raise ConfigError("--to", f"expected another run, was {home}")
    _expect_live(origin)
    with _held(origin, lease) as old:
        engine = _recovered(old, say)
        _expect_at_home(streams, engine, origin)
        _leave(list(dict.fromkeys(streams)), old, engine, home, lease, now())
    say(f"moved {len(streams)} streams from {origin} to {home}")


def rebalance(
    runs: Path,
    shards: int,
    group: str,
    *,
    lease: float,
    say: Callable[[str], None],
    now: Callable[[], int] = time.time_ns,
) -> int:
    """Move every stream to its shard, of so many.

    Args:
        runs: the folder of all shards' runs.
        shards: how many there are to be.
        group: as `daemon.group`.
        lease: seconds for which a process that may still work there must be silent.
        say: told what a person should know.
        now: gives the time of day, ns.

    Returns:
        How many streams moved.

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
                    say(f"moved {len(names)} streams from {origin} to {home}")
    return moved


def _leave(
    streams: Sequence[str],
    old: Held,
    engine: Engine,
    home: Path,
    lease: float,
    now: int,
) -> None:
    """Have streams leave for a run, which is made if it is not there."""
    with _held(home, lease, old.run) as new:
        _expect_alike(old.run, new.run)
        _hand_over(streams, old, new, engine, now)


def _homes(
    streams: Sequence[str], shards: int, group: str, runs: Path
) -> Mapping[Path, list[str]]:
    """Give the streams of each run that there is to be."""
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
        ConfigError: if it is none.
        JournalError: if its journal is gone.
    """
    history.expect_live(run_folder.load(path).folder, "name the run of a daemon")


@contextmanager
def _held(folder: Path, lease: float, like: Run | None = None) -> Iterator[Held]:
    """Work on a run alone; one that is absent is made like another."""
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
    """Bring an engine to the end of a run's journal; its records are there already."""
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
    """Carry a move out, step by step; it counts when the marker is journalled."""
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
