"""The rows of many streams over the cores of a CPU, row by row.

Rows are independent, so each core takes some of them, and all events of a row one after
another: its arrays stay in the core's cache. The records come out in the order in which
one core says them, and are the same to the last bit.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.backends import rounds
from sfm_stream.kernels.records import REJECTED
from sfm_stream.kernels.rows import ALL_ROWS, Events, Out, room
from sfm_stream.kernels.tick import LEARN
from sfm_stream.state.arena import Arena, arena
from sfm_stream.state.places import work_places

if TYPE_CHECKING:
    from sfm_stream.backends.contract import Advance
    from sfm_stream.state.bank import Bank

Settings: TypeAlias = "NDArray[np.void]"

LEAST_EVENTS = 64
"""Events from which on sorting them and waking threads costs less than it gains."""
PORTION = 256
"""Events that a core has room for the records of, before they are set aside."""


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Share(NamedTuple):
    """The rows of a core, and their events.

    Attributes:
        first: of its rows.
        last: after its last row.
        order: numbers of the events it takes, in its own order.
    """

    first: int
    last: int
    order: NDArray[np.int64]


def divide(row: NDArray[np.int64], rows: int, targets: int, parts: int) -> list[Share]:
    """Give each core whole streams, with about as many events each.

    Args:
        row: first row of each event's stream, or ALL_ROWS, or what has no row.
        rows: how many there are.
        targets: rows of a stream.
        parts: cores; fewer come out where there are fewer streams with events.
    """
    count = np.bincount(row[row >= 0] // targets, minlength=rows // targets)
    before = np.cumsum(count)
    wanted = before[-1] * np.arange(1, parts) / parts
    cuts = np.searchsorted(before, wanted) + 1
    edges = np.unique([0, *cuts, rows // targets]) * targets
    return [
        Share(int(first), int(last), _order(row, int(first), int(last)))
        for first, last in pairwise(edges)
    ]


def _order(row: NDArray[np.int64], first: int, last: int) -> NDArray[np.int64]:
    """Sort events by row; one that all rows take stays where it stands."""
    every = row == ALL_ROWS
    mine = np.flatnonzero(every | ((row >= first) & (row < last)))
    stretch = 2 * np.cumsum(every) - every  # even: between two such events
    return mine[np.lexsort((row[mine], stretch[mine]))]


class Spread:
    """Does what a compiled tick does, on several cores.

    Args:
        entry: the machine code of `kernels.tick.advance`.
        bank: whose rows it works at.
        threads: cores to use.
    """

    def __init__(self, entry: Advance, bank: Bank, threads: int) -> None:
        self._entry, self._threads, self._bank = entry, threads, bank
        self._sizes = bank.layout.sizes
        self._pool = ThreadPoolExecutor(threads, "sfm-stream rows")
        self._rooms: list[tuple[Arena, Out]] = []
        self._rest: Out | None = None

    def advance(
        self, settings: Settings, tables: Arena, rows: Arena, work: Arena,
        events: Events, start: int, stop: int, phase: int, out: Out,
    ) -> int:  # fmt: skip
        """Take events; a few are taken as they come.

        Returns:
            The first event not taken; where `out` is full `start`, and the next call
            goes on with the records, not with the events.
        """
        if self._rest is None:
            if stop - start < LEAST_EVENTS or len(rows.i64) <= self._sizes.targets:
                return self._entry(
                    settings, tables, rows, work, events, start, stop, phase, out
                )
            part = Events(*(column[start:stop] for column in events))
            self._rest = self._take(part, phase)
        self._rest = rounds.deliver(self._rest, out)
        if self._rest.counts.any():
            return start
        self._rest = None
        return stop

    def _take(self, events: Events, phase: int) -> Out:
        """Take all events; where the ring must grow, all cores wait for it."""
        rows, targets = len(self._bank), self._sizes.targets
        shares = divide(events.row, rows, targets, self._threads)
        while len(self._rooms) < len(shares):
            own = arena(1, work_places(self._sizes)), room(self._sizes, PORTION)
            self._rooms.append(own)

        work = partial(self._carry_out, events, phase)
        parts: list[Out] = []
        while shares:
            found = list(self._pool.map(work, range(len(shares)), shares))
            parts += [part for said, _ in found for part in said]
            shares = [rest for _, rest in found if len(rest.order)]
            for rest in shares:
                self._bank.lengthen(int(events.row[rest.order[0]]))
        refused = rounds.NONE if phase == LEARN else rounds.strangers(events)
        return rounds.join(parts, refused, events.seq)

    def _carry_out(
        self, events: Events, phase: int, number: int, share: Share
    ) -> tuple[list[Out], Share]:
        """Take the events of a share, as long as the ring has room for its ticks.

        Returns:
            The records, `seq` the event's number, and what is left of the share.
        """
        layout, (f32, f64, i64) = self._bank.layout, self._bank.rows
        mine, parts = slice(share.first, share.last), list[Out]()
        own_rows = Arena(f32[mine], f64[mine], i64[mine])
        taken = Events(*(column[share.order] for column in events))
        own = np.where(taken.row == ALL_ROWS, ALL_ROWS, taken.row - share.first)
        taken = taken._replace(row=own, seq=share.order)
        scratch, out = self._rooms[number]
        at, stop = 0, len(share.order)
        while True:
            out.counts[:] = 0
            reached = self._entry(
                layout.settings, layout.tables, own_rows, scratch, taken, at, stop,
                phase, out,
            )  # fmt: skip
            parts.append(_shifted(out, share.first))
            if reached == stop:
                break
            if reached == at and not out.counts.any():
                if self._bank.lacks_room(int(events.row[share.order[at]])):
                    break
                out = room(self._sizes, 2 * len(out.score_int))
                self._rooms[number] = scratch, out
            at = reached
        return parts, share._replace(order=share.order[reached:])


def _shifted(out: Out, first: int) -> Out:
    """Copy records, with the numbers that their rows have in the whole bank."""
    counts = out.counts.repeat(2)
    copied = Out._make(
        [*(part[:n].copy() for part, n in zip(out[:-1], counts, strict=True)),
         out.counts.copy()]
    )  # fmt: skip
    copied.forecast_int[:, 1] += first
    copied.score_int[:, 1] += first
    # A rejected event names its stream, the others their row.
    copied.notice_int[:, 2] += first * (copied.notice_int[:, 0] != REJECTED)
    return copied
