"""Stage 0: accepts or rejects a tick, and computes its signals.

A tick that is earlier than the last one of its stream is rejected. But a clock may be
set back, or a wrong time far ahead may have been accepted. So after `RESTART` late
ticks in a row whose times do not decrease, the last of them is accepted, as after a
gap, and the stream goes on from its time.
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

# 1850-01-01 and 2100-01-01, ns: the difference of two times fits int64.
EARLIEST, LATEST = -3_786_912_000 * 10**9, 4_102_444_800 * 10**9
# A stream may not begin between 1970 and this time, ns: such times come from a clock
# that was never set, or from a unit that is wrong by a factor of a thousand.
UNSET = LATEST // 1000
RESTART = 16
"""Late ticks in a row, with times that do not decrease, that restart a stream."""
BAD_TIME, OUTSIDE, BACKWARD, INFINITE, ABSENT, STRANGER, CROWDED = range(7)


@jit
def refuse(s, tables, row, work, events, i, keeps, out):
    """Reject a tick with an invalid time or values; else write its signals to `work`.

    Late ticks are counted if `keeps` is set; a peek does not count them.
    """
    reason, field = untimely(s, row, events, i, keeps), -1
    if reason < 0:
        reason, field = unusable(s, tables, row, work, events, i)
    if reason >= 0:
        reject(events, i, out, field, reason)
    return reason >= 0


@inline
def untimely(s, row, events, i, keeps):
    """Give the reason why a tick's time is invalid, or -1."""
    counters, time = vector(row.i64, s.at_counters, COUNTERS), events.time[i]
    last = counters[LAST_TIME] if counters[TICKS] > 0 else NO_TIME
    if time == NO_TIME:
        return BAD_TIME
    if is_outside(time, last):
        return OUTSIDE
    if events.code[i] == LATE:
        return BACKWARD
    run = 0
    if time < last:
        follows = counters[BACK] > 0 and time >= counters[BACK_TIME]
        run = counters[BACK] + 1 if follows else 1
    if keeps:
        counters[BACK] = run
        if run > 0:
            counters[BACK_TIME] = time
    return BACKWARD if 0 < run < RESTART else -1


@inline
def unusable(s, tables, row, work, events, i):
    """Give the reason why a tick's values are invalid and the field, or -1 and -1."""
    for f in range(s.fields):
        if math.isinf(events.values[i, f]):
            return INFINITE, f
    signals = matrix(tables.i64, s.at_signals, s.signals, 5)
    before = vector(row.f64, s.at_before, s.signals)
    now = vector(work.f64, s.at_now, s.signals)
    missing = scale.derive(s, signals, events.values[i], before, now)
    if missing < 0:
        field = infinite_field(s, signals, now)
        if field >= 0:
            return INFINITE, field
        if row.i64[s.at_counters + SEEN] == 0:
            missing = missing_at_birth(s, tables, now)
    if missing >= 0:
        return ABSENT, signals[missing, 1]
    return -1, -1


@inline
def missing_at_birth(s, tables, now):
    """Give the first missing signal without which a stream cannot begin, or -1."""
    for j in range(s.signals):
        needed = s.missing != MISSING_MEAN or is_target(s, tables, j)
        if math.isnan(now[j]) and needed:
            return j
    return -1


@inline
def is_outside(time, last):
    """Say whether a time is impossible; `last` is that of the last tick, or NO_TIME."""
    is_unset = 0 <= time < UNSET and not NO_TIME < last < UNSET
    return time < EARLIEST or is_unset or time >= LATEST


@inline
def share(s, rows, first, last):
    """Copy the count of late ticks from the first row of a stream to its other rows."""
    for b in range(first + 1, last):
        for j in (BACK, BACK_TIME):
            rows.i64[b, s.at_counters + j] = rows.i64[first, s.at_counters + j]


@jit
def infinite_field(s, signals, now):
    """Give the first field of a derived value that is infinite, or -1."""
    for j in range(s.signals):
        if math.isinf(now[j]):
            return signals[j, 1]
    return -1


@jit
def reject(events, i, out, field, reason):
    """Write the notice of a rejected event."""
    notice(
        out, REJECTED, events.seq[i], events.stream[i], events.time[i], field, reason
    )


@inline
def is_target(s, tables, signal):
    """Say whether a signal is a target."""
    found = False
    for j in range(s.targets):
        if tables.i64[s.at_target + j] == signal:
            found = True
    return found
