"""Makes the forecasts of a tick: those of the experts, their mean, and intervals."""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import FARTHEST, LONGEST_LOG, clip, inline, jit
from sfm_stream.kernels.experts import aggregate, interval
from sfm_stream.kernels.experts.least_squares import predict
from sfm_stream.kernels.experts.mature import see, seen_of, show_season
from sfm_stream.kernels.inputs import scale, season
from sfm_stream.kernels.memory import cell
from sfm_stream.kernels.records import FORECASTS
from sfm_stream.kernels.rows import (
    cube,
    linear_biases,
    linear_heads,
    matrix,
    vector,
)
from sfm_stream.state.experts import EXPERT, FIRST, SIZE, THETA
from sfm_stream.state.places import (
    MISSES,
    MOVE_SQUARE,
    MOVES,
    PACES,
    SIGHT,
    TICKS,
    TRACKED,
    TRACKERS,
    VALUE_MEAN,
    VALUE_VAR,
)
from sfm_stream.state.targets import PREDICT_LEVEL, PREDICT_LOG_RETURN

# The largest bound of an interval, so that bounds are finite.
LARGEST = 1e308


@jit
def gather(s, row, slot, move):
    """Write the regressors of least squares other than inputs; see `experts`."""
    x = matrix(row.f64, s.at_origin_regressors, s.ring, s.regressors)[slot]
    lags = s.z_seen + s.inputs
    moves = vector(row.f64, s.at_moves, s.lags)
    unit = scale.deviation(row.f64[s.at_gauges + MOVE_SQUARE])
    x[lags] = scale.in_units(move, unit, s.farthest_seen)
    place = row.i64[s.at_counters + MOVES]
    for j in range(1, s.lags):
        x[lags + j] = scale.in_units(moves[place], unit, s.farthest_seen)
        place = place - 1 if place > 0 else s.lags - 1
    place = row.i64[s.at_counters + MISSES]
    for j in range(s.errors):
        x[lags + s.lags + j] = row.f64[s.at_errors + place]
        place = place - 1 if place > 0 else s.errors - 1
    x[lags + s.lags + s.errors] = 1.0
    if s.z_seen > 0:
        z = matrix(row.f32, s.at_tape_z, s.ring, s.outputs)[slot]
        for j in range(s.outputs):
            x[j] = z[j]


@jit
def say(s, tables, row, work, number, seq, slot, time, value, out):
    """Forecast every horizon: the experts' weighted mean, with intervals."""
    y, horizons = row.f64, s.horizons
    centers = matrix(y, s.at_origin_center, s.ring, horizons)[slot]
    units = matrix(y, s.at_origin_scale, s.ring, horizons)[slot]
    mixes = matrix(y, s.at_origin_mixed, s.ring, horizons)[slot]
    experts = cube(y, s.at_origin_experts, s.ring, horizons, s.experts)[slot]
    bounds = cube(y, s.at_origin_bounds, s.ring, horizons, s.bounds)[slot]
    weights = matrix(y, s.at_mix_weight, horizons, s.experts)
    sight = vector(work.f64, s.at_sight, SIGHT)
    x = matrix(y, s.at_origin_regressors, s.ring, s.regressors)[slot]
    lags = s.z_seen + s.inputs
    interval.look_at_moves(x[lags : lags + s.lags], sight)
    seasons = cube(y, s.at_origin_season, s.ring, horizons, s.seasons)[slot]
    for q in range(horizons):
        center, unit = units_of(s, row, q, value)
        centers[q], units[q] = center, unit
        anchor = scale.in_units(value - center, unit, FARTHEST)
        if s.seasons > 0:
            season.look(s, tables, row, q, time, value, unit, seasons[q])
        ask(s, tables, row, work, slot, q, anchor, experts[q])
        for e in range(s.experts):
            held = clip(experts[q, e] - anchor, s.input_clip)
            known = unit > 0.0 and math.isfinite(held)
            experts[q, e] = anchor + held if known else anchor
        mixed = aggregate.mixture(weights[q], experts[q])
        mixes[q] = mixed
        widths = state_widths(s, tables, row, slot, q, sight)
        bounds[q, 0] = in_target_units(s, mixed, value, center, unit)
        for i in range(s.levels):
            width = widths[i, interval.BOTH]
            low = in_target_units(s, mixed - width, value, center, unit)
            high = in_target_units(s, mixed + width, value, center, unit)
            # A negative value falls as its logarithm grows.
            bounds[q, s.levels - i] = min(low, high)
            bounds[q, s.levels + 1 + i] = max(low, high)
        write_forecast(s, tables, row, number, seq, slot, q, time,
                       bounds[q], weights[q], out)  # fmt: skip


