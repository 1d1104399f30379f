"""Spreads the rows of many streams over the cores of a CPU.

Rows are independent. So each core takes some rows, and processes all events of a row
one after another: the arrays of the row stay in the core's cache. The records have the
order of a single core, and are the same to the last bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfm_stream.backends import rounds
from sfm_stream.kernels import shares as compiled
from sfm_stream.kernels.rows import ALL_ROWS, Events, Out, room
from sfm_stream.kernels.tick import LEARN
from sfm_stream.state.arena import Arena, arena
from sfm_stream.state.places import work_places

if TYPE_CHECKING:
    from sfm_stream.backends.contract import Advance
    from sfm_stream.state.bank import Bank

Settings: TypeAlias = "NDArray[np.void]"

# numba infers the types of compiled functions
SHARES: Any = compiled

LEAST_EVENTS = 64
"""Least number of events for which several cores are faster than one."""
PORTION = 1024
"""Events whose records fit into the first buffers of a core."""


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Share(NamedTuple):
    """Some rows and their events, the work of one core at a time.

    Attributes:
        first: the first row.
        last: the row after the last one.
        start: the first event, among the events of all shares.
        stop: the event after the last one.
    """

    first: int
    last: int
    start: int
    stop: int


class Room(NamedTuple):
    """The buffers of a core.

    Attributes:
        work: work arrays, as `Bank.work`.
        out: receives records until it is full.
    """

    work: Arena
    out: Out


class Part(NamedTuple):
    """Records of a share.

    Attributes:
        first: first row of the share; rows in the records count from it.
        said: the records, with the event's number as `seq`.
    """

    first: int
    said: Out


def divide(
    events: Events, rows: int, targets: int, cores: int
) -> tuple[list[Share], Events]:
    """Divide the streams into shares of decreasing size, for cores that take turns.

    Args:
        events: of a block.
        rows: the number of rows.
        targets: rows of a stream.
        cores: the number of cores that take shares.

    Returns:
        The shares, and their events; see `kernels.shares.deal`.
    """
    count, streams = len(events.row), rows // targets
    begins, edges = np.empty((2, streams + 1), np.int64)
    scratch = np.empty(count + streams, np.int64)
    parts, every = SHARES.cut(events.row, targets, cores, begins, edges)
    size = int(begins[-1]) + every * parts
    taken = Events(*(np.empty((size, *c.shape[1:]), c.dtype) for c in events))
    found = np.empty((parts, 4), np.int64)
    SHARES.deal(events, targets, begins, edges, scratch, taken, found)
    return [Share(*each) for each in found.tolist()], taken


def join(parts: Sequence[Part], seq: NDArray[np.int64]) -> Out:
    """Sort records into the order of the events.

    Args:
        parts: the records, in the order of their rows.
        seq: [T] of each event.
    """
    ends = np.zeros((len(parts[0].said.counts), len(seq) + 1), np.int64)
    for _, said in parts:
        SHARES.count(said, ends)
    np.cumsum(ends, axis=1, out=ends)
    counts = ends[:, -1].copy()
    widths = zip(parts[0].said[:-1], counts.repeat(2).tolist(), strict=True)
    into = [np.empty((n, part.shape[1]), part.dtype) for part, n in widths]
    found = Out._make([*into, counts])
    for first, said in parts:
        SHARES.place(said, first, seq, ends, found)
    return found


class Spread:
    """Runs the compiled tick on several cores.

    Args:
        entry: the machine code of `kernels.tick.advance`.
        bank: the bank whose rows the tick changes.
        threads: number of cores to use, including the caller's.
    """

    def __init__(self, entry: Advance, bank: Bank, threads: int) -> None:
        self._entry, self._threads, self._bank = entry, threads, bank
        self._sizes = bank.layout.sizes
        # one thread per core other than the caller's, started when needed
        self._others = ThreadPoolExecutor(max(threads - 1, 1), "sfm-stream rows")
        self._rooms: list[Room] = []
        self._rest: Out | None = None

    def advance(
        self, settings: Settings, tables: Arena, rows: Arena, work: Arena,
        events: Events, start: int, stop: int, phase: int, out: Out,
    ) -> int:  # fmt: skip
        """Process events; only one core processes a small number of events.

        Returns:
            The first event that is not processed. If `out` is full that is `start`, and
            the next call gives further records without processing events.
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
        """Process all events; if the ring must grow, all cores wait for it."""
        rows, targets = len(self._bank), self._sizes.targets
        waiting, taken = divide(events, rows, targets, self._threads)
        self._have_rooms(min(self._threads, len(waiting)))
        parts: list[Part] = []
        while waiting:
            found = self._share_out(waiting, taken, phase)
            parts += [part for said, _ in found for part in said]
            waiting = [rest for _, left in found for rest in left]
            for rest in waiting:
                self._bank.lengthen(rest.first + int(taken.row[rest.start]))
        if phase != LEARN and events.row.min() < ALL_ROWS:
            parts.append(self._refused(events))
        # sorted only by first row: the parts of a share keep their order
        return join(sorted(parts, key=itemgetter(0)), events.seq)

    def _refused(self, events: Events) -> Part:
        """Make the notices of ticks whose stream has no row."""
        notices, none = rounds.strangers(events), room(self._sizes, 0)
        reals = np.zeros((len(notices), none.notice_num.shape[1]))
        return Part(0, none._replace(notice_int=notices, notice_num=reals))

    def _share_out(
        self, waiting: Sequence[Share], events: Events, phase: int
    ) -> list[tuple[list[Part], list[Share]]]:
        """Run all cores, including the caller's, until all shares are taken."""
        turns, cores = iter(waiting), min(self._threads, len(waiting))
        work = partial(self._carry_out, events, phase, turns)
        others = [self._others.submit(work, core) for core in range(1, cores)]
        return [work(0), *(other.result() for other in others)]

    def _carry_out(
        self, events: Events, phase: int, turns: Iterator[Share], core: int
    ) -> tuple[list[Part], list[Share]]:
        """Process one share after another, each until the ring has no room for a tick.

        Returns:
            The records, and the unprocessed rests of shares.
        """
        parts, left = list[Part](), list[Share]()
        for share in turns:
            rest, said = self._advance(events, phase, share, core)
            parts.append(Part(share.first, said))
            while rest.start < rest.stop:
                if self._waits_for_ring(events, rest, core):
                    left.append(rest)
                    break
                self._take_another_room(core)
                rest, said = self._advance(events, phase, rest, core)
                parts.append(Part(share.first, said))
        return parts, left

    def _advance(
        self, events: Events, phase: int, share: Share, core: int
    ) -> tuple[Share, Out]:
        """Process events of a share; give the rest of the share, and the records."""
        layout, (f32, f64, i64) = self._bank.layout, self._bank.rows
        mine = slice(share.first, share.last)
        rows = Arena(f32[mine], f64[mine], i64[mine])
        work, out = self._rooms[core]
        before = out.counts.tolist()
        reached = self._entry(
            layout.settings, layout.tables, rows, work, events, share.start, share.stop,
            phase, out,
        )  # fmt: skip
        return share._replace(start=reached), _since(before, out)

    def _waits_for_ring(self, events: Events, rest: Share, core: int) -> bool:
        """Say whether a share stopped because the ring is full, not the buffers."""
        if self._rooms[core].out.counts.any():
            return False  # both may be full: a try with empty buffers decides
        return self._bank.lacks_room(rest.first + int(events.row[rest.start]))

    def _have_rooms(self, cores: int) -> None:
        """Make empty buffers for each core; drop the records of the last block."""
        for each in self._rooms:
            each.out.counts.fill(0)
        while len(self._rooms) < cores:
            work = arena(1, work_places(self._sizes))
            self._rooms.append(Room(work, room(self._sizes, PORTION)))

    def _take_another_room(self, core: int) -> None:
        """Replace full buffers by empty ones; by larger ones if no event fitted."""
        work, out = self._rooms[core]
        events = len(out.score_int) // (self._sizes.horizons * self._sizes.targets)
        times = 1 if out.counts.any() else 2
        self._rooms[core] = Room(work, room(self._sizes, times * events))


def _since(before: Sequence[int], out: Out) -> Out:
    """Give the records that were added after the counts `before`."""
    forecasts, scores, notices = map(slice, before, out.counts.tolist())
    return Out(
        out.forecast_int[forecasts], out.forecast_num[forecasts],
        out.score_int[scores], out.score_num[scores],
        out.notice_int[notices], out.notice_num[notices], out.counts,
    )  # fmt: skip
