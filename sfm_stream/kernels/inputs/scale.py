"""Stage 1: scales a tick's fields into inputs, with statistics of the past only.

Running means and variances forget over `features.scale` ticks; x_t is scaled with the
statistics up to t-1 and clipped. Inputs and units are 0 until there is a scale. So a
forecast does not depend on the units of the values.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import (
    LARGEST_ROOT,
    LONGEST_LOG,
    ZERO,
    clip,
    inline,
    jit,
    strict,
)
from sfm_stream.kernels.rows import vector
from sfm_stream.state.inputs import (
    CHANGE,
    ELAPSED,
    HALF_DAY_COS,
    HALF_DAY_SIN,
    HANDS,
    HELPER,
    HOUR_COS,
    HOUR_SIN,
    IMBALANCE,
    LEVEL,
    LOG_RETURN,
    MICROPRICE,
    MID,
    NOTHING,
    SPREAD,
    WEEKDAY_SIN,
)
from sfm_stream.state.places import (
    COUNTERS,
    FRESH,
    GAUGES,
    LAST_TIME,
    MISSING_HOLD,
    MISSING_VOID,
    MOVE_SQUARE,
    MOVES,
    SEEN,
    SINCE_UPDATE,
    TICKS,
    UNIT_NS,
    VALUE_MEAN,
    VALUE_VAR,
)
from sfm_stream.state.targets import PREDICT_LOG_RETURN

DAY_S = 86_400.0
# The standard deviation of a clock's sine or cosine over a whole turn.
OF_A_TURN = math.sqrt(0.5)
# A deviation is clipped at this many times the clip before it updates the scale: so an
# outlier does not blind the model for thousands of ticks, yet it adopts a new regime
# within hundreds.
OUTLIER = 4.0
STEADY_AFTER = 50
# A deviation adds at most this many times the variance. Otherwise, with statistics of
# few ticks, each outlier would raise the variance for thousands of ticks.
GROWTH = 1.0
# The largest time between ticks, in units; longer times are clipped.
LONGEST_TAU = 64.0
# The relative step of the running median of the time between ticks.
MEDIAN_STEP = 0.02


@jit
def derive(s, signals, values, before, now):
    """Compute the signals of a tick; a missing signal is held or stays NaN.

    Returns the number of the first missing signal if `stream.missing` is `void`, or -1.
    """
    for i in range(s.signals):
        x = derived(values, signals[i])
        if math.isnan(x):
            if s.missing == MISSING_VOID:
                return i
            if s.missing == MISSING_HOLD:
                x = before[i]
        now[i] = x
    return -1


@inline
def derived(values, signal):
    """Compute one signal from the fields."""
    code, a, b = signal[0], signal[1], signal[2]
    x = values[a]
    if code == MID:
        x = 0.5 * (values[a] + values[b])
    elif code == SPREAD:
        x = values[b] - values[a]
    elif code == IMBALANCE:
        total = values[a] + values[b]
        x = (values[a] - values[b]) / total if total != 0.0 else 0.0
    elif code == MICROPRICE:
        x = microprice(values, signal)
    return x


@inline
def microprice(values, signal):
    """Compute the mid price, each side weighted by the quantity of the other."""
    bid, ask = values[signal[1]], values[signal[2]]
    bid_qty, ask_qty = values[signal[3]], values[signal[4]]
    total = bid_qty + ask_qty
    if total == 0.0:
        return 0.5 * (bid + ask)
    return (bid * ask_qty + ask * bid_qty) / total


@inline
def elapsed(s, row, time):
    """Compute the time since the last tick, in units of its running median."""
    unit = row.f64[s.at_gauges + UNIT_NS]
    if row.i64[s.at_counters + FRESH] != 0 or unit <= 0.0:
        return 1.0
    tau = (time - row.i64[s.at_counters + LAST_TIME]) / unit
    return min(tau, LONGEST_TAU)


@jit
def look(code, now, past, fresh, time, tau):
    """Compute one raw input; a change is 0 for a tick after a gap."""
    if code == LEVEL:
        return now
    if code == CHANGE:
        return 0.0 if fresh else now - past
    if code == LOG_RETURN:
        return 0.0 if fresh else log_ratio(now, past)
    if code == ELAPSED:
        return math.log1p(tau)
    if code == NOTHING:
        return 0.0
    seconds = time // 1_000_000_000
    day = 2.0 * math.pi * (seconds % 86_400) / DAY_S
    # The epoch was a Thursday; only the shape of the week matters.
    week = 2.0 * math.pi * (seconds % 604_800) / (7.0 * DAY_S)
    if code == HOUR_SIN:
        return math.sin(day)
    if code == HOUR_COS:
        return math.cos(day)
    if code == HALF_DAY_SIN:
        return math.sin(2.0 * day)
    if code == HALF_DAY_COS:
        return math.cos(2.0 * day)
    if code == WEEKDAY_SIN:
        return math.sin(week)
    return math.cos(week)


@inline
def log_ratio(now, past):
    """Compute log(now / past), or 0 if a value is not positive."""
    if now > 0.0 and past > 0.0:
        return clip(math.log(now / past), LONGEST_LOG)
    return 0.0


@inline
def deviation(variance):
    """Compute the standard deviation of a variance; 0 if that is not positive."""
    return math.sqrt(variance) if variance > 0.0 else 0.0


@inline
def in_units(away, unit, limit):
    """Compute a distance in a unit, clipped; 0 while the unit is 0."""
    return clip(away / unit, limit) if unit > 0.0 else 0.0


@strict
def beyond(raw, base, mean):
    """Compute raw - base - mean, in this order: the first difference is exact."""
    return (raw - base) - mean


@jit
def scale_inputs(s, row, inputs, now, time, tau, commit, u, x):
    """Write the scaled inputs of a tick; if `commit`, update the statistics.

    The cell's inputs go to u[:N]; those of least squares, with a larger clip, go to x.

    Inputs from a clock are scaled by the deviation over a whole turn. So they do not
    become large where they hardly move, as between ticks a millisecond apart. A mean is
    stored as the distance from the first value, so that it is as exact far from 0 as
    near 0. Shapes: inputs [N, 2], now [S], u [N+M+1], x [N].
    """
    mean = vector(row.f64, s.at_input_mean, s.inputs)
    base = vector(row.f64, s.at_input_base, s.inputs)
    variance = vector(row.f64, s.at_input_var, s.inputs)
    before = vector(row.f64, s.at_before, s.signals)
    count = vector(row.f64, s.at_input_count, s.inputs)
    fresh = row.i64[s.at_counters + FRESH] != 0
    for i in range(s.inputs):
        code, j = inputs[i, 0], inputs[i, 1]
        if code == HELPER:
            j = int(row.f64[s.at_helpers + j])
            code = CHANGE if j >= 0 else NOTHING
        raw = look(code, now[j], before[j], fresh, time, tau)
        u[i], x[i] = ZERO, 0.0
        if code == NOTHING or math.isnan(raw):
            continue
        sd = OF_A_TURN if code >= HANDS else deviation(variance[i])
        first = raw if count[i] == 0.0 else base[i]
        away = clip(beyond(raw, first, mean[i]), LARGEST_ROOT)
        x[i] = in_units(away, sd, s.farthest_seen)
        u[i] = clip(x[i], s.input_clip)
        if commit:
            base[i] = first
            rate = 1.0 / min(count[i] + 1.0, s.scale)
            if count[i] > STEADY_AFTER and sd > 0.0:
                away = clip(away, farthest(rate, s.input_clip) * sd)
            mean[i] += rate * away
            variance[i] = (1.0 - rate) * (variance[i] + rate * away * away)
            count[i] += 1.0


@inline
def move_of(s, row, target, value):
    """Compute the target's move since the last tick; 0 after a gap."""
    past = row.f64[s.at_before + target]
    if row.i64[s.at_counters + FRESH] != 0:
        return 0.0
    return log_ratio(value, past) if s.predict == PREDICT_LOG_RETURN else value - past