@inline
def state_widths(s, tables, row, slot, q, sight):
    """Compute the half-widths of a horizon from its trackers [L, TRACKERS + 1]."""
    y, levels = row.f64, s.levels
    seen = cube(y, s.at_origin_sight, s.ring, s.horizons, SIGHT)[slot, q]
    for j in range(SIGHT):
        seen[j] = sight[j]
    trackers = s.at_trackers + q * levels * TRACKED * TRACKERS
    begin = s.at_origin_widths + (slot * s.horizons + q) * levels * (TRACKERS + 1)
    widths = matrix(y, begin, levels, TRACKERS + 1)
    interval.say(
        matrix(y, s.at_interval, s.horizons, 1 + PACES)[q],
        matrix(y, s.at_spread_theta, s.horizons, SIGHT)[q],
        cube(y, trackers, levels, TRACKED, TRACKERS),
        vector(tables.f64, s.at_usual, levels), seen, widths,
    )  # fmt: skip
    return widths


@inline
def in_target_units(s, scaled, value, center, unit):
    """Convert a scaled forecast to units of the target."""
    if s.predict == PREDICT_LOG_RETURN:
        return clip(value * math.exp(clip(scaled * unit, LONGEST_LOG)), LARGEST)
    return clip(center + scaled * unit, LARGEST)


@inline
def units_of(s, row, q, value):
    """Give center and unit of scaled forecasts made now; the unit is 0 if unknown."""
    if s.predict == PREDICT_LEVEL:
        gauges = row.f64[s.at_gauges :]
        unit = scale.deviation(gauges[VALUE_VAR])
        return gauges[VALUE_MEAN] if unit > 0.0 else value, unit
    if row.f64[s.at_label_count + q] < 2.0:
        return value, 0.0
    return value, scale.deviation(row.f64[s.at_label_square + q])


@inline
def ask(s, tables, row, work, slot, q, anchor, experts):
    """Compute each expert's scaled forecast [E]."""
    y = row.f64
    if s.last_at >= 0:
        experts[s.last_at] = anchor
    x = matrix(y, s.at_origin_regressors, s.ring, s.regressors)[slot]
    show_season(s, row, slot, q)
    blind = 0 if season.is_seen(s, row) else s.seasons
    squares = matrix(tables.i64, s.at_squares, s.squares, 5)
    for e in range(s.squares):
        first, size = squares[e, FIRST], squares[e, SIZE]
        theta = s.at_theta + q * s.theta + squares[e, THETA]
        used = seen_of(s, first + size, size, blind)
        seen = vector(work.f64, s.at_seen, used)
        see(x[first : first + used], tables.f64[s.at_clips + e], seen)
        experts[squares[e, EXPERT]] = predict(y[theta : theta + used], seen)
    if s.sfm_at >= 0:
        z = matrix(row.f32, s.at_tape_z, s.ring, s.outputs)[slot]
        v = linear_heads(row.f32, s.at_weights, s)[q]
        total = linear_biases(row.f32, s.at_weights, s)[q]
        for j in range(s.outputs):
            total += v[j] * z[j]
        experts[s.sfm_at] = total


@inline
def write_forecast(s, tables, row, number, seq, slot, q, time, bounds, weights, out):
    """Write a forecast record; that of the first horizon holds the amplitudes."""
    i = out.counts[FORECASTS]
    out.counts[FORECASTS] = i + 1
    origin = row.i64[s.at_counters + TICKS]
    horizon = matrix(tables.i64, s.at_horizons, s.horizons, 2)[q]
    where, what = out.forecast_int[i], out.forecast_num[i]
    where[0], where[1], where[2] = seq, number, q
    where[3], where[4] = origin, time
    where[5] = origin + horizon[0] if horizon[0] > 0 else time + horizon[1]
    for j in range(s.bounds):
        what[j] = bounds[j]
    for e in range(s.experts):
        what[s.bounds + e] = weights[e]
    amplitudes = what[s.bounds + s.experts :]
    if q == 0 and s.cell != 0:
        read = cube(row.f32, s.at_tape_read, s.ring, s.frequencies, 3 * s.states)
        cell.amplitude(s.states, read[slot], amplitudes)
    else:
        for k in range(s.frequencies):
            amplitudes[k] = math.nan
