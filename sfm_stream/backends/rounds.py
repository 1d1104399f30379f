"""Sorts a block's events by row, and the rows' records into the order of the CPU.

All this runs on the host. A round is an index: the rows with new events, and the events
of each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.events import TICK
from sfm_stream.kernels.inputs.accept import CROWDED, STRANGER
from sfm_stream.kernels.records import REJECTED
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROOM, Events, Out

Numbers = NDArray[np.int64]
# No notices.
NONE = np.zeros((0, 6), np.int64)


class Round(NamedTuple):
    """The events of each row.

    Attributes:
        rows: [A] numbers of the rows that have events, ascending.
        begins: [A + 1] where the events of each row begin in `order`, and their end.
        order: numbers of events, row by row, ascending for each row.
    """

    rows: Numbers
    begins: Numbers
    order: Numbers

    @property
    def longest(self) -> int:
        """The largest number of events of a row."""
        return int(np.diff(self.begins).max(initial=0))


def gather(row: Numbers, rows: int, targets: int) -> Round:
    """Sort events by the rows that take them.

    Args:
        row: [T] for each event: the stream's first row, ALL_ROWS, NO_ROW or NO_ROOM.
        rows: the number of rows.
        targets: rows of a stream.
    """
    number = np.arange(len(row))
    own, every = number[row >= 0], number[row == ALL_ROWS]
    owners = [row[own] + target for target in range(targets)]
    owner = np.concatenate([*owners, np.tile(np.arange(rows), len(every))])
    event = np.concatenate([*[own] * targets, np.repeat(every, rows)])
    by_row = np.lexsort((event, owner))
    there, begins = np.unique(owner[by_row], return_index=True)
    return Round(there, np.append(begins, len(by_row)), event[by_row])


def strangers(events: Events) -> Numbers:
    """Make the notices [n, 6] of ticks whose stream has no row; seq is their index."""
    at = np.flatnonzero((events.row < ALL_ROWS) & (events.kind == TICK))
    notices = np.zeros((len(at), 6), np.int64)
    notices[:, 0], notices[:, 1] = REJECTED, at
    notices[:, 2], notices[:, 3] = events.stream[at], events.time[at]
    notices[:, 4] = -1
    notices[:, 5] = np.where(events.row[at] == NO_ROOM, CROWDED, STRANGER)
    return notices


def join(parts: Sequence[Out], refused: Numbers, seq: Numbers) -> Out:
    """Sort the rows' records into the order of the CPU.

    Args:
        parts: records, row by row, with the event's index in place of `seq`.
        refused: notices from `strangers`.
        seq: [T] of each event.
    """
    ints = [np.concatenate([p[i] for p in parts]) for i in (0, 2, 4)]
    reals = [np.concatenate([p[i] for p in parts]) for i in (1, 3, 5)]
    ints[2] = np.concatenate([ints[2], refused])
    reals[2] = np.concatenate([reals[2], np.zeros((len(refused), 2))])
    found: list[NDArray[np.generic]] = []
    # A record begins with seq and row; a notice with its kind.
    for where, what, at in zip(ints, reals, (0, 0, 1), strict=True):
        order = np.lexsort((where[:, at + 1], where[:, at]))
        sorted_by_event = where[order]
        sorted_by_event[:, at] = seq[sorted_by_event[:, at]]
        found += [sorted_by_event, what[order]]
    return Out._make([*found, np.array([len(part) for part in ints])])


def deliver(found: Out, out: Out) -> Out:
    """Write records to `out` as far as it has room; give the rest.

    Each kind of record is cut separately and keeps its order.
    """
    rest: list[NDArray[np.generic]] = []
    for kind in range(3):
        where, what = found[2 * kind], found[2 * kind + 1]
        begin = int(out.counts[kind])
        count = min(len(where), len(out[2 * kind]) - begin)
        out[2 * kind][begin : begin + count] = where[:count]
        out[2 * kind + 1][begin : begin + count] = what[:count]
        out.counts[kind] += count
        rest += [where[count:], what[count:]]
    return Out._make([*rest, np.array([len(part) for part in rest[::2]])])
