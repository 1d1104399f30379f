"""The compiled tick: one entry for one tick, a block of ticks, and a peek.

    advance(events, start, stop, phase):
        for each event:
            OBSERVE   reject or take in -> settle what is due -> scale -> step the
                      memory -> ask the experts -> aggregate -> state the interval
            LEARN     when an update is due: back-propagate, take the optimiser's step

A tick settles what was forecast for it. Where a label tells its target ahead, that
settles the same at once, and an update that falls due waits for the label.

The number of events and the phase are run-time arguments, so a block and single ticks
run the same machine code and say the same records, bit for bit. What `advance` calls is
either inlined into it or a leaf: each level of compiled calls is optimised again from
the start, and a deep tree takes minutes.
"""

from __future__ import annotations

import math

from sfm_stream.events import (
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
from sfm_stream.jit.scalars import FARTHEST, LONGEST_LOG, ONE, ZERO, clip, inline, jit
from sfm_stream.kernels import (
    accept,
    adam,
    adapt,
    aggregate,
    backprop,
    cell,
    interval,
    mature,
    scale,
)
from sfm_stream.kernels.least_squares import predict
from sfm_stream.kernels.mature import FORECASTS, NOTICES, SCORES, UPDATED
from sfm_stream.kernels.rows import (
    ALL_ROWS,
    NO_ROOM,
    arena_row,
    cube,
    linear_biases,
    linear_heads,
    matrix,
    vector,
)
from sfm_stream.state.experts import EXPERT, FIRST, SIZE, THETA
from sfm_stream.state.layout import (
    ADAM_STEP,
    COUNTERS,
    ERRORS_KEPT,
    FRESH,
    FROZEN,
    GAP_DECAY,
    GAP_KEEP,
    LABELLED,
    LAST_TIME,
    MISSES,
    MOVE_SQUARE,
    MOVES,
    SEEN,
    SEGMENT,
    SINCE_UPDATE,
    TICKS,
    UNIT_NS,
    VALUE_MEAN,
    VALUE_VAR,
    VERSION,
)
from sfm_stream.state.targets import PREDICT_LEVEL, PREDICT_LOG_RETURN

OBSERVE, LEARN, PEEK, KEEP = 1, 2, 4, 8
NO_SKIP, SKIP_LOSS, SKIP_GRADIENT = range(3)
# A gap is at most this many units long to the memory: by then all is forgotten.
LONGEST_GAP = 1e6
# Bounds are finite.
LARGEST = 1e308

paused = inline(pause)


@jit
def advance(settings, tables, rows, scratch, events, start, stop, phase, out):
    """Take the events from `start` to `stop` through the given phases.

    Args:
        settings: `layout.Layout.settings`.
        tables: `layout.Layout.tables`.
        rows: `Bank.rows`, the arenas [B, width].
        scratch: `Bank.work`.
        events: `rows.Events`.
        start: first event.
        stop: after the last event.
        phase: OBSERVE, LEARN, both added, or PEEK; with KEEP added to OBSERVE the first
            tick is the one last peeked at, and its step of the memory is not repeated.
        out: `rows.Out`; its counts say how many records were written.

    Returns:
        The number of the first event not taken: `stop`, or less where `out` is full.
    """
    s = settings[0]
    table, work = arena_row(tables, 0), arena_row(scratch, 0)
    for i in range(start, stop):
        first, last = events.row[i], events.row[i] + s.targets
        if first == ALL_ROWS:
            first, last = 0, len(rows.i64)
        elif first < 0:
            first, last = 0, 0
        if is_full(s, rows, first, last, out):
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
                    update(s, table, row, work, b, seq, out)
                    end_segment(s, row, events, i)
                observe(s, table, row, work, b, events, i, phase, out)
            due = row.i64[s.at_counters + SINCE_UPDATE] >= s.every
            if phase & LEARN and due and not awaits_label(s, row):
                update(s, table, row, work, b, events.seq[i], out)
    return stop


@inline
def is_full(s, rows, first, last, out):
    """Say whether the records of one more event of these rows may not find room."""
    waiting = 0
    for b in range(first, last):
        ticks = rows.i64[b, s.at_counters + TICKS]
        for q in range(s.horizons):
            waiting += ticks - rows.i64[b, s.at_head_tick + q]
    most = (last - first) * s.horizons
    return (
        out.counts[FORECASTS] + most > len(out.forecast_int)
        or out.counts[SCORES] + waiting > len(out.score_int)
        or out.counts[NOTICES] + waiting + 2 * (last - first) + 1 > len(out.notice_int)
    )


@inline
def awaits_label(s, row):
    """Say whether the last tick's label may be expected: the one before had its own."""
    ticks = row.i64[s.at_counters + TICKS]
    return row.i64[s.at_counters + LABELLED] == ticks - 1


@inline
def ends_segment(s, row, events, i):
    """Say whether an event is a gap, or a tick that goes back or is long after."""
    if events.kind[i] == GAP:
        return True
    if events.kind[i] != TICK or row.i64[s.at_counters + TICKS] == 0:
        return False
    passed = events.time[i] - row.i64[s.at_counters + LAST_TIME]
    return passed < 0 or (s.max_gap > 0 and passed > s.max_gap)


@inline
def end_segment(s, row, events, i):
    """Let nothing flow across a gap: neither gradients nor changes."""
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
    """Take one event into one row."""
    kind, seq, time = events.kind[i], events.seq[i], events.time[i]
    target = tables.i64[s.at_target + number % s.targets]
    past = row.f64[s.at_before + target]
    value = work.f64[s.at_now + target] if kind == TICK else math.nan
    if kind == TICK and math.isnan(value):
        value = past
    if kind == LABEL:
        signals = matrix(tables.i64, s.at_signals, s.signals, 5)
        value = scale.derived(events.values[i], signals[target])
        value = value if math.isfinite(value) else math.nan
    if kind == CONTROL:
        if events.code[i] == ADAPT:
            adapt.adapt(s, tables, row)
        else:
            frozen = s.at_counters + FROZEN
            row.i64[frozen] = paused(row.i64[frozen], events.code[i])
    if phase != PEEK and (kind == TICK or kind == HEARTBEAT or kind == LABEL):
        mature.settle_due(s, tables, row, work, out, seq, number, time, past, value)
    if kind == LABEL:
        if math.isnan(value):
            mature.void_due(s, tables, row, out, seq, number)
        if row.i64[s.at_counters + TICKS] > 0:  # else no tick of it waits for a label
            row.i64[s.at_counters + LABELLED] = row.i64[s.at_counters + TICKS]
    if kind == TICK:
        if phase != PEEK:
            most = s.max_pending - 1  # this tick's joins them
            mature.void(s, row, out, seq, number, most, mature.VOID_CROWDED)
        observe_tick(s, tables, row, work, number, seq, time, value, phase, out)


@inline
def observe_tick(s, tables, row, work, number, seq, time, value, phase, out):
    """Scale, step the memory, forecast, remember."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    target = tables.i64[s.at_target + number % s.targets]
    now = vector(work.f64, s.at_now, s.signals)
    slot = s.ring - 1 if phase == PEEK else counters[TICKS] % (s.ring - 1)
    tau = scale.elapsed(s, row, time)
    inputs = cube(tables.i64, s.at_inputs, s.targets, s.inputs, 2)
    u = matrix(row.f32, s.at_tape_u, s.ring, s.inputs + s.outputs + 1)[slot]
    scale.scale_inputs(
        s, row, inputs[number % s.targets], now, time, tau, phase != PEEK, u
    )
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
    gather(s, row, slot, move, u)
    forecast(s, tables, row, number, seq, slot, time, value, out)
    if phase != PEEK:
        labels = matrix(row.f32, s.at_labels, s.ring, s.horizons)
        for q in range(s.horizons):
            labels[slot, q] = math.nan
        scale.remember(s, row, now, value, move, time)


@jit
def keep(s, row, slot):
    """Take over the step that a peek left in the last slot."""
    k, d, m = s.frequencies, s.states, s.outputs
    for at, width in (
        (s.at_tape_u, s.inputs + m + 1), (s.at_tape_gates, s.gates),
        (s.at_tape_turned, k * 2 * d), (s.at_tape_read, k * 3 * d),
        (s.at_tape_out, k * m), (s.at_tape_turn, 3 * k), (s.at_tape_z, m),
    ):  # fmt: skip
        copy, kept = at + slot * width, at + (s.ring - 1) * width
        for j in range(width):
            row.f32[copy + j] = row.f32[kept + j]


@inline
def lost(s, row, time):
    """Give how many units of time a gap took from the memory."""
    if s.gap != GAP_DECAY:
        return math.inf
    unit = row.f64[s.at_gauges + UNIT_NS]
    if row.i64[s.at_counters + LAST_TIME] == NO_TIME:
        return 0.0
    if not unit > 0.0:
        return 1.0
    # The tick that ends the gap takes its own unit.
    unseen = (time - row.i64[s.at_counters + LAST_TIME]) / unit - 1.0
    return min(max(unseen, 0.0), LONGEST_GAP)


@jit
def gather(s, row, slot, move, u):
    """Write the regressors of least squares; see `experts`."""
    x = matrix(row.f64, s.at_origin_regressors, s.ring, s.regressors)[slot]
    for j in range(s.inputs):
        x[j] = u[j]
    moves = vector(row.f64, s.at_moves, s.lags)
    unit = scale.deviation(row.f64[s.at_gauges + MOVE_SQUARE])
    x[s.inputs] = clip(move / unit, s.input_clip)
    place = row.i64[s.at_counters + MOVES]
    for j in range(1, s.lags):
        x[s.inputs + j] = clip(moves[place] / unit, s.input_clip)
        place = place - 1 if place > 0 else s.lags - 1
    place = row.i64[s.at_counters + MISSES]
    for j in range(s.errors):
        x[s.inputs + s.lags + j] = row.f64[s.at_errors + place]
        place = place - 1 if place > 0 else s.errors - 1
    one = s.inputs + s.lags + s.errors
    x[one] = 1.0
    if s.cell != 0:
        z = matrix(row.f32, s.at_tape_z, s.ring, s.outputs)[slot]
        for j in range(s.outputs):
            x[one + 1 + j] = z[j]


@jit
def forecast(s, tables, row, number, seq, slot, time, value, out):
    """Ask the experts about every horizon and say their weighted mean."""
    y, horizons = row.f64, s.horizons
    centers = matrix(y, s.at_origin_center, s.ring, horizons)[slot]
    units = matrix(y, s.at_origin_scale, s.ring, horizons)[slot]
    mixes = matrix(y, s.at_origin_mixed, s.ring, horizons)[slot]
    experts = cube(y, s.at_origin_experts, s.ring, horizons, s.experts)[slot]
    bounds = cube(y, s.at_origin_bounds, s.ring, horizons, 3)[slot]
    weights = matrix(y, s.at_mix_weight, horizons, s.experts)
    states = matrix(y, s.at_interval, horizons, 2 + 2 * ERRORS_KEPT)
    for q in range(horizons):
        center, unit = units_of(s, row, q, value)
        centers[q], units[q] = center, unit
        anchor = clip((value - center) / unit, FARTHEST)
        ask(s, tables, row, slot, q, anchor, experts[q])
        for e in range(s.experts):
            held = clip(experts[q, e] - anchor, s.input_clip)
            experts[q, e] = anchor + held if math.isfinite(held) else anchor
        mixed = aggregate.mixture(weights[q], experts[q])
        mixes[q] = mixed
        width = interval.half_width(states[q])
        for j in range(3):
            scaled = mixed + (0.0 if j == 0 else (width if j == 2 else -width))
            if s.predict == PREDICT_LOG_RETURN:
                grown = value * math.exp(clip(scaled * unit, LONGEST_LOG))
                bounds[q, j] = clip(grown, LARGEST)
            else:
                bounds[q, j] = clip(center + scaled * unit, LARGEST)
        if bounds[q, 1] > bounds[q, 2]:  # a negative value falls as its log grows
            bounds[q, 1], bounds[q, 2] = bounds[q, 2], bounds[q, 1]
        write_forecast(s, tables, row, number, seq, slot, q, time,
                       bounds[q], weights[q], out)  # fmt: skip


@inline
def units_of(s, row, q, value):
    """Give what 0 and 1 mean to a scaled forecast made now."""
    if s.predict == PREDICT_LEVEL:
        if row.i64[s.at_counters + SEEN] < 2:
            return value, 1.0
        gauges = row.f64[s.at_gauges :]
        return gauges[VALUE_MEAN], scale.deviation(gauges[VALUE_VAR])
    if row.f64[s.at_label_count + q] < 2.0:
        return value, 1.0
    return value, scale.deviation(row.f64[s.at_label_square + q])


@inline
def ask(s, tables, row, slot, q, anchor, experts):
    """Write each expert's scaled forecast [E]."""
    y = row.f64
    if s.last_at >= 0:
        experts[s.last_at] = anchor
    x = matrix(y, s.at_origin_regressors, s.ring, s.regressors)[slot]
    squares = matrix(tables.i64, s.at_squares, s.squares, 5)
    for e in range(s.squares):
        first, size = squares[e, FIRST], squares[e, SIZE]
        theta = s.at_theta + q * s.theta + squares[e, THETA]
        experts[squares[e, EXPERT]] = predict(
            y[theta : theta + size], x[first : first + size]
        )
    if s.sfm_at >= 0:
        z = matrix(row.f32, s.at_tape_z, s.ring, s.outputs)[slot]
        v = linear_heads(row.f32, s.at_weights, s)[q]
        total = linear_biases(row.f32, s.at_weights, s)[q]
        for j in range(s.outputs):
            total += v[j] * z[j]
        experts[s.sfm_at] = total


@inline
def write_forecast(s, tables, row, number, seq, slot, q, time, bounds, weights, out):
    """Say a forecast; the first horizon's carries the amplitudes."""
    i = out.counts[FORECASTS]
    out.counts[FORECASTS] = i + 1
    origin = row.i64[s.at_counters + TICKS]
    horizon = matrix(tables.i64, s.at_horizons, s.horizons, 2)[q]
    where, what = out.forecast_int[i], out.forecast_num[i]
    where[0], where[1], where[2] = seq, number, q
    where[3], where[4] = origin, time
    where[5] = origin + horizon[0] if horizon[0] > 0 else time + horizon[1]
    for j in range(3):
        what[j] = bounds[j]
    for e in range(s.experts):
        what[3 + e] = weights[e]
    amplitudes = what[3 + s.experts :]
    if q == 0 and s.cell != 0:
        read = cube(row.f32, s.at_tape_read, s.ring, s.frequencies, 3 * s.states)
        cell.amplitude(s.states, read[slot], amplitudes)
    else:
        for k in range(s.frequencies):
            amplitudes[k] = math.nan


@jit
def update(s, tables, row, work, number, seq, out):
    """Learn from the labels that matured since the last update."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    learned = vector(row.i64, s.at_learned, s.horizons)
    head = vector(row.i64, s.at_head_tick, s.horizons)
    spans = matrix(work.i64, s.at_spans, s.horizons, 3)
    counters[SINCE_UPDATE] = 0
    labels = backprop.windows(s, row, spans)
    if labels > 0 and s.learns != 0 and counters[FROZEN] == 0:
        gradient = vector(work.f32, s.at_gradient, s.weights)
        for j in range(s.weights):
            gradient[j] = ZERO
        loss = backprop.sweep(s, tables, row, work, spans, labels) / labels
        norm = adam.norm(gradient)
        skipped = NO_SKIP
        if not math.isfinite(loss):
            skipped = SKIP_LOSS
        elif not math.isfinite(norm):
            skipped = SKIP_GRADIENT
        else:
            counters[ADAM_STEP] += 1
            counters[VERSION] += 1
            adam.step(
                vector(row.f32, s.at_weights, s.weights),
                vector(row.f32, s.at_moment, s.weights),
                vector(row.f32, s.at_moment2, s.weights),
                gradient, norm, s.clip, s.lr, counters[ADAM_STEP],
            )  # fmt: skip
        i = mature.notice(out, UPDATED, seq, number, counters[VERSION], labels, skipped)
        out.notice_num[i, 0], out.notice_num[i, 1] = loss, norm
    for q in range(s.horizons):
        learned[q] = head[q]
