"""The compiled tick: one entry for one tick, a block of ticks, and a peek.

    advance(events, start, stop, phase):
        for each event:
            OBSERVE   reject or accept -> settle due forecasts -> scale -> step the
                      memory -> forecasts of experts -> aggregate -> intervals
            LEARN     when an update is due: back-propagate, take the optimiser's step

A tick settles the forecasts for it. If a label gives its target ahead, the label
settles these forecasts at once, and an update that becomes due waits for the label.

The number of events and the phase are run-time arguments, so a block and single ticks
run the same machine code and write the same records, bit for bit. The functions that
`advance` calls are inlined or call no others: the compiler optimises each level of
calls again, so a deep tree of calls would take minutes.
"""

from __future__ import annotations

import math

from sfm_stream.events.kinds import (
    ADAPT,
    ANEW,
    CONTROL,
    GAP,
    HEARTBEAT,
    LABEL,
    NO_TIME,
    TICK,
    pause,
)
from sfm_stream.jit.scalars import ONE, inline, jit
from sfm_stream.kernels.experts import forecast, mature
from sfm_stream.kernels.inputs import accept, period, scale, screen, season
from sfm_stream.kernels.learning import adapt, learn, shared, stripe
from sfm_stream.kernels.memory import cell
from sfm_stream.kernels.records import FORECASTS, NOTICES, SCORES
from sfm_stream.kernels.rows import (
    ALL_ROWS,
    NO_ROOM,
    arena_row,
    cube,
    matrix,
    vector,
)
from sfm_stream.state.places import (
    COUNTERS,
    FRESH,
    FROZEN,
    GAP_DECAY,
    GAP_KEEP,
    LABELLED,
    LAST_TIME,
    SEEN,
    SEGMENT,
    SIGHT,
    SINCE_UPDATE,
    TICKS,
    TRACKERS,
    UNIT_NS,
)

OBSERVE, LEARN, PEEK, KEEP = 1, 2, 4, 8
# The memory treats longer gaps as this many units: by then it has decayed to 0.
LONGEST_GAP = 1e6

paused = inline(pause)


@jit
def advance(settings, tables, rows, scratch, events, start, stop, phase, out):
    """Process the events from `start` to `stop` in the given phases.

    Args:
        settings: `layout.Layout.settings`.
        tables: `layout.Layout.tables`.
        rows: `Bank.rows`, the arenas [B, width].
        scratch: `Bank.work`.
        events: `rows.Events`.
        start: first event.
        stop: the event after the last one.
        phase: OBSERVE, LEARN, their sum, or PEEK. With KEEP added to OBSERVE the first
            tick is the last peeked one: its step of the memory is not repeated. Its
            forecasts are made again only if it settles others; otherwise they are not
            written again.
        out: `rows.Out`; its counts hold the numbers of written records.

    Returns:
        The first event that is not processed: `stop`, or less if `out` is full or the
        ring of stored ticks must grow.
    """
    s, again = settings[0], settings[1]
    table, work = arena_row(tables, 0), arena_row(scratch, 0)
    for i in range(start, stop):
        first, last = events.row[i], events.row[i] + s.targets
        if first == ALL_ROWS:
            first, last = 0, len(rows.i64)
        elif first < 0:
            first, last = 0, 0
        if is_full(s, rows, first, last, out):
            return i
        joins = phase & OBSERVE and events.kind[i] == TICK
        if joins and lacks_room(s, table, rows, first, last):
            return i
        if events.row[i] < ALL_ROWS and phase != LEARN and events.kind[i] == TICK:
            crowded = events.row[i] == NO_ROOM
            reason = accept.CROWDED if crowded else accept.STRANGER
            accept.reject(events, i, out, -1, reason)
        for b in range(first, last):
            row = arena_row(rows, b)
            if phase != LEARN:
                if events.kind[i] == TICK and b == first:
                    keeps = phase != PEEK
                    refused = accept.refuse(s, table, row, work, events, i, keeps, out)
                    accept.share(s, rows, first, last)
                    if refused:
                        break
                if phase != PEEK and ends_segment(s, row, events, i):
                    seq = events.seq[i]
                    mature.void(s, row, out, seq, b, 0, mature.VOID_GAP)
                    learn_from(s, again, table, rows, b, work, seq, out)
                    end_segment(s, row, events, i)
                observe(s, table, row, work, b, events, i, phase, out)
            due = row.i64[s.at_counters + SINCE_UPDATE] >= s.every
            if phase & LEARN and due and not awaits_label(s, row):
                learn_from(s, again, table, rows, b, work, events.seq[i], out)
            if phase & LEARN and stripe.has_piece(s, row):
                stripe.go_on(s, again, table, row, work, b, events.seq[i], out)
    return stop


