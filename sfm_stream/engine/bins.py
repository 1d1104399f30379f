"""Folds ticks into bins of event time, before the engine sees them.

Bin k of a stream covers the times [k every, (k + 1) every), counted from the epoch. The
first tick or heartbeat at or beyond the end of the bin closes it. The bin becomes one
tick at its end, with the number of the event that closed it.

A bin without ticks holds the last known value of each field, or 0 for a sum or a count;
a field whose values are all missing in a bin is missing in it. More than `MOST_EMPTY`
empty bins in a row become one gap, and the next tick opens a new bin. The bin that is
open at a gap is dropped: its values are incomplete. A tick that cannot be folded (late,
infinite or without a readable time) passes through for the engine to reject. After
`RESTART` late ticks in a row whose times do not decrease, the stream starts again after
a gap: its clock was set back, or one earlier time was far ahead.

The annotations of compiled functions are for the reader: numba infers their types.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sfm_stream.events import Floats, Ints
from sfm_stream.events.kinds import (
    ALL_STREAMS,
    ANEW,
    GAP,
    HEARTBEAT,
    LATE,
    NO_TIME,
    TICK,
)
from sfm_stream.jit import cache
from sfm_stream.jit.scalars import strict
from sfm_stream.kernels.inputs.accept import RESTART, is_outside

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCES = cache.Sources(
    ("jit/*.py", "kernels/**/*.py", "state/*.py", "events/kinds.py", "engine/bins.py"),
    ("__init__.py", "blas.py", "cache.py"),
)
FOLDS = {"last": 0, "first": 1, "min": 2, "max": 3, "sum": 4, "mean": 5, "count": 6}
LAST, FIRST, MIN, MAX, SUM, MEAN, COUNT = range(7)
MOST_EMPTY = 1_000
NO_BIN = NO_TIME
"""Number of the bin of a stream without any tick yet."""
SILENCE = f"no ticks for more than {MOST_EMPTY} bins"


class Columns(NamedTuple):
    """T events as columns; see `sfm_stream.events.Block`."""

    kind: NDArray[np.int8]
    stream: Ints
    time: Ints
    values: Floats  # [T, F]
    code: Ints
    seq: Ints


class Rule(NamedTuple):
    """The length of the bins, and how each field folds."""

    every: Ints  # [1] length of a bin, ns
    folds: Ints  # [F] codes


class Bins(NamedTuple):
    """The open bin of each of S streams, and the values of its F fields."""

    number: Ints  # [S] of the open bin, or of the first that may open; or NO_BIN
    open: Ints  # [S] 0 before the first tick, and from a gap to the next tick
    ticks: Ints  # [S] in the open bin
    empty: Ints  # [S] bins without a tick that were emitted since the last tick
    seen: Ints  # [S, F] values in the open bin that are not missing
    folded: Floats  # [S, F] their fold; their sum where the fold is a mean
    held: Floats  # [S, F] last known value, NaN before the first
    late: Ints  # [S] late ticks in a row whose times do not decrease
    late_time: Ints  # [S] time of the last of these late ticks, ns


def bins(streams: int, fields: int) -> Bins:
    """Give the state of streams without any tick yet."""
    opened, ticks, empty, late, late_time = (
        np.zeros(streams, np.int64) for _ in range(5)
    )
    number = np.full(streams, NO_BIN, np.int64)
    shape = (streams, fields)
    seen, folded = np.zeros(shape, np.int64), np.zeros(shape)
    held = np.full(shape, np.nan)
    return Bins(number, opened, ticks, empty, seen, folded, held, late, late_time)


@strict
def fold(
    rule: Rule, state: Bins, events: Columns, taken: Ints, out: Columns, written: Ints
) -> bool:
    """Fold events into bins, from index `taken` on, for as long as `out` has room.

    Args:
        rule: how ticks fold.
        state: the open bins.
        events: the incoming events.
        taken: [1], the number of events folded so far.
        out: receives the resulting events.
        written: [1], the number of filled rows of `out`.

    Returns:
        Whether all events were folded.
    """
    for i in range(taken[0], len(events.kind)):
        taken[0] = i
        foldable = is_foldable(rule, state, events, i)
        first, last = concerned(state, events.stream[i])
        need = 2  # the event, and the gap before it
        for b in range(first, last):
            need += closing(rule, state, b, events.time[i]) if foldable else 0
        if written[0] + need > len(out.kind):
            return False
        for b in range(first, last):
            if foldable:
                close(rule, state, b, events.time[i], events.seq[i], out, written)
            elif events.kind[i] == GAP:
                drop(state, b)
        if is_late(rule, state, events, i) and begins_anew(state, events, i):
            restart(rule, state, events, i, out, written)
            foldable = is_foldable(rule, state, events, i)
        if foldable and events.kind[i] == TICK:
            add(rule, state, events, i)
        else:
            pass_on(rule, state, events, i, out, written)
    taken[0] = len(events.kind)
    return True


@strict
def is_foldable(rule: Rule, state: Bins, events: Columns, i: int) -> bool:
    """Say whether an event is a heartbeat or tick that the bins can take."""
    kind, stream, time = events.kind[i], events.stream[i], events.time[i]
    last = first_time(rule, state, stream) if stream >= 0 else NO_TIME
    if is_outside(time, last):
        return False
    if kind != TICK:
        return bool(kind == HEARTBEAT)
    if stream < 0 or is_late(rule, state, events, i):
        return False
    infinite = 0
    for f in range(len(rule.folds)):
        infinite += math.isinf(events.values[i, f])
    return infinite == 0


@strict
def is_late(rule: Rule, state: Bins, events: Columns, i: int) -> bool:
    """Say whether an event is a tick whose bin is already closed."""
    stream, time = events.stream[i], events.time[i]
    if events.kind[i] != TICK or stream < 0:
        return False
    first = first_time(rule, state, stream)
    return bool(time < first and not is_outside(time, first))


@strict
def first_time(rule: Rule, state: Bins, stream: int) -> int:
    """Give the time when the first bin begins that is not closed, or NO_TIME."""
    number = state.number[stream]
    return NO_TIME if number == NO_BIN else int(number * rule.every[0])


@strict
def begins_anew(state: Bins, events: Columns, i: int) -> bool:
    """Count a late tick; say whether `RESTART` of them came in a row, in order."""
    b, time = events.stream[i], events.time[i]
    goes_on = state.late[b] > 0 and time >= state.late_time[b]
    state.late[b] = state.late[b] + 1 if goes_on else 1
    state.late_time[b] = time
    return bool(state.late[b] >= RESTART)


@strict
def restart(
    rule: Rule, state: Bins, events: Columns, i: int, out: Columns, written: Ints
) -> None:
    """Start a stream again at the time of a late tick, after a gap."""
    b, time = events.stream[i], events.time[i]
    drop(state, b)
    state.number[b], state.late[b] = time // rule.every[0], 0
    j = emit(out, written, GAP, b, time, ANEW, events.seq[i])
    for f in range(len(rule.folds)):
        out.values[j, f] = math.nan


@strict
def concerned(state: Bins, stream: int) -> tuple[int, int]:
    """Give the range of streams that an event concerns: the first, and the end."""
    if stream == ALL_STREAMS:
        return 0, len(state.number)
    return (stream, stream + 1) if stream >= 0 else (0, 0)


@strict
def closing(rule: Rule, state: Bins, b: int, time: int) -> int:
    """Count the events that `close` emits for the bins that end by `time`."""
    if state.open[b] == 0 or time < (state.number[b] + 1) * rule.every[0]:
        return 0
    full = 1 if state.ticks[b] > 0 else 0
    empty = time // rule.every[0] - state.number[b] - full
    return full + (1 if state.empty[b] + empty > MOST_EMPTY else empty)


@strict
def close(
    rule: Rule, state: Bins, b: int, time: int, seq: int, out: Columns, written: Ints
) -> None:
    """Emit the bins that end by `time`; the bin that contains `time` becomes open."""
    if state.open[b] == 0 or time < (state.number[b] + 1) * rule.every[0]:
        return
    now = time // rule.every[0]
    if state.ticks[b] > 0:
        emit_full(rule, state, b, seq, out, written)
    empty = now - state.number[b]
    if state.empty[b] + empty > MOST_EMPTY:
        drop(state, b)
        state.number[b] = now
        j = emit(out, written, GAP, b, time, empty, seq)
        for f in range(len(rule.folds)):
            out.values[j, f] = math.nan
    while state.number[b] < now:
        emit_empty(rule, state, b, seq, out, written)


@strict
def emit_full(
    rule: Rule, state: Bins, b: int, seq: int, out: Columns, written: Ints
) -> None:
    """Emit the folded values of the open bin, and open the next bin."""
    state.number[b] += 1
    j = emit(out, written, TICK, b, state.number[b] * rule.every[0], 0, seq)
    for f in range(len(rule.folds)):
        if rule.folds[f] == COUNT:
            out.values[j, f] = state.ticks[b]
        elif state.seen[b, f] == 0:
            out.values[j, f] = math.nan
        elif rule.folds[f] == MEAN:
            out.values[j, f] = state.folded[b, f] / state.seen[b, f]
        else:
            out.values[j, f] = state.folded[b, f]
    state.ticks[b] = 0


@strict
def emit_empty(
    rule: Rule, state: Bins, b: int, seq: int, out: Columns, written: Ints
) -> None:
    """Emit the open bin, which has no ticks, and open the next bin."""
    state.number[b] += 1
    state.empty[b] += 1
    j = emit(out, written, TICK, b, state.number[b] * rule.every[0], 0, seq)
    for f in range(len(rule.folds)):
        nothing = rule.folds[f] == SUM or rule.folds[f] == COUNT
        out.values[j, f] = 0.0 if nothing else state.held[b, f]


@strict
def emit(
    out: Columns, written: Ints, kind: int, stream: int, time: int, code: int, seq: int
) -> int:
    """Write an event without its values; give its row."""
    j = written[0]
    written[0] = j + 1
    out.kind[j], out.stream[j], out.time[j] = kind, stream, time
    out.code[j], out.seq[j] = code, seq
    return int(j)


@strict
def drop(state: Bins, b: int) -> None:
    """Drop the open bin; no bin is open until the next tick."""
    state.open[b] = state.ticks[b] = 0


@strict
def add(rule: Rule, state: Bins, events: Columns, i: int) -> None:
    """Fold a tick into the open bin; if no bin is open, open the tick's bin."""
    b = events.stream[i]
    if state.open[b] == 0:
        state.number[b], state.open[b] = events.time[i] // rule.every[0], 1
    state.late[b] = 0
    if state.ticks[b] == 0:
        state.empty[b] = 0
        for f in range(len(rule.folds)):
            state.seen[b, f] = 0
    state.ticks[b] += 1
    for f in range(len(rule.folds)):
        value = events.values[i, f]
        if not math.isnan(value):
            add_value(rule.folds[f], state, b, f, value)


@strict
def add_value(kind: int, state: Bins, b: int, f: int, value: float) -> None:
    """Fold a value that is not missing into its field."""
    past = state.folded[b, f]
    if state.seen[b, f] == 0 or kind == LAST:
        state.folded[b, f] = value
    elif kind == MIN:
        state.folded[b, f] = min(past, value)
    elif kind == MAX:
        state.folded[b, f] = max(past, value)
    elif kind in (SUM, MEAN):
        state.folded[b, f] = past + value
    state.seen[b, f] += 1
    state.held[b, f] = value


@strict
def pass_on(
    rule: Rule, state: Bins, events: Columns, i: int, out: Columns, written: Ints
) -> None:
    """Write an event unchanged, but mark a late tick."""
    stream, time, code = events.stream[i], events.time[i], events.code[i]
    # An engine that has seen no bin yet could not tell that the tick is late.
    code = LATE if is_late(rule, state, events, i) else code
    j = emit(out, written, events.kind[i], stream, time, code, events.seq[i])
    for f in range(len(rule.folds)):
        out.values[j, f] = events.values[i, f]


# Once in a process, before compiled code is loaded from the cache.
_entry: Any = fold
cache.discard([_entry.stats.cache_path], SOURCES)
