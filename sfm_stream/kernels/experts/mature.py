"""Stage 2: settles forecasts with their truths.

A settled forecast is scored, and least squares, the aggregation and the intervals learn
from it; its label stays on the tape for the next update of the cell. Forecasts whose
truth is lost are voided.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import FARTHEST, clip, inline, jit
from sfm_stream.kernels.experts import aggregate, interval, least_squares
from sfm_stream.kernels.inputs import season
from sfm_stream.kernels.inputs.scale import OUTLIER, held_square, log_ratio
from sfm_stream.kernels.records import SCORES, VOIDED, notice
from sfm_stream.kernels.rows import cube, matrix, vector
from sfm_stream.state.experts import COV, FIRST, SIZE, THETA
from sfm_stream.state.places import MISSES, PACES, SIGHT, TICKS, TRACKED, TRACKERS
from sfm_stream.state.targets import PREDICT_CHANGE, PREDICT_LEVEL

VOID_GAP, VOID_CROWDED, VOID_UNKNOWN = range(3)
# The noise of a label grows with this power of its wait, because labels overlap. It is
# the least power, to a tenth, with which forecasts of a random walk 48 ticks ahead are
# less than .9 % worse than the last value.
OVERLAP = 0.7
# The noise of a label grows with this power of the expected variance of its error. The
# power is below 1: the expected variance has errors, and volatile times teach much.
WILDNESS = 0.5


@jit
def settle_due(s, tables, row, work, out, seq, number, time, past, value):
    """Settle all forecasts that became due by `time`.

    A horizon in ticks is settled by the target `value` of this tick, or of the next
    tick if a label gives it ahead; `value` is NaN without either. A horizon in time
    that was due before `time` is settled by the last tick's target, `past`.
    """
    slots = s.ring - 1
    horizons = matrix(tables.i64, s.at_horizons, s.horizons, 2)
    head = vector(row.i64, s.at_head_tick, s.horizons)
    origin_time = vector(row.i64, s.at_origin_time, s.ring)
    ticks = row.i64[s.at_counters + TICKS]
    for q in range(s.horizons):
        while head[q] < ticks:
            if horizons[q, 0] > 0:
                if ticks - head[q] < horizons[q, 0] or math.isnan(value):
                    break
                truth = value
            else:
                if origin_time[head[q] % slots] + horizons[q, 1] >= time:
                    break
                truth = past
            settle(s, tables, row, work, out, seq, number, time, q, head[q], truth)
            head[q] += 1


@inline
def settle(s, tables, row, work, out, seq, number, time, q, origin, truth):
    """Score one forecast and learn from its truth.

    From a forecast that was made without a scale, only the scale learns.
    """
    y, slot = row.f64, origin % (s.ring - 1)
    value = y[s.at_origin_value + slot]
    center = matrix(y, s.at_origin_center, s.ring, s.horizons)[slot, q]
    unit = matrix(y, s.at_origin_scale, s.ring, s.horizons)[slot, q]
    mixed = matrix(y, s.at_origin_mixed, s.ring, s.horizons)[slot, q]
    experts = cube(y, s.at_origin_experts, s.ring, s.horizons, s.experts)[slot, q]
    bounds = cube(y, s.at_origin_bounds, s.ring, s.horizons, s.bounds)[slot, q]
    levels = vector(tables.f64, s.at_levels, s.levels)
    raw = raw_label(s.predict, truth, value, center)
    covered = cover(bounds, truth)
    write_score(
        out, seq, number, time, q, origin, covered, truth, value, bounds, levels
    )
    learn_scale(s, row, q, raw)
    if not unit > 0.0:
        errors = matrix(y, s.at_interval, s.horizons, 1 + PACES)[q]
        errors[interval.SCORES] += 1.0
        return
    anchor = clip((value - center) / unit, FARTHEST)
    away = raw / unit - anchor
    label = anchor + clip(away, s.input_clip)
    wait = row.i64[s.at_counters + TICKS] - origin
    # A level far outside the usual levels is not learned from; for changes the anchor
    # is 0.
    near = abs(anchor) <= OUTLIER * s.input_clip
    if near:
        teach_least_squares(s, tables, row, work, slot, q, anchor, away, wait)
        if s.seasons > 0:
            season.learn(s, row, q, row.i64[s.at_origin_time + slot], label)
    weigh(s, tables, row, work, q, experts, mixed, label, wait)
    error = clip(raw / unit - mixed, FARTHEST)
    if q == 0 and s.errors > 0:
        place = (row.i64[s.at_counters + MISSES] + 1) % s.errors
        row.i64[s.at_counters + MISSES] = place
        y[s.at_errors + place] = clip(error, s.input_clip)
    calibrate(s, tables, row, work, slot, q, error, wait)
    if near:
        matrix(row.f32, s.at_labels, s.ring, s.horizons)[slot, q] = label


@inline
def weigh(s, tables, row, work, q, experts, mixed, label, wait):
    """Update both memories of the aggregation with a label."""
    y, slope = row.f64, 2.0 * (mixed - label)
    weight = matrix(y, s.at_mix_weight, s.horizons, s.experts)[q]
    quick = vector(work.f64, s.at_quick_weight, s.experts)
    prior = vector(tables.f64, s.at_prior, s.experts)
    aggregate.update(
        weight,
        matrix(y, s.at_mix_regret, s.horizons, s.experts)[q],
        matrix(y, s.at_mix_square, s.horizons, s.experts)[q],
        matrix(y, s.at_mix_bound, s.horizons, s.experts)[q],
        prior, experts, mixed, slope, wait, aggregate.SLOW,
    )  # fmt: skip
    aggregate.update(
        quick,
        matrix(y, s.at_quick_regret, s.horizons, s.experts)[q],
        matrix(y, s.at_quick_square, s.horizons, s.experts)[q],
        matrix(y, s.at_quick_bound, s.horizons, s.experts)[q],
        prior, experts, mixed, slope, wait, aggregate.QUICK,
    )  # fmt: skip
    aggregate.join(weight, quick)


@inline
def raw_label(predict, truth, value, center):
    """Compute the label of a forecast, in units of the target."""
    if predict == PREDICT_CHANGE:
        return truth - value
    if predict == PREDICT_LEVEL:
        return truth - center
    return log_ratio(truth, value)


@inline
def cover(bounds, truth):
    """Say whether the widest interval covers the truth; -1 without an interval."""
    lower, upper = bounds[1], bounds[len(bounds) - 1]
    if math.isnan(lower):
        return -1
    return 1 if lower <= truth <= upper else 0


@inline
def calibrate(s, tables, row, work, slot, q, error, wait):
    """Update the trackers of the intervals' widths with an error."""
    y, levels = row.f64, s.levels
    trackers = s.at_trackers + q * levels * TRACKED * TRACKERS
    widths = s.at_origin_widths + (slot * s.horizons + q) * levels * (TRACKERS + 1)
    interval.update(
        matrix(y, s.at_interval, s.horizons, 1 + PACES)[q],
        matrix(y, s.at_spread_theta, s.horizons, SIGHT)[q],
        cube(y, s.at_spread_cov, s.horizons, SIGHT, SIGHT)[q],
        cube(y, trackers, levels, TRACKED, TRACKERS),
        vector(tables.f64, s.at_levels, levels),
        vector(tables.f64, s.at_even, TRACKERS),
        cube(y, s.at_origin_sight, s.ring, s.horizons, SIGHT)[slot, q],
        matrix(y, widths, levels, TRACKERS + 1),
        error, wait, work.f64[s.at_product :],
    )  # fmt: skip


