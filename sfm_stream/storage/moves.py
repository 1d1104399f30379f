"""Streams that moved into a run from another run, or out of it.

    RUN/moves/in/000000000120/     state of the streams when they arrived
    RUN/moves/out/000000000340     names of the streams that left, and their new run

The number is the position of the next event after the move. A move counts when the
journal of the new run holds its marker, a gap whose reason names the move. That entry
is written whole or not at all, so a stream always belongs to exactly one run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sfm_stream.errors import CheckpointCorrupt, JournalError, StorageError
from sfm_stream.events import Event, Gap
from sfm_stream.storage import atomic, checkpoint, journal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfm_stream.storage.run_folder import Run

IN, OUT = "moves/in", "moves/out"
ALL = 2**62


class Place(msgspec.Struct, frozen=True):
    """A position in the journal of a run.

    Attributes:
        run: folder of the run, relative to the run whose file holds this place.
        seq: number of the event before which the move happened.
    """

    run: str
    seq: int


class Arrival(msgspec.Struct, frozen=True):
    """Streams that moved into a run.

    Attributes:
        seq: number of the event before which they came: the marker.
        streams: names of the streams.
        origin: the run and position that they left.
        marker: reason of the gap that marks the move.
    """

    seq: int
    streams: tuple[str, ...]
    origin: Place
    marker: str


class Departure(msgspec.Struct, frozen=True):
    """Streams that moved out of a run.

    Attributes:
        seq: number of the event before which they left.
        streams: names of the streams.
        home: the run and position that they moved to.
        marker: reason of the gap that marks the move there.
        counts: whether the new run is known to hold the marker.
    """

    seq: int
    streams: tuple[str, ...]
    home: Place
    marker: str
    counts: bool = False


def marker(origin: Path, seq: int) -> str:
    """Give the reason of the gap that marks a move in the journal of the new run."""
    return f"moved here from {origin.resolve().name}, event {seq}"


def is_marker(event: Event | None, said: str) -> bool:
    """Say whether an event is a gap with this text as its reason."""
    return isinstance(event, Gap) and event.reason == said


def between(run: Path, other: Path) -> str:
    """Give the relative path from a run's folder to another, as `Place` keeps it."""
    return os.path.relpath(other.resolve(), run.resolve())


def arrive(run: Run, arrival: Arrival, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the state of arriving streams; the move counts when the marker follows.

    Raises:
        CheckpointError: if it cannot be written.
    """
    manifest = {"arrival": msgspec.to_builtins(arrival)}
    checkpoint.save(run.folder / IN, arrival.seq, arrays, manifest, ALL)


def depart(run: Run, departure: Departure) -> None:
    """Write that streams leave, or that their move counts.

    Raises:
        StorageError: if the disk is full or refuses.
    """
    path = run.folder / OUT / f"{departure.seq:012d}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, msgspec.json.encode(departure))
    except OSError as e:
        raise StorageError(str(path), *atomic.explain(e)) from e


def arrivals(run: Run) -> list[Arrival]:
    """Give the moves into a run in order, also those that do not count.

    Raises:
        CheckpointCorrupt: if one cannot be read.
    """
    return [
        msgspec.convert(checkpoint.read_manifest(path)["arrival"], Arrival)
        for path in _files(run.folder / IN)
    ]


def brought(run: Run, seq: int) -> Mapping[str, NDArray[Any]]:
    """Read the state of the streams that arrived at a position.

    Raises:
        CheckpointCorrupt: if they cannot be read.
    """
    return checkpoint.load(run.folder / IN / f"{seq:012d}").arrays


def departures(run: Run) -> list[Departure]:
    """Give the moves out of a run that count, in order.

    Raises:
        CheckpointCorrupt: if one cannot be read.
        JournalError: if the journal of the new run cannot be read.
    """
    return [one for one in _written(run) if _counts(run, one)]


def settle(run: Run) -> None:
    """Write which moves out of a run count, and delete the others.

    A move may have stopped half way. Only the process that owns the run may call this.

    Raises:
        CheckpointCorrupt: if one cannot be read.
        JournalError: if the journal of the new run cannot be read.
        StorageError: if the disk is full or refuses.
    """
    for one in _written(run):
        if one.counts:
            continue
        if _counts(run, one):
            depart(run, msgspec.structs.replace(one, counts=True))
        else:
            (run.folder / OUT / f"{one.seq:012d}").unlink()


def _written(run: Run) -> Iterator[Departure]:
    for path in _files(run.folder / OUT):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Departure)
        except msgspec.DecodeError as e:
            raise CheckpointCorrupt(str(path), f"cannot be read: {e}") from e


def _counts(run: Run, departure: Departure) -> bool:
    if departure.counts:
        return True
    home = run.folder / departure.home.run
    try:
        events: Iterable[Event] = journal.read(home / "journal", departure.home.seq)
        return is_marker(next(iter(events), None), departure.marker)
    except JournalError as e:
        problem = f"cannot say whether {', '.join(departure.streams)} moved to {home}"
        hint = "bring back that run's folder, or its journal"
        raise JournalError(str(run.folder), f"{problem}: {e}", hint) from e


def _files(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.name.isdecimal())
