"""Replays a run's events, with the streams that moved in or out between them."""

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
    """Yield the events of a run; move streams into and out of the engine between them.

    Args:
        blocks: the events from the engine's position on, in order.
        engine: must have run each part before the next one is requested.
        run: the run.
        seen: called with each departure and the state of its streams.

    Raises:
        CheckpointCorrupt: if the state of arriving streams cannot be read.
        CheckpointMismatch: if that state is of another model.
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
    """List the folders of the runs that streams of a run came from, without repeats."""
    found = (run.folder / one.origin.run for one in moves.arrivals(run))
    return list(dict.fromkeys(path.resolve() for path in found))


def with_origins(run: Run, say: Callable[[str], None]) -> list[Run]:
    """List a run and all earlier runs of its streams, without repeats.

    Args:
        run: the run to begin with.
        say: takes a message for each run that is gone.
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
    """Remove leaving streams, unless the engine's checkpoint is newer than the move."""
    if leaving is not None and all(name in engine.ticks for name in leaving.streams):
        seen(leaving, handover.release(engine, leaving.streams))


def _let_in(arriving: Arrival | None, events: Block, engine: Engine, run: Run) -> None:
    """Add arriving streams, if the next event is the marker of their move."""
    if arriving is None:
        return
    if moves.is_marker(next(events[:1].events()), arriving.marker):
        given = moves.brought(run, arriving.seq)
        handover.take_in(engine, arriving.streams, given)
