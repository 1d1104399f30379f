"""The online autocorrelation of values, to find a period without a clock.

Each value's distance from a running level is multiplied by the distances at up to
LONGEST_PERIOD ticks before; `state.periods` reads the period from the running means.
The level follows at the rate LEVEL_PACE, so that a random walk does not look like a
slow wave.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import LARGEST_ROOT, clip, jit
from sfm_stream.kernels.rows import vector
from sfm_stream.state.places import (
    COUNTERS,
    FRESH,
    LEVEL,
    LONGEST_PERIOD,
    LOOKED_AT,
    PERIOD,
    TICKS,
)

LEVEL_PACE = 1.0 / 50.0
# After KNOWN_AFTER values, a distance is clipped at LARGEST deviations.
LARGEST, KNOWN_AFTER = 4.0, 20.0


@jit
def watch(s, row, value):
    """Update the autocorrelation with the value of a tick, before it is counted."""
    counters = vector(row.i64, s.at_counters, COUNTERS)
    past = vector(row.f64, s.at_period_past, LONGEST_PERIOD)
    products = vector(row.f64, s.at_period_products, LONGEST_PERIOD + 1)
    gauges = vector(row.f64, s.at_period_gauges, PERIOD)
    if counters[FRESH] != 0:
        gauges[LEVEL] = value
        for j in range(LONGEST_PERIOD):
            past[j] = 0.0
    away = clip(value - gauges[LEVEL], LARGEST_ROOT)
    gauges[LEVEL] += LEVEL_PACE * away
    if gauges[LOOKED_AT] > KNOWN_AFTER:
        away = clip(away, LARGEST * math.sqrt(products[0]))
    rate = 1.0 / min(gauges[LOOKED_AT] + 1.0, s.scale)
    gauges[LOOKED_AT] += 1.0
    # The newest distance is at `place`; older ones follow it, and wrap around the end.
    place = LONGEST_PERIOD - 1 - counters[TICKS] % LONGEST_PERIOD
    there = LONGEST_PERIOD - place
    products[0] += rate * (away * away - products[0])
    for lag in range(1, there):
        products[lag] += rate * (away * past[place + lag] - products[lag])
    for lag in range(there, LONGEST_PERIOD + 1):
        told = away * past[lag - there]
        products[lag] += rate * (told - products[lag])
    past[place] = away
