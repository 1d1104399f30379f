"""Calls the compiled tick for the engine, and holds the buffers for its records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.backends.contract import Advance, Backend
from sfm_stream.engine import decode
from sfm_stream.engine.decode import Columns, Owners
from sfm_stream.engine.pair import Pair
from sfm_stream.kernels.records import FORECASTS, NOTICES, SCORES
from sfm_stream.kernels.rows import ALL_ROWS, Events, room
from sfm_stream.state.bank import Bank

# Events whose records fit into the buffers: small enough that the buffers stay in the
# processor's cache, large enough that copying them out costs little per event.
PORTION = 1024

# First event, the end (the event after the last), and the phase.
Span: TypeAlias = tuple[int, int, int]


class Caller:
    """Calls `advance` for a bank, with buffers that grow when records need more room.

    Args:
        backend: the backend that computes.
        bank: the bank whose rows the backend changes.

    Attributes:
        out: the buffers that the last call wrote.
        counts: the number of records of each kind in `out`.
        bounds: a view into `out`: mean and quantiles of all forecasts by horizon
            [n, Q, 1 + 2L].
    """

    def __init__(self, backend: Backend, bank: Bank) -> None:
        self._backend, self._bank = backend, bank
        backend.take_charge(bank)
        self._few: Advance = self._first
        self._many: Advance = self._first
        self._nothing: Columns = {}
        self._make_room(PORTION)

    def _make_room(self, records: int) -> None:
        s = self._bank.layout.sizes
        self.out = room(s, records)
        # A memoryview reads single numbers three times as fast as the array does.
        self.counts = memoryview(self.out.counts)
        means = self.out.forecast_num[:, : s.bounds]
        self.bounds = means.reshape(-1, s.horizons, s.bounds)

    def few(self, pair: Pair, start: int, stop: int, phase: int) -> None:
        """Process the events of a `Pair`, and leave the records in `out`.

        If the buffers had to grow between the two events, only the records of the last
        event remain.
        """
        counts, events = self.counts, pair.events
        counts[FORECASTS] = counts[SCORES] = counts[NOTICES] = 0
        while (at := self._call(self._few, events, start, stop, phase)) < stop:
            start = at
            self._enlarge(events, at)

    def said(self, owners: Owners) -> Columns:
        """Copy the records of the last call as columns."""
        if not self._nothing:
            self._nothing = decode.nothing(self.out, owners)
        return decode.columns(self.out, owners, self._nothing)

    def many(self, events: Events, spans: Sequence[Span], owners: Owners) -> Columns:
        """Process events, span by span, and give the records as columns.

        Records are copied out when the buffers are full, and at the end.
        """
        parts: list[Columns] = []
        self.out.counts.fill(0)
        for begin, stop, phase in spans:
            start = begin
            while (at := self._call(self._many, events, start, stop, phase)) < stop:
                if any(self.out.counts.tolist()):
                    parts.append(self.said(owners))
                    self.out.counts.fill(0)
                elif at == start:
                    self._enlarge(events, at)
                start = at
        if any(self.out.counts.tolist()) or not parts:
            parts.append(self.said(owners))
        return decode.join(parts)

    def _call(
        self, run: Advance, events: Events, start: int, stop: int, phase: int
    ) -> int:
        """Call the machine code without dispatch: the argument types never change."""
        layout, own = self._bank.layout, self._bank
        if own.is_held:
            self._keep(events.row[start:stop])
        return run(
            layout.settings, layout.tables, own.rows, own.work,
            events, start, stop, phase, self.out,
        )  # fmt: skip

    def _keep(self, first: NDArray[np.int64]) -> None:
        """Save the rows that events will change, given the first row of each event."""
        s = self._bank.layout.sizes
        if s.shared or (first == ALL_ROWS).any():  # a shared cell changes all rows
            self._bank.keep_all()
            return
        known = np.unique(first[first >= 0])
        self._bank.keep((known[:, None] + np.arange(s.targets)).reshape(-1))

    def _first(self, *arguments: Any) -> int:  # noqa: ANN401 those of `Advance`
        """Make the first call, which resolves the functions for later calls."""
        reached = self._backend.advance(*arguments)
        self._few, self._many = self._backend.resolve(arguments)
        return reached

    def _enlarge(self, events: Events, place: int) -> None:
        """Make room for an event: lengthen the ring of ticks, or grow the buffers."""
        if self._bank.lengthen(int(events.row[place])):
            return
        s = self._bank.layout.sizes
        self._make_room(2 * len(self.out.score_int) // (s.horizons * s.targets))