@inline
def teach_least_squares(s, tables, row, work, slot, q, anchor, away, wait):
    """Update the experts of least squares with a label: anchor plus `away`."""
    noise, blind, most = terms_of(s, row, slot, q, wait)
    teach_experts(s, tables, row, work, slot, q, anchor, away, noise, blind, most)


@inline
def terms_of(s, row, slot, q, wait):
    """Give a label's noise, the number of unseen regressors, the largest forgetting.

    Labels with a wait of several ticks overlap, so they carry less information than the
    same number of separate labels: their noise is multiplied by a power of the wait.
    """
    y = row.f64
    expected = interval.noise(
        matrix(y, s.at_interval, s.horizons, 1 + PACES)[q],
        matrix(y, s.at_spread_theta, s.horizons, SIGHT)[q],
        cube(y, s.at_origin_sight, s.ring, s.horizons, SIGHT)[slot, q],
    )
    noise = wait**OVERLAP * expected**WILDNESS
    if season.is_seen(s, row):
        return noise, 0, season.forgetting(s, row)
    return noise, s.seasons, 1.0


@inline
def teach_experts(s, tables, row, work, slot, q, anchor, away, noise, blind, most):
    """Update each expert of least squares with a label, clipped for that expert."""
    y = row.f64
    x = matrix(y, s.at_origin_regressors, s.ring, s.regressors)[slot]
    show_season(s, row, slot, q)
    squares = matrix(tables.i64, s.at_squares, s.squares, 5)
    for e in range(s.squares):
        first, size = squares[e, FIRST], squares[e, SIZE]
        used = seen_of(s, first + size, size, blind)
        theta = s.at_theta + q * s.theta + squares[e, THETA]
        cov = s.at_cov + q * s.cov + squares[e, COV]
        limit = tables.f64[s.at_clips + e]
        seen = vector(work.f64, s.at_seen, size)
        see(x[first : first + size], limit, seen)
        least_squares.update(
            y[theta : theta + size], matrix(y, cov, size, size), seen,
            anchor + clip(away, limit), noise,
            min(tables.f64[s.at_forgetting + e], most), s.ridge,
            work.f64[s.at_product :], used,
        )  # fmt: skip