@inline
def learn_from(s, again, table, rows, b, work, seq, out):
    """Learn from a row's new labels; step a shared cell when all streams joined."""
    row, home = arena_row(rows, b), shared.home_of(s, rows, b)
    if s.late > 0:
        while stripe.is_under_way(s, row):
            stripe.go_on(s, again, table, row, work, b, seq, out)
        stripe.begin(s, again, row)
        return
    if s.shared != 0 and shared.has_joined(s, home, row):
        shared.step_together(s, rows, b)
    learn.update(s, again, table, row, home, work, b, seq, out)
    if s.shared != 0 and shared.is_complete(s, rows, home):
        shared.step_together(s, rows, b)


@inline
def is_full(s, rows, first, last, out):
    """Say whether `out` may have no room for the records of one more event."""
    waiting = 0
    for b in range(first, last):
        ticks = rows.i64[b, s.at_counters + TICKS]
        for q in range(s.horizons):
            waiting += ticks - rows.i64[b, s.at_head_tick + q]
    most = (last - first) * s.horizons
    return (
        out.counts[FORECASTS] + most > len(out.forecast_int)
        or out.counts[SCORES] + waiting > len(out.score_int)
        or out.counts[NOTICES] + waiting + (2 + s.helpers) * (last - first) + 1
        > len(out.notice_int)
    )


@inline
def lacks_room(s, table, rows, first, last):
    """Say whether the ring may have no room for one more tick.

    This happens only with horizons in time, for which the ring grows; see `state.ring`.
    """
    if s.ring >= s.max_pending + s.window + s.late + 2:
        return False
    horizons = matrix(table.i64, s.at_horizons, s.horizons, 2)
    most = s.ring - (s.window + s.every + s.late + 2)
    for b in range(first, last):
        ticks = rows.i64[b, s.at_counters + TICKS]
        for q in range(s.horizons):
            if horizons[q, 1] > 0 and ticks - rows.i64[b, s.at_head_tick + q] >= most:
                return True
    return False


@inline
def awaits_label(s, row):
    """Say whether the last tick's label is expected: the tick before had a label."""
    ticks = row.i64[s.at_counters + TICKS]
    return row.i64[s.at_counters + LABELLED] == ticks - 1


@inline
def ends_segment(s, row, events, i):
    """Say whether an event is a gap, or a tick that goes back or exceeds `max_gap`."""
    if row.i64[s.at_counters + TICKS] == 0:
        return False  # there is no segment before the first tick
    if events.kind[i] == GAP:
        return True
    if events.kind[i] != TICK:
        return False
    passed = events.time[i] - row.i64[s.at_counters + LAST_TIME]
    return passed < 0 or (s.max_gap > 0 and passed > s.max_gap)


@inline
def end_segment(s, row, events, i):
    """Begin a new segment: no gradients, moves or errors cross the gap."""
    row.i64[s.at_counters + SEGMENT] = row.i64[s.at_counters + TICKS]
    row.i64[s.at_counters + FRESH] = 1
    for j in range(s.lags):
        row.f64[s.at_moves + j] = 0.0
    for j in range(s.errors):
        row.f64[s.at_errors + j] = 0.0
    if events.kind[i] == GAP and events.code[i] == ANEW:
        row.i64[s.at_counters + LAST_TIME] = events.time[i]


@inline
def observe(s, tables, row, work, number, events, i, phase, out):
    """Process one event in one row, except for learning."""
    settled = meet(s, tables, row, work, number, events, i, phase, out)
    if events.kind[i] == TICK:
        stands = phase & KEEP != 0 and not settled
        observe_tick(s, tables, row, work, number, events, i, phase, stands, out)


@inline
def value_of(s, tables, row, work, number, events, i):
    """Give the target's value at an event; NaN if the event has none."""
    target = tables.i64[s.at_target + number % s.targets]
    value = math.nan
    if events.kind[i] == TICK:
        value = work.f64[s.at_now + target]
        value = row.f64[s.at_before + target] if math.isnan(value) else value
    elif events.kind[i] == LABEL:
        signals = matrix(tables.i64, s.at_signals, s.signals, 5)
        value = scale.derived(events.values[i], signals[target])
        value = value if math.isfinite(value) else math.nan
    return value


@inline
def meet(s, tables, row, work, number, events, i, phase, out):
    """Settle and void forecasts by an event, or apply a control; say if any settled."""
    kind, seq, time = events.kind[i], events.seq[i], events.time[i]
    past = row.f64[s.at_before + tables.i64[s.at_target + number % s.targets]]
    value = value_of(s, tables, row, work, number, events, i)
    if kind == CONTROL:
        if events.code[i] == ADAPT:
            adapt.adapt(s, tables, row)
        else:
            frozen = s.at_counters + FROZEN
            row.i64[frozen] = paused(row.i64[frozen], events.code[i])
    scored = out.counts[SCORES]
    if phase != PEEK and (kind == TICK or kind == HEARTBEAT or kind == LABEL):
        mature.settle_due(s, tables, row, work, out, seq, number, time, past, value)
    if kind == LABEL:
        if math.isnan(value):
            mature.void_due(s, tables, row, out, seq, number)
        if row.i64[s.at_counters + TICKS] > 0:  # else the stream has no tick to label
            row.i64[s.at_counters + LABELLED] = row.i64[s.at_counters + TICKS]
    if kind == TICK and phase != PEEK:
        most = s.max_pending - 1  # one more comes with this tick
        mature.void(s, row, out, seq, number, most, mature.VOID_CROWDED)
    return out.counts[SCORES] != scored


