"""The daily season: regressors from the same time of other days, if ticks divide a day.

A steady step between ticks that divides 24 hours is recognised from the times of ticks.
From then on the values of eight days are stored by their time, and each horizon's
labels are averaged by the time of day of their origin, at two rates. After three days
the experts of least squares see these regressors, scaled like moves:

    the two averages for the time of day
    the value a day before the due time, as a move from the present value, and as a move
    from the value a day before now
    the same for a week before

A regressor with a missing value is 0, and so are all of them without a steady step.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import inline, jit
from sfm_stream.kernels.inputs import scale
from sfm_stream.kernels.rows import cube, matrix, vector
from sfm_stream.state.places import (
    COUNTERS,
    DAYS_KEPT,
    FRESH,
    LAST_TIME,
    SEASON_TICKS,
    SLOTS,
    STEADY,
    STEP,
    TICKS_OF_DAY,
)
from sfm_stream.state.targets import PREDICT_LOG_RETURN

DAY, WEEK = 86_400 * 10**9, 7 * 86_400 * 10**9
# The least number of ticks of a day for a season; the largest is SLOTS.
FEWEST = 4
# A step is steady when SURE more steps were equal to it than different; the count stops
# at SUREST.
SURE, SUREST = 24, 64
# Days before the experts see the season.
SEEN_AFTER = 3
PACE, SLOW_PACE = 0.05, 0.02
# With a season, the memory of least squares is at most DAYS days, since the seasons of
# the year change, but at least LABELS labels.
DAYS, LABELS = 80.0, 2_000.0


@jit
def watch(s, row, time, value):
    """Update the step with the time of a tick, and store its value."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    if counters[FRESH] == 0:
        watch_step(s, row, time - counters[LAST_TIME])
    if counters[TICKS_OF_DAY] > 0:
        place = place_of(counters, time)
        row.f64[s.at_season_value + place] = value
        row.i64[s.at_season_time + place] = time
        counters[SEASON_TICKS] += 1


@inline
def watch_step(s, row, passed):
    """Count whether the time between two ticks equals the step; find a steady step."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    if passed == counters[STEP]:
        counters[STEADY] = min(counters[STEADY] + 1, SUREST)
    elif counters[STEADY] > 0:
        counters[STEADY] -= 1
    elif passed > 0:
        counters[STEP], counters[STEADY], counters[TICKS_OF_DAY] = passed, 1, 0
    step = counters[STEP]
    if counters[STEADY] >= SURE and counters[TICKS_OF_DAY] == 0:
        if DAY % step == 0 and FEWEST <= DAY // step <= SLOTS:
            counters[TICKS_OF_DAY], counters[SEASON_TICKS] = DAY // step, 0
            for j in range(s.horizons * SLOTS * 3):
                row.f64[s.at_season_mean + j] = 0.0


@inline
def place_of(counters, time):
    """Give the index of a time among the stored values."""
    return time // counters[STEP] % (DAYS_KEPT * counters[TICKS_OF_DAY])


@inline
def is_seen(s, row):
    """Say whether the experts see the season."""
    ticks = SEEN_AFTER * row.i64[s.at_counters + TICKS_OF_DAY]
    return s.seasons > 0 and 0 < ticks <= row.i64[s.at_counters + SEASON_TICKS]


@inline
def forgetting(s, row):
    """Give the largest forgetting factor of least squares with a season."""
    days = DAYS * row.i64[s.at_counters + TICKS_OF_DAY]
    return 1.0 - 1.0 / max(days, LABELS)


@jit
def look(s, tables, row, q, time, value, unit, seen):
    """Write the season's regressors of a horizon [6], for a forecast made at `time`."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    for j in range(len(seen)):
        seen[j] = 0.0
    if is_seen(s, row):
        horizon = matrix(tables.i64, s.at_horizons, s.horizons, 2)[q]
        step, of_day = counters[STEP], counters[TICKS_OF_DAY]
        due = time + (horizon[0] if horizon[0] > 0 else horizon[1] // step) * step
        means = cube(row.f64, s.at_season_mean, s.horizons, SLOTS, 3)[q]
        seen[0] = means[time // step % of_day, 0]
        seen[1] = means[time // step % of_day, 1]
        days = (due - time + DAY - 1) // DAY * DAY
        for i in range(2):
            back = days if i == 0 else max(WEEK, days)
            then = kept(s, row, due - back, time, value)
            seen[2 + 2 * i] = apart(s, then, value, unit)
            origin = kept(s, row, time - back, time, value)
            seen[3 + 2 * i] = apart(s, then, origin, unit)


@inline
def kept(s, row, time, now, value):
    """Give the value at a time, or NaN if there is none."""
    place = place_of(vector(row.i64, s.at_counters, COUNTERS), time)
    found = row.f64[s.at_season_value + place]
    if time == now:
        found = value
    elif row.i64[s.at_season_time + place] != time:
        found = math.nan
    return found


@inline
def apart(s, then, now, unit):
    """Compute the scaled move from one value to another; 0 if a value is unknown."""
    move = scale.log_ratio(then, now) if s.predict == PREDICT_LOG_RETURN else then - now
    return 0.0 if math.isnan(move) else scale.in_units(move, unit, s.input_clip)


@jit
def learn(s, row, q, time, label):
    """Update the averages of a time of day with the label of a forecast made then."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    of_day = counters[TICKS_OF_DAY]
    if of_day > 0:
        means = cube(row.f64, s.at_season_mean, s.horizons, SLOTS, 3)[q]
        slot = means[time // counters[STEP] % of_day]
        slot[2] += 1.0
        slot[0] += max(PACE, 1.0 / slot[2]) * (label - slot[0])
        slot[1] += max(SLOW_PACE, 1.0 / slot[2]) * (label - slot[1])
