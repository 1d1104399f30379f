"""Stage 0: whether a tick is accepted, and its signals.

A stream's times do not go back: an earlier tick is rejected. But a clock may be set
back, or a wrong time far ahead may have been accepted. So where `RESTART` ticks in a
row were rejected as going back, each no earlier than the one before it, the last of
them is accepted, as after a gap, and the stream goes on from there.
"""

from __future__ import annotations

import math

from sfm_stream.events.kinds import LATE, NO_TIME
from sfm_stream.jit.scalars import inline, jit
from sfm_stream.kernels.inputs import scale
from sfm_stream.kernels.records import REJECTED, notice
from sfm_stream.kernels.rows import matrix, vector
from sfm_stream.state.places import (
    BACK,
    BACK_TIME,
    COUNTERS,
    LAST_TIME,
    MISSING_MEAN,
    SEEN,
    TICKS,
)

# 1850-01-01 and 2100-01-01, ns: the time between any two fits int64.
EARLIEST, LATEST = -3_786_912_000 * 10**9, 4_102_444_800 * 10**9
# No stream begins between 1970 and this, ns: a clock that was never set says so, and
# times whose unit was taken for one a thousand times smaller.
UNSET = LATEST // 1000
RESTART = 16
"""Ticks in a row that go back, but not among themselves: the stream begins anew."""
BAD_TIME, OUTSIDE, BACKWARD, INFINITE, ABSENT, STRANGER, CROWDED = range(7)


@jit
def refuse(s, tables, row, work, events, i, keeps, out):
    """Reject a tick that cannot be taken in; else leave its signals in `work`.

    Ticks that go back are counted if `keeps` is set: a peek must change nothing.
    """
    counters = vector(row.i64, s.at_counters, COUNTERS)
    signals = matrix(tables.i64, s.at_signals, s.signals, 5)
    before = vector(row.f64, s.at_before, s.signals)
    now = vector(work.f64, s.at_now, s.signals)
    time, field, reason, missing = events.time[i], -1, -1, -1
    last = counters[LAST_TIME] if counters[TICKS] > 0 else NO_TIME
    if time == NO_TIME:
        reason = BAD_TIME
    elif is_outside(time, last):
        reason = OUTSIDE
    elif events.code[i] == LATE:
        reason = BACKWARD
    elif time < last:
        run = 1
        if counters[BACK] > 0 and time >= counters[BACK_TIME]:
            run = counters[BACK] + 1
        if keeps:
            counters[BACK], counters[BACK_TIME] = run, time
        if run < RESTART:
            reason = BACKWARD
    elif keeps:
        counters[BACK] = 0
    for f in range(s.fields):
        if reason < 0 and math.isinf(events.values[i, f]):
            reason, field = INFINITE, f
    if reason < 0:
        missing = scale.derive(s, signals, events.values[i], before, now)
        field = infinite_field(s, signals, now) if missing < 0 else -1
        reason = INFINITE if field >= 0 else -1
    if reason < 0:
        for j in range(s.signals):
            # A stream cannot begin with a value that is missing.
            if missing < 0 and counters[SEEN] == 0 and math.isnan(now[j]):
                if s.missing != MISSING_MEAN or is_target(s, tables, j):
                    missing = j
        if missing >= 0:
            reason, field = ABSENT, signals[missing, 1]
    if reason >= 0:
        reject(events, i, out, field, reason)
    return reason >= 0


@inline
def is_outside(time, last):
    """Say whether no tick can be of a time, after a last one, NO_TIME without."""
    is_unset = 0 <= time < UNSET and not NO_TIME < last < UNSET
    return time < EARLIEST or is_unset or time >= LATEST


@inline
def share(s, rows, first, last):
    """Copy the count of ticks that go back to all rows of a stream, from its first."""
    for b in range(first + 1, last):
        for j in (BACK, BACK_TIME):
            rows.i64[b, s.at_counters + j] = rows.i64[first, s.at_counters + j]


@jit
def infinite_field(s, signals, now):
    """Give the first field of a derived value that no float holds, or -1."""
    for j in range(s.signals):
        if math.isinf(now[j]):
            return signals[j, 1]
    return -1


@jit
def reject(events, i, out, field, reason):
    """Say that an event was not taken in."""
    notice(
        out, REJECTED, events.seq[i], events.stream[i], events.time[i], field, reason
    )


@inline
def is_target(s, tables, signal):
    """Say whether a signal is forecast."""
    found = False
    for j in range(s.targets):
        if tables.i64[s.at_target + j] == signal:
            found = True
    return found
