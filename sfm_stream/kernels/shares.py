"""The events of a block in shares for cores, and the cores' records in their order.

Numpy sorts and gathers as fast, but its many small calls take a tenth of the time of a
short block.
"""

from __future__ import annotations

from sfm_stream.jit.scalars import inline, jit
from sfm_stream.kernels.records import REJECTED
from sfm_stream.kernels.rows import ALL_ROWS

MOST = 0.8
"""Of the events that are left, in the next share of each core."""


@jit
def cut(row, targets, cores, begins, edges):
    """Cut streams into shares that grow smaller, for cores that take turns.

    One share for each core holds most of what is left, as long as anything is. So no
    core waits long for the last, however unequal the streams are, and few turns are
    taken: between two lie some 20 microseconds.

    Args:
        row: [T] first row of each event's stream, or ALL_ROWS, or what has no row.
        targets: rows of a stream.
        cores: that take shares.
        begins: [S + 1] gets where the events of each stream begin, were they sorted.
        edges: [S + 1] gets the first stream of each share, and S.

    Returns:
        How many shares there are, and how many events all rows take.
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

    An event that all rows take is in every share and stays where it stands.

    Args:
        events: `rows.Events` of a block.
        targets: rows of a stream.
        begins: [S + 1] as `cut` gives it.
        edges: [P + 1] first stream of each share, and S.
        scratch: [T + S] of any content.
        taken: `rows.Events` that get the events, `row` counted from the share's first
            one and `seq` the event's number.
        shares: [P, 4] gets first row, last row, first event and last event of each; the
            last ones are excluded.
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
        for k in range(own, held + 1):  # up to each event that all rows take, and on
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
    """Write event i of a block as the event n of those taken."""
    taken.kind[n], taken.stream[n], taken.row[n] = events.kind[i], events.stream[i], row
    taken.time[n], taken.code[n], taken.seq[n] = events.time[i], events.code[i], i
    for j in range(events.values.shape[1]):
        taken.values[n, j] = events.values[i, j]


@jit
def count(said, ends):
    """Count the records of each event.

    Args:
        said: `rows.Out` of records alone, `seq` the event's number.
        ends: [3, T + 1] by kind; gets the records of event i added at i + 1.
    """
    for i in range(len(said.forecast_int)):
        ends[0, said.forecast_int[i, 0] + 1] += 1
    for i in range(len(said.score_int)):
        ends[1, said.score_int[i, 0] + 1] += 1
    for i in range(len(said.notice_int)):
        ends[2, said.notice_int[i, 1] + 1] += 1


@jit
def place(said, first, seq, ends, into):
    """Write records to where those of their events stand.

    Args:
        said: as `count` has it, of one share.
        first: row of the share.
        seq: [T] of each event.
        ends: [3, T + 1] where the next record of each event goes.
        into: `rows.Out` that gets the records; `counts` is left alone.
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
        # A rejected event names its stream, the others their row.
        if into.notice_int[at, 0] != REJECTED:
            into.notice_int[at, 2] += first


@inline
def move(where, what, i, place_of_seq, seq, ends, into_where, into_what):
    """Write record i behind those of its event that stand there."""
    event = where[i, place_of_seq]
    at = ends[event]
    ends[event] = at + 1
    for j in range(where.shape[1]):
        into_where[at, j] = where[i, j]
    for j in range(what.shape[1]):
        into_what[at, j] = what[i, j]
    into_where[at, place_of_seq] = seq[event]
    return at
