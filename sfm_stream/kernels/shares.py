"""Divides a block's events into shares for cores, and sorts the cores' records.

Numpy sorts and gathers as fast, but its many small calls take a tenth of the time of a
short block.
"""

from __future__ import annotations

from sfm_stream.jit.scalars import inline, jit
from sfm_stream.kernels.records import REJECTED
from sfm_stream.kernels.rows import ALL_ROWS

MOST = 0.8
"""Share of the remaining events in the next round of shares, one for each core."""


@jit
def cut(row, targets, cores, begins, edges):
    """Divide streams into shares of decreasing size, for cores that take turns.

    Each round has one share per core and holds most of the remaining events. So no core
    waits long for the last one, even if streams differ in size, and there are few
    turns: each turn takes about 20 microseconds.

    Args:
        row: [T] first row of each event's stream, or ALL_ROWS, NO_ROW or NO_ROOM.
        targets: rows of a stream.
        cores: the number of cores that take shares.
        begins: [S + 1] receives the offsets of the streams' events in sorted order.
        edges: [S + 1] receives the first stream of each share, and S.

    Returns:
        The number of shares, and the number of events for all rows.
    """
    streams, every = len(begins) - 1, 0
    begins[:] = 0
    for i in range(len(row)):
        if row[i] >= 0:
            begins[row[i] // targets + 1] += 1
        elif row[i] == ALL_ROWS:
            every += 1
    for stream in range(streams):
        begins[stream + 1] += begins[stream]
    if cores == 1 or begins[streams] == 0:
        edges[0], edges[1] = 0, streams
        return 1, every
    parts, wanted, size = 0, 0.0, 0.0
    for stream in range(streams):
        before, left = begins[stream], begins[streams] - begins[stream]
        if before >= wanted and left > 0:
            if parts % cores == 0:
                size = MOST * left / cores
            wanted = before + size
            edges[parts] = stream
            parts += 1
    edges[parts] = streams
    return parts, every


@jit
def deal(events, targets, begins, edges, scratch, taken, shares):
    """Write the events of all shares one after another, sorted by row.

    An event for all rows is in every share and keeps its place among the other events.

    Args:
        events: `rows.Events` of a block.
        targets: rows of a stream.
        begins: [S + 1] from `cut`.
        edges: [P + 1] first stream of each share, and S.
        scratch: [T + S], work space.
        taken: `rows.Events` that receive the events, with `row` counted from the first
            row of the share and the event's index as `seq`.
        shares: [P, 4] receives first row, end of rows, first event and end of events of
            each share.
    """
    streams, own = len(begins) - 1, begins[len(begins) - 1]
    nexts, ordered, held = scratch[:streams], scratch[streams:], own
    for stream in range(streams):
        nexts[stream] = begins[stream]
    for i in range(len(events.row)):
        if events.row[i] >= 0:
            stream = events.row[i] // targets
            ordered[nexts[stream]] = i
            nexts[stream] += 1
        elif events.row[i] == ALL_ROWS:
            ordered[held] = i
            held += 1
    for stream in range(streams):
        nexts[stream] = begins[stream]
    n = 0
    for part in range(len(shares)):
        first, last, start = edges[part], edges[part + 1], n
        for k in range(own, held + 1):  # up to each event for all rows, then to the end
            until = ordered[k] if k < held else len(events.row)
            for stream in range(first, last):
                while nexts[stream] < begins[stream + 1]:
                    i = ordered[nexts[stream]]
                    if i > until:
                        break
                    put(events, i, events.row[i] - first * targets, taken, n)
                    nexts[stream] += 1
                    n += 1
            if k < held:
                put(events, until, ALL_ROWS, taken, n)
                n += 1
        shares[part, 0], shares[part, 1] = first * targets, last * targets
        shares[part, 2], shares[part, 3] = start, n


@inline
def put(events, i, row, taken, n):
    """Copy event i of a block to place n of `taken`."""
    taken.kind[n], taken.stream[n], taken.row[n] = events.kind[i], events.stream[i], row
    taken.time[n], taken.code[n], taken.seq[n] = events.time[i], events.code[i], i
    for j in range(events.values.shape[1]):
        taken.values[n, j] = events.values[i, j]


@jit
def count(said, ends):
    """Count the records of each event.

    Args:
        said: `rows.Out` cut to its records, with the event's index as `seq`.
        ends: [3, T + 1] by kind; the number of records of event i is added at i + 1.
    """
    for i in range(len(said.forecast_int)):
        ends[0, said.forecast_int[i, 0] + 1] += 1
    for i in range(len(said.score_int)):
        ends[1, said.score_int[i, 0] + 1] += 1
    for i in range(len(said.notice_int)):
        ends[2, said.notice_int[i, 1] + 1] += 1


@jit
def place(said, first, seq, ends, into):
    """Write records to the places of their events.

    Args:
        said: records of one share, as in `count`.
        first: first row of the share.
        seq: [T] of each event.
        ends: [3, T + 1] place of the next record of each event.
        into: `rows.Out` that receives the records; `counts` does not change.
    """
    for i in range(len(said.forecast_int)):
        at = move(said.forecast_int, said.forecast_num, i, 0, seq, ends[0],
                  into.forecast_int, into.forecast_num)  # fmt: skip
        into.forecast_int[at, 1] += first
    for i in range(len(said.score_int)):
        at = move(said.score_int, said.score_num, i, 0, seq, ends[1],
                  into.score_int, into.score_num)  # fmt: skip
        into.score_int[at, 1] += first
    for i in range(len(said.notice_int)):
        at = move(said.notice_int, said.notice_num, i, 1, seq, ends[2],
                  into.notice_int, into.notice_num)  # fmt: skip
        # The notice of a rejected event holds its stream, the others hold their row.
        if into.notice_int[at, 0] != REJECTED:
            into.notice_int[at, 2] += first


@inline
def move(where, what, i, place_of_seq, seq, ends, into_where, into_what):
    """Write record i to the next place of its event."""
    event = where[i, place_of_seq]
    at = ends[event]
    ends[event] = at + 1
    for j in range(where.shape[1]):
        into_where[at, j] = where[i, j]
    for j in range(what.shape[1]):
        into_what[at, j] = what[i, j]
    into_where[at, place_of_seq] = seq[event]
    return at
