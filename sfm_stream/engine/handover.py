"""Streams that leave one engine and go on in another, with all that was learned.

An engine knows a stream by its rows of the bank, one per target, and its open bin. Rows
stand in the order of the streams' numbers; others close up behind a stream that left,
and its name keeps its number.

A cell that all streams share stays with its engine: what its optimiser knows moves on
to the rows that are the first ones now, and streams that come read the weights they
find. If no stream was here, the cell of those that come is the engine's.
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
    """Take streams out; later ticks of theirs count as of unknown streams.

    Args:
        engine: that has learned what it observed.
        names: of its streams.

    Returns:
        Arrays of the streams by name, [streams, ...] of bins, [rows, ...] of the bank.

    Raises:
        InvalidState: if one of them has no rows here.
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
    """Take streams that another engine of the same model has let go.

    They learn if the streams here learn.

    Args:
        engine: that has learned what it observed.
        names: of the streams.
        given: their arrays, as `release` gave them.

    Raises:
        InvalidState: if a stream of that name has rows here.
        CheckpointMismatch: if they are another model's.
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
        joined["sharing"][there:, JOINED] = 0  # counted in steps of another cell
    _restore(engine, joined, meta | {"streams": streams}, first)


def _restore(
    engine: Engine,
    arrays: Mapping[str, Array],
    meta: Mapping[str, Any],
    first: NDArray[np.int64],
) -> None:
    """Give an engine the rows that streams have, in the order of their numbers."""
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
    """Give the first rows the shared cell that was in the first ones, others a copy."""
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
    """Give all rows of streams by their first ones."""
    return (first[:, None] + np.arange(len(engine.targets))).reshape(-1)


def _with_all_bins(arrays: Mapping[str, Array], streams: int) -> dict[str, Array]:
    """Give each stream its place among the bins, also one that said nothing yet."""
    return {
        name: _longer(array, streams, np.nan if name == HELD else 0)
        if name.startswith(BIN)
        else array
        for name, array in arrays.items()
    }


def _longer(array: Array, count: int, fill: float) -> Array:
    more = np.full((count - len(array), *array.shape[1:]), fill, array.dtype)
    return np.concatenate([array, more])