@inline
def observe_tick(s, tables, row, work, number, events, i, phase, stands, out):
    """Scale, step the memory, forecast unless peeked forecasts stay, store the tick."""
    seq, time = events.seq[i], events.time[i]
    value = value_of(s, tables, row, work, number, events, i)
    counters = vector(row.i64, s.at_counters, COUNTERS)
    target = tables.i64[s.at_target + number % s.targets]
    now = vector(work.f64, s.at_now, s.signals)
    slot = s.ring - 1 if phase == PEEK else counters[TICKS] % (s.ring - 1)
    tau = scale.elapsed(s, row, time)
    inputs = cube(tables.i64, s.at_inputs, s.targets, s.inputs, 2)
    u = matrix(row.f32, s.at_tape_u, s.ring, s.inputs + s.outputs + 1)[slot]
    x = matrix(row.f64, s.at_origin_regressors, s.ring, s.regressors)[slot]
    scale.scale_inputs(
        s, row, inputs[number % s.targets], now, time, tau, phase != PEEK, u,
        x[s.z_seen : s.z_seen + s.inputs],
    )  # fmt: skip
    row.f32[s.at_tape_tau + slot] = tau if s.clocked != 0 else ONE
    if phase & KEEP:
        keep(s, row, slot)
    elif s.cell != 0:
        before = (counters[TICKS] + s.ring - 2) % (s.ring - 1)
        if counters[FRESH] != 0 and counters[SEEN] > 0 and s.gap != GAP_KEEP:
            cell.lose(s, tables, row, before, slot, lost(s, row, time))
            before = slot
        cell.step(s, tables, row, work, before, slot)
    move = scale.move_of(s, row, target, value)
    row.f64[s.at_origin_value + slot] = value
    row.i64[s.at_origin_time + slot] = time
    if not stands:
        forecast.gather(s, row, slot, move)
        forecast.say(s, tables, row, work, number, seq, slot, time, value, out)
    if phase != PEEK:
        labels = matrix(row.f32, s.at_labels, s.ring, s.horizons)
        for q in range(s.horizons):
            labels[slot, q] = math.nan
        if s.seasons > 0:
            season.watch(s, row, time, value)
        period.watch(s, row, value)
        if s.helpers > 0:
            screen.watch(s, tables, row, out, seq, number, now)
        scale.remember(s, row, now, value, move, time)


@jit
def keep(s, row, slot):
    """Copy the step and the forecasts of a peek from the last slot to `slot`."""
    k, d, m, q = s.frequencies, s.states, s.outputs, s.horizons
    for at, width in (
        (s.at_tape_u, s.inputs + m + 1), (s.at_tape_gates, s.gates),
        (s.at_tape_turned, k * 2 * d), (s.at_tape_read, k * 3 * d),
        (s.at_tape_out, k * m), (s.at_tape_turn, 3 * k), (s.at_tape_z, m),
    ):  # fmt: skip
        copy, kept = at + slot * width, at + (s.ring - 1) * width
        for j in range(width):
            row.f32[copy + j] = row.f32[kept + j]
    for at, width in (
        (s.at_origin_center, q), (s.at_origin_scale, q), (s.at_origin_mixed, q),
        (s.at_origin_regressors, s.regressors), (s.at_origin_experts, q * s.experts),
        (s.at_origin_bounds, q * s.bounds), (s.at_origin_sight, q * SIGHT),
        (s.at_origin_widths, q * s.levels * (TRACKERS + 1)),
        (s.at_origin_season, q * s.seasons),
    ):  # fmt: skip
        copy, kept = at + slot * width, at + (s.ring - 1) * width
        for j in range(width):
            row.f64[copy + j] = row.f64[kept + j]


@inline
def lost(s, row, time):
    """Give the length of a gap for the memory, in units; infinite to erase it."""
    if s.gap != GAP_DECAY:
        return math.inf
    unit = row.f64[s.at_gauges + UNIT_NS]
    if row.i64[s.at_counters + LAST_TIME] == NO_TIME:
        return 0.0
    if not unit > 0.0:
        return 1.0
    # One unit belongs to the tick that ends the gap.
    unseen = (time - row.i64[s.at_counters + LAST_TIME]) / unit - 1.0
    return min(max(unseen, 0.0), LONGEST_GAP)
