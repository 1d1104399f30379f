"""Keeps the bins of all streams of an engine: folds ticks, and takes snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.config import Config
from sfm_stream.engine.bins import FOLDS, Bins, Columns, Rule, bins, fold
from sfm_stream.errors import CheckpointMismatch, ConfigError, ShapeError, did_you_mean
from sfm_stream.events import Floats, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

ADDED = ("late", "late_time")
"""Arrays that older snapshots lack; they begin at 0 then."""


class Resampler:
    """Folds the ticks of each stream into bins of `stream.every`.

    Args:
        config: the settings, of which `stream.every` and `stream.folds` are used.
        fields: names of the values of a tick [F].

    Raises:
        ConfigError: if `stream.every` is empty, or a fold names an unknown field.
    """

    def __init__(self, config: Config, fields: Sequence[str]) -> None:
        if not config.stream.every:
            raise ConfigError(
                "stream.every", "expected a duration like '100ms', was ''"
            )
        every = np.array([config.stream.every.ns], np.int64)
        self._rule = Rule(every, _codes(config.stream.folds, fields))
        self.state = bins(0, len(fields))

    def fold(
        self,
        kind: NDArray[np.int8],
        stream: NDArray[np.integer[Any]],
        time: Ints,
        values: Floats,
        code: Ints,
        seq: Ints,
    ) -> Columns:
        """Fold T events into bins; give the resulting events, in order.

        The result is the same however the events are cut into calls. One event gives at
        most `MOST_EMPTY` + 2 events per stream it concerns.

        Args:
            kind: [T].
            stream: [T], from 0 on, or ALL_STREAMS.
            time: [T], ns.
            values: [T, F].
            code: [T], as in `Block`.
            seq: [T], numbers of the events.

        Returns:
            New columns. A gap whose `seq` belongs to an event of another kind stands
            for `SILENCE`, and its code is the number of bins left out. The code of a
            tick is `LATE` where the tick came after its bin was closed.

        Raises:
            ShapeError: if the values are not [T, F].
        """
        shape = (len(kind), len(self._rule.folds))
        if values.shape != shape:
            raise ShapeError("values", str(shape), str(values.shape))
        events = _columns(kind, stream, time, values, code, seq)
        self._grow(int(stream.max(initial=-1)) + 1)
        taken, written = np.zeros(1, np.int64), np.zeros(1, np.int64)
        out = _room(2 * shape[0] + 1, shape[1])
        while not fold(self._rule, self.state, events, taken, out, written):
            out = _longer(out)
        return Columns._make(column[: written[0]] for column in out)

    def _grow(self, streams: int) -> None:
        more = streams - len(self.state.number)
        if more > 0:
            pairs = zip(self.state, bins(more, len(self._rule.folds)), strict=True)
            self.state = Bins._make(np.concatenate(pair) for pair in pairs)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Copy every array of `Bins`, by name."""
        return {name: array.copy() for name, array in self.state._asdict().items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load a snapshot.

        Raises:
            CheckpointMismatch: if an array is absent or has another shape.
        """
        state = bins(len(arrays.get("number", ())), len(self._rule.folds))
        for name, array in state._asdict().items():
            if name in ADDED and name not in arrays:
                continue
            was = arrays[name].shape if name in arrays else None
            if was != array.shape:
                raise CheckpointMismatch(
                    name,
                    f"expected shape {array.shape}, was {was}",
                    "use the configuration the checkpoint was made with",
                )
            array[...] = arrays[name]
        self.state = state


def expect_fields(folds: Mapping[str, str], fields: Sequence[str]) -> None:
    """Check that every fold names a known field.

    Raises:
        ConfigError: naming the unknown field.
    """
    for name in folds:
        if name not in fields:
            hint = did_you_mean(name, fields)
            raise ConfigError(f"stream.folds.{name}", "no such field", hint)


def _codes(folds: Mapping[str, str], fields: Sequence[str]) -> Ints:
    expect_fields(folds, fields)
    return np.array([FOLDS[folds.get(name, "last")] for name in fields], np.int64)


def _columns(*columns: NDArray[Any]) -> Columns:
    # Columns cut from a table may be read-only: numba would compile for them apart.
    kinds = (np.int8, np.int64, np.int64, np.float64, np.int64, np.int64)
    pairs = zip(columns, kinds, strict=True)
    return Columns._make(np.require(c, kind, ["C", "W"]) for c, kind in pairs)


def _room(events: int, fields: int) -> Columns:
    kind, values = np.empty(events, np.int8), np.empty((events, fields))
    stream, time, code, seq = (np.empty(events, np.int64) for _ in range(4))
    return Columns(kind, stream, time, values, code, seq)


def _longer(out: Columns) -> Columns:
    longer = _room(2 * len(out.kind), out.values.shape[1])
    for name, column in out._asdict().items():
        getattr(longer, name)[: len(column)] = column
    return longer
