"""Events on their way in: they get numbers, rows for their streams, and bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config
from sfm_stream.engine.pair import Pair
from sfm_stream.engine.resampler import Resampler, expect_fields
from sfm_stream.engine.streams import StreamTable
from sfm_stream.errors import ShapeError
from sfm_stream.events import ALL_STREAMS, CONTROL, Block, Label, Tick
from sfm_stream.events.kinds import pause
from sfm_stream.kernels.rows import Events
from sfm_stream.state import places
from sfm_stream.state.bank import Bank

BIN = "bin_"
"""Begins the names of the bins' arrays in a snapshot."""


class Intake:
    """Turns events into what the kernels take.

    Args:
        settings: how many streams there may be, and whether ticks fold into bins.
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
        """Say whether an event of this stream can be taken in by itself."""
        return stream in self.streams.numbers and not self.folds

    def begin_anew(self, settings: Config) -> None:
        """Count events from 0, with empty bins; the streams stay."""
        self.seq = 0
        self.frozen = int(not settings.learn.enabled)
        expect_fields(settings.stream.folds, self._fields)
        self.folds = bool(settings.stream.every)
        self._resampler = Resampler(settings, self._fields) if self.folds else None

    def write(self, pair: Pair, place: int, event: Tick | Label) -> None:
        """Write an event of a known stream into a pair; do not count it.

        Raises:
            ShapeError: if it does not have one value per field.
        """
        number, row = self.streams.find(event.stream)
        pair.write(place, event, number, row, self.seq)

    def take(self, pair: Pair, place: int, event: Tick | Label) -> None:
        """Write an event as `write` does, and count it."""
        self.write(pair, place, event)
        self.seq += 1

    def answer(self, pair: Pair, label: Label) -> None:
        """Write the label of the tick that stands in a pair, and count both."""
        pair.answer(label, self.seq + 1)
        self.seq += 2

    def ends_segment(self, tick: Tick) -> bool:
        """Say whether a silence longer than `stream.max_gap` ends at this tick."""
        if not self._bank.layout.sizes.max_gap:
            return False
        return self._bank.ends_segment(self.streams.row(tick.stream), tick.time)

    def admit(self, block: Block) -> bool:
        """Give rows to the streams that appear in a block; say whether any is new.

        Raises:
            ShapeError: if its ticks do not have one value per field.
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
        """Give a block, whose streams have rows, as the kernels take it."""
        events = self.streams.events(block, self.seq)
        self.seq += len(block)
        if not block.holds_ticks_alone:
            told = (block.kind == CONTROL) & (events.stream == ALL_STREAMS)
            for i in np.flatnonzero(told):
                self.frozen = pause(self.frozen, int(block.code[i]))
        return self._folded(events)

    def snapshot(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Copy the bins as arrays by name, and all else as plain values."""
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
        """Take back a snapshot; arrays that are not of bins are passed over.

        Raises:
            CheckpointMismatch: if the bins are another model's.
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