@inline
def see(x, limit, seen):
    """Clip regressors at an expert's limit, into `seen`."""
    for j in range(len(x)):
        seen[j] = clip(x[j], limit)


@inline
def show_season(s, row, slot, q):
    """Copy the season of a horizon beside the other regressors."""
    y, first = row.f64, s.regressors - s.seasons
    x = matrix(y, s.at_origin_regressors, s.ring, s.regressors)[slot]
    seen = cube(y, s.at_origin_season, s.ring, s.horizons, s.seasons)[slot, q]
    for j in range(s.seasons):
        x[first + j] = seen[j]


@inline
def seen_of(s, end, size, blind):
    """Give the number of regressors that an expert uses, of those that end at `end`."""
    return size - blind if end == s.regressors else size


@inline
def write_score(
    out, seq, number, time, q, origin, covered, truth, value, bounds, levels
):
    """Write the score record of a forecast."""
    i = out.counts[SCORES]
    out.counts[SCORES] = i + 1
    where, what = out.score_int[i], out.score_num[i]
    where[0], where[1], where[2] = seq, number, q
    where[3], where[4], where[5] = origin, time, covered
    what[0], what[1], what[2] = truth, bounds[0], value
    what[3] = interval.winkler(bounds, levels, truth)
    what[4] = interval.crps(bounds, levels, truth)


@inline
def learn_scale(s, row, q, raw):
    """Update the running mean square of labels with a raw label."""
    squares = vector(row.f64, s.at_label_square, s.horizons)
    counts = vector(row.f64, s.at_label_count, s.horizons)
    rate = 1.0 / min(counts[q] + 1.0, s.scale)
    square = held_square(raw, squares[q], counts[q], rate, s.input_clip)
    squares[q] += rate * (square - squares[q])
    counts[q] += 1.0


@jit
def void(s, row, out, seq, number, most, reason):
    """Void the oldest pending forecasts until at most `most` are left per horizon."""
    for q in range(s.horizons):
        void_horizon(s, row, out, seq, number, q, most, reason)


@jit
def void_due(s, tables, row, out, seq, number):
    """Void the forecasts that the next tick would settle: its target is unknown."""
    horizons = matrix(tables.i64, s.at_horizons, s.horizons, 2)
    for q in range(s.horizons):
        if horizons[q, 0] > 0:
            most = horizons[q, 0] - 1
            void_horizon(s, row, out, seq, number, q, most, VOID_UNKNOWN)


@inline
def void_horizon(s, row, out, seq, number, q, most, reason):
    """Void the oldest pending forecasts of a horizon until at most `most` are left."""
    labels = matrix(row.f32, s.at_labels, s.ring, s.horizons)
    head = vector(row.i64, s.at_head_tick, s.horizons)
    ticks = row.i64[s.at_counters + TICKS]
    while ticks - head[q] > most:
        labels[head[q] % (s.ring - 1), q] = math.nan
        notice(out, VOIDED, seq, number, q, head[q], reason)
        head[q] += 1
