"""Prepares events for the kernels: numbers them, gives streams rows, folds bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config
from sfm_stream.engine.pair import Pair
from sfm_stream.engine.resampler import Resampler, expect_fields
from sfm_stream.engine.streams import StreamTable
from sfm_stream.errors import FeatureError, ShapeError
from sfm_stream.events import ALL_STREAMS, CONTROL, Block, Event, Label, Tick
from sfm_stream.events.kinds import pause
from sfm_stream.kernels.rows import Events
from sfm_stream.state import places
from sfm_stream.state.bank import Bank

MADE_BY = "make it with sfm_stream.events, e.g. Tick(stream, time, values)"
BIN = "bin_"
"""Prefix of the names of the bins' arrays in a snapshot."""


class Intake:
    """Turns events into the columns that the kernels take.

    Args:
        settings: the largest number of streams, and whether ticks fold into bins.
        bank: gets rows for new streams.

    Attributes:
        seq: number of events so far.
        frozen: reasons not to learn, as bits; see `events.pause`.
        folds: whether ticks fold into bins.
        streams: name, number and row of each.
    """

    def __init__(self, settings: Config, bank: Bank) -> None:
        plan = bank.layout.plan
        self._bank = bank
        self._fields, self._targets = plan.fields, len(plan.targets)
        self.streams = StreamTable(settings.stream)
        self.begin_anew(settings)

    def knows(self, stream: str) -> bool:
        """Say whether an event of this stream can be observed without a block."""
        return stream in self.streams.numbers and not self.folds

    def is_single(self, event: Event) -> TypeGuard[Tick | Label]:
        """Say whether an event needs no block: a tick or label of a known stream.

        Raises:
            FeatureError: if it is no event.
        """
        try:
            return self.knows(event.stream) and isinstance(event, Tick | Label)
        except AttributeError as error:
            raise FeatureError("event", event, "an event", MADE_BY) from error

    def begin_anew(self, settings: Config) -> None:
        """Count events from 0 and empty the bins; keep the streams."""
        self.seq = 0
        self.frozen = int(not settings.learn.enabled)
        expect_fields(settings.stream.folds, self._fields)
        self.folds = bool(settings.stream.every)
        self._resampler = Resampler(settings, self._fields) if self.folds else None

    def write(self, pair: Pair, place: int, event: Tick | Label) -> None:
        """Write an event of a known stream into a pair; do not count it.

        Raises:
            ShapeError: if the event does not have one value per field.
            FeatureError: if a value or the time is not a number.
        """
        number, row = self.streams.find(event.stream)
        pair.write(place, event, number, row, self.seq)

    def take(self, pair: Pair, place: int, event: Tick | Label) -> None:
        """Write an event as `write` does, and count it."""
        self.write(pair, place, event)
        self.seq += 1

    def answer(self, pair: Pair, label: Label) -> None:
        """Write the label of the tick that a pair holds, and count both events."""
        pair.answer(label, self.seq + 1)
        self.seq += 2

    def ends_segment(self, tick: Tick) -> bool:
        """Say whether this tick comes after a gap longer than `stream.max_gap`."""
        if not self._bank.layout.sizes.max_gap:
            return False
        return self._bank.ends_segment(self.streams.row(tick.stream), tick.time)

    def admit(self, block: Block) -> bool:
        """Give rows to the new streams of a block; say whether there are any.

        Raises:
            ShapeError: if the ticks do not have one value per field.
        """
        shape = (len(block), len(self._fields))
        if block.values.shape != shape:
            raise ShapeError("block.values", str(shape), str(block.values.shape))
        newcomers = self.streams.newcomers(block)
        if newcomers:
            before = len(self._bank)
            after = self.streams.admit(newcomers, before, self._targets)
            self._bank.grow(after - before)
            self._bank.view("counters")[before:, places.FROZEN] = self.frozen
        return bool(newcomers)

    def events(self, block: Block) -> Events:
        """Number and convert the events of a block, whose streams already have rows."""
        events = self.streams.events(block, self.seq)
        self.seq += len(block)
        if not block.holds_ticks_alone:
            told = (block.kind == CONTROL) & (events.stream == ALL_STREAMS)
            for i in np.flatnonzero(told):
                self.frozen = pause(self.frozen, int(block.code[i]))
        return self._folded(events)

    def snapshot(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Copy the bins as arrays by name, and the other state as plain values."""
        found = {} if self._resampler is None else self._resampler.snapshot()
        bins = {f"{BIN}{name}": array for name, array in found.items()}
        return bins, {
            "seq": self.seq,
            "streams": list(self.streams.numbers),
            "first_row": self.streams.first_row.tolist(),
            "frozen": self.frozen,
        }

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]
    ) -> None:
        """Load a snapshot; arrays that do not belong to bins are ignored.

        Raises:
            CheckpointMismatch: if the bins belong to another model.
        """
        if self._resampler is not None:
            size = len(BIN)
            bins = {k[size:]: a for k, a in arrays.items() if k.startswith(BIN)}
            self._resampler.restore(bins)
        self.seq = int(meta["seq"])
        self.frozen = int(meta["frozen"])
        self.streams.restore(meta["streams"], meta["first_row"])

    def _folded(self, events: Events) -> Events:
        if self._resampler is None:
            return events
        e = events
        kind, stream, *rest = self._resampler.fold(
            e.kind, e.stream, e.time, e.values, e.code, e.seq
        )
        return Events(kind, stream, self.streams.rows(stream), *rest)
