"""Moves streams from one engine to another, with their learned state.

The state of a stream is its rows of the bank, one per target, and its open bin. Rows
are in the order of the streams' numbers. When a stream leaves, the rows behind it move
up, and its name keeps its number.

A cell that all streams share stays with its engine: the optimiser's state moves to the
rows that are the first after the move, and arriving streams use the weights of the
engine they join. If that engine had no stream, it takes the cell of the arriving ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.engine.intake import BIN
from sfm_stream.errors import InvalidState
from sfm_stream.kernels.rows import NO_ROW
from sfm_stream.state import ring
from sfm_stream.state.places import ADAM_STEP, FROZEN, JOINED, NEW, OLD, VERSION

if TYPE_CHECKING:
    from sfm_stream.engine.core import Engine

HELD = f"{BIN}held"
Array = NDArray[Any]


def release(engine: Engine, names: Sequence[str]) -> dict[str, Array]:
    """Remove streams from an engine; it rejects their later ticks.

    Args:
        engine: an engine that has learned from all observed events.
        names: of its streams.

    Returns:
        Arrays of the streams by name, [streams, ...] of bins, [rows, ...] of the bank.

    Raises:
        InvalidState: if a stream has no rows in this engine.
    """
    arrays, meta = engine.snapshot()
    first = np.array(meta["first_row"], np.int64)
    numbers = [_number(meta, name) for name in names]
    rows = _rows(engine, first[numbers])
    given = {
        name: array[numbers if name.startswith(BIN) else rows]
        for name, array in _with_all_bins(arrays, len(first)).items()
    }
    first[numbers] = NO_ROW
    _restore(engine, arrays, meta, first)
    return given


def take_in(engine: Engine, names: Sequence[str], given: Mapping[str, Array]) -> None:
    """Add streams that another engine of the same model has released.

    They learn if new streams of this engine learn.

    Args:
        engine: an engine that has learned from all observed events.
        names: of the streams.
        given: their arrays, as `release` gave them.

    Raises:
        InvalidState: if a stream of that name has rows in this engine.
        CheckpointMismatch: if the streams belong to another model.
    """
    arrays, meta = engine.snapshot()
    streams = list(dict.fromkeys([*meta["streams"], *names]))
    first = np.full(len(streams), NO_ROW, np.int64)
    first[: len(meta["first_row"])] = meta["first_row"]
    numbers = [streams.index(name) for name in names]
    for name, number in zip(names, numbers, strict=True):
        if first[number] >= 0:
            raise InvalidState(f"stream {name!r}: expected none of this name, was one")
    there = len(arrays["counters"])
    first[numbers] = there + np.arange(len(names)) * len(engine.targets)
    slots = max(ring.of(arrays), ring.of(given))
    given = ring.longer(given, slots)
    joined = _with_all_bins(ring.longer(arrays, slots), len(streams))
    for key, array in joined.items():
        if key.startswith(BIN):
            array[numbers] = given[key]
        else:
            joined[key] = np.concatenate([array, given[key]])
    joined["counters"][there:, FROZEN] = meta["frozen"]
    if joined["sharing"].size:
        joined["sharing"][there:, JOINED] = 0  # its count was of another cell's steps
    _restore(engine, joined, meta | {"streams": streams}, first)


def _restore(
    engine: Engine,
    arrays: Mapping[str, Array],
    meta: Mapping[str, Any],
    first: NDArray[np.int64],
) -> None:
    """Restore an engine from the rows of its streams, in the order of their numbers."""
    owners = np.flatnonzero(first >= 0)
    rows = _rows(engine, first[owners])
    ordered = {n: a if n.startswith(BIN) else a[rows] for n, a in arrays.items()}
    if arrays["sharing"].size:
        _settle_cell(arrays, ordered, len(engine.targets))
    placed = first.copy()
    placed[owners] = np.arange(len(owners)) * len(engine.targets)
    engine.restore(ordered, {**meta, "first_row": placed.tolist()})


def _settle_cell(
    arrays: Mapping[str, Array], ordered: Mapping[str, Array], targets: int
) -> None:
    """Move the shared cell and its optimiser to the new first rows of all targets."""
    counts = {"counters": [ADAM_STEP], "sharing": [NEW, OLD]}
    for target in range(min(targets, len(ordered["counters"]))):
        ordered["weights"][target::targets] = arrays["weights"][target]
        version = arrays["counters"][target, VERSION]
        ordered["counters"][target::targets, VERSION] = version
        for name in ("moment", "moment2", "pool"):
            ordered[name][target] = arrays[name][target]
        for name, which in counts.items():
            ordered[name][target, which] = arrays[name][target, which]


def _number(meta: Mapping[str, Any], name: str) -> int:
    """Give the number of a stream that has rows."""
    streams: list[str] = meta["streams"]
    if name not in streams or meta["first_row"][streams.index(name)] < 0:
        raise InvalidState(f"stream {name!r}: expected one of this run, was none")
    return streams.index(name)


def _rows(engine: Engine, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give all rows of streams, from the first row of each."""
    return (first[:, None] + np.arange(len(engine.targets))).reshape(-1)


def _with_all_bins(arrays: Mapping[str, Array], streams: int) -> dict[str, Array]:
    """Give every stream a bin, also a stream without any tick."""
    return {
        name: _longer(array, streams, np.nan if name == HELD else 0)
        if name.startswith(BIN)
        else array
        for name, array in arrays.items()
    }


def _longer(array: Array, count: int, fill: float) -> Array:
    more = np.full((count - len(array), *array.shape[1:]), fill, array.dtype)
    return np.concatenate([array, more])