@jit
def remember(s, row, now, value, move, time):
    """Store a tick's signals [S], its target's value and move, and its time."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    gauges = vector(row.f64, s.at_gauges, GAUGES)
    before = vector(row.f64, s.at_before, s.signals)
    ticks = counters[SEEN]
    rate = 1.0 / min(ticks + 1.0, s.scale)
    counters[MOVES] = (counters[MOVES] + 1) % s.lags
    row.f64[s.at_moves + counters[MOVES]] = move
    square = held_square(move, gauges[MOVE_SQUARE], ticks, rate, s.input_clip)
    gauges[MOVE_SQUARE] += rate * (square - gauges[MOVE_SQUARE])
    away = clip(value - gauges[VALUE_MEAN], LARGEST_ROOT)
    if ticks > STEADY_AFTER and gauges[VALUE_VAR] > 0.0:
        away = clip(away, farthest(rate, s.input_clip) * deviation(gauges[VALUE_VAR]))
    gauges[VALUE_MEAN] += rate * away
    gauges[VALUE_VAR] = (1.0 - rate) * (gauges[VALUE_VAR] + rate * away * away)
    if counters[FRESH] == 0:
        learn_unit(gauges, float(time - counters[LAST_TIME]))
    for i in range(s.signals):
        if not math.isnan(now[i]):
            before[i] = now[i]
    counters[LAST_TIME] = time
    counters[FRESH] = 0
    counters[SEEN] = ticks + 1
    counters[TICKS] += 1
    counters[SINCE_UPDATE] += 1


@inline
def farthest(rate, clip_at):
    """Give the largest number of deviations with which a value updates the scale."""
    return min(OUTLIER * clip_at, math.sqrt(GROWTH / rate))


@inline
def held_square(raw, usual, count, rate, clip_at):
    """Compute the square of a raw value, with outliers clipped."""
    raw = clip(raw, LARGEST_ROOT)
    square = raw * raw
    if count > STEADY_AFTER and usual > 0.0:
        square = min(square, farthest(rate, clip_at) ** 2 * usual)
    return square


@inline
def learn_unit(gauges, passed):
    """Move the running median of the positive times between ticks."""
    unit = gauges[UNIT_NS]
    if passed > 0.0:
        if unit <= 0.0:
            gauges[UNIT_NS] = passed
        elif passed > unit:
            gauges[UNIT_NS] = unit * (1.0 + MEDIAN_STEP)
        elif passed < unit:
            gauges[UNIT_NS] = unit / (1.0 + MEDIAN_STEP)
