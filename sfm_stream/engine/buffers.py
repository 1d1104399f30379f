"""How the engine calls the compiled tick, and the buffers for its records."""

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

# Events with room for their records: the buffers stay in the cache, and the cost of
# copying them out is shared by many.
PORTION = 1024

# First event, the one after the last, and the phase.
Span: TypeAlias = tuple[int, int, int]


class Caller:
    """Calls `advance` for a bank, with room that grows when records need more.

    Args:
        backend: computes.
        bank: whose rows it works on.

    Attributes:
        out: what the last call wrote.
        counts: how many records of each kind that are.
        bounds: of it, mean and quantiles of all forecasts by horizon [n, Q, 1 + 2L].
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
        # numbers go through this view in a third of the time
        self.counts = memoryview(self.out.counts)
        means = self.out.forecast_num[:, : s.bounds]
        self.bounds = means.reshape(-1, s.horizons, s.bounds)

    def few(self, pair: Pair, start: int, stop: int, phase: int) -> None:
        """Take the events of a `Pair` and leave the records in `out`.

        If the room ran out between the two, only the last event's records remain.
        """
        counts, events = self.counts, pair.events
        counts[FORECASTS] = counts[SCORES] = counts[NOTICES] = 0
        while (at := self._call(self._few, events, start, stop, phase)) < stop:
            start = at
            self._enlarge(events, at)

    def said(self, owners: Owners) -> Columns:
        """Give what the last call wrote as columns."""
        if not self._nothing:
            self._nothing = decode.nothing(self.out, owners)
        return decode.columns(self.out, owners, self._nothing)

    def many(self, events: Events, spans: Sequence[Span], owners: Owners) -> Columns:
        """Take any events, span by span, and give the records as columns.

        Records are copied out when there is no room for more, and at the end.
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
        """Call the machine code itself: the columns always have the same types."""
        layout, own = self._bank.layout, self._bank
        if own.is_held:
            self._keep(events.row[start:stop])
        return run(
            layout.settings, layout.tables, own.rows, own.work,
            events, start, stop, phase, self.out,
        )  # fmt: skip

    def _keep(self, first: NDArray[np.int64]) -> None:
        """Keep the rows aside that events will change, by the first row of each."""
        s = self._bank.layout.sizes
        if s.shared or (first == ALL_ROWS).any():  # a shared cell's step is for all
            self._bank.keep_all()
            return
        known = np.unique(first[first >= 0])
        self._bank.keep((known[:, None] + np.arange(s.targets)).reshape(-1))

    def _first(self, *arguments: Any) -> int:  # noqa: ANN401 those of `Advance`
        """Make the first call, which finds what the others run."""
        reached = self._backend.advance(*arguments)
        self._few, self._many = self._backend.resolve(arguments)
        return reached

    def _enlarge(self, events: Events, place: int) -> None:
        """Make room for what an event adds: to the ticks that wait, or to records."""
        if self._bank.lengthen(int(events.row[place])):
            return
        s = self._bank.layout.sizes
        self._make_room(2 * len(self.out.score_int) // (s.horizons * s.targets))
