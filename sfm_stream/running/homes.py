"""A run's events, with the streams that come and go between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sfm_stream.engine import handover
from sfm_stream.storage import moves, run_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfm_stream.engine import Engine
    from sfm_stream.events import Block
    from sfm_stream.storage.moves import Arrival, Departure
    from sfm_stream.storage.run_folder import Run

    Arrays: TypeAlias = Mapping[str, NDArray[Any]]
    Seen: TypeAlias = Callable[[Departure, Arrays], None]


def carried_out(
    blocks: Iterable[Block],
    engine: Engine,
    run: Run,
    seen: Seen = lambda *_: None,
) -> Iterator[Block]:
    """Give the events of a run, and have streams come and go where they did.

    Args:
        blocks: the events from the engine's on, in order.
        engine: takes in all that is given before it asks for more.
        run: whose streams they are.
        seen: told of streams that leave, with the arrays they take along.

    Raises:
        CheckpointCorrupt: if what streams brought cannot be read.
        CheckpointMismatch: if that is another model's.
    """
    coming = {one.seq: one for one in moves.arrivals(run)}
    going = {one.seq: one for one in moves.departures(run)}
    for block in blocks:
        rest = block
        while len(rest):
            _let_go(going.pop(engine.seq, None), engine, seen)
            _let_in(coming.pop(engine.seq, None), rest, engine, run)
            at = engine.seq
            stops = [seq - at for seq in (*coming, *going) if seq > at]
            part = rest[: min(stops, default=len(rest))]
            yield part
            rest = rest[len(part) :]
    _let_go(going.pop(engine.seq, None), engine, seen)


def origins(run: Run) -> list[Path]:
    """Give the folders of the runs that streams of a run came from, each once."""
    found = (run.folder / one.origin.run for one in moves.arrivals(run))
    return list(dict.fromkeys(path.resolve() for path in found))


def with_origins(run: Run, say: Callable[[str], None]) -> list[Run]:
    """Give a run and all before it that its streams were at home in, each once.

    Args:
        run: the one to begin with.
        say: told of those that are no longer there.
    """
    found: dict[Path, Run | None] = {run.folder.resolve(): run}
    waiting = origins(run)
    while waiting:
        folder = waiting.pop()
        if folder in found:
            continue
        found[folder] = None
        if (folder / run_folder.INFO).exists():
            one = found[folder] = run_folder.load(folder)
            waiting += origins(one)
        else:
            say(f"{folder} is not there: what came from it is taken as it came")
    return [one for one in found.values() if one is not None]


def _let_go(leaving: Departure | None, engine: Engine, seen: Seen) -> None:
    """Take out streams that are still here: the checkpoint is older than the move."""
    if leaving is not None and all(name in engine.ticks for name in leaving.streams):
        seen(leaving, handover.release(engine, leaving.streams))


def _let_in(arriving: Arrival | None, events: Block, engine: Engine, run: Run) -> None:
    """Let streams in if the marker of their move is the next event."""
    if arriving is None:
        return
    if moves.is_marker(next(events[:1].events()), arriving.marker):
        given = moves.brought(run, arriving.seq)
        handover.take_in(engine, arriving.streams, given)
