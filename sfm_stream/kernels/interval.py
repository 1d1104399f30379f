"""Stage 5: the interval around a forecast, by adaptive conformal calibration.

The half-width is a quantile of the last WINDOW absolute errors, in scaled units. Its
rank starts at the level asked for; after each settled label it rises by STEP * level
when the truth lay outside and falls by STEP * (1 - level) when it lay inside (Gibbs and
Candes, Adaptive conformal inference under distribution shift, NeurIPS 2021). A rank
above 1 stretches the largest error. So a burst of wild errors widens the interval no
longer than the rank needs to walk past them. The interval is closed: a truth on its
bound, as on a grid of prices, is covered.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import jit
from sfm_stream.state.layout import ERRORS_KEPT as WINDOW

STEP = 0.1
# Scores before an interval is stated.
ENOUGH = 20
# A rank of 1 + x stretches the largest error by e^(STRETCH x).
STRETCH = 2.0
HIGHEST = 1.5
# A state holds the rank, the number of scores, the errors in order of age from RING on,
# and in order of size from SORTED on.
RANK, SCORES, RING = 0, 1, 2
SORTED = RING + WINDOW


@jit
def half_width(state):
    """Give the half-width in scaled units; NaN until enough was scored."""
    if state[SCORES] < ENOUGH:
        return math.nan
    top = min(int(state[SCORES]), WINDOW) - 1
    rank, largest = state[RANK], state[SORTED + top]
    if rank >= 1.0:
        return largest * math.exp(STRETCH * (rank - 1.0))
    place = rank * top
    low = int(place)
    below = state[SORTED + low]
    return below + (place - low) * (state[SORTED + low + 1] - below)


@jit
def update(state, error, covered, level, wait):
    """Learn from a settled error.

    Covered is 1, 0, or -1 where no interval was. An answer that comes `wait` ticks late
    moves the rank that much less: the ticks in between were said with the old one.
    """
    seen = int(state[SCORES])
    if seen == 0:
        state[RANK] = level
    if covered >= 0:
        moved = state[RANK] + STEP / wait * (level - covered)
        state[RANK] = min(max(moved, 0.0), HIGHEST)
    oldest, last = RING + seen % WINDOW, SORTED + min(seen, WINDOW - 1)
    place, error = last, abs(error)
    if seen >= WINDOW:
        place = find(state, state[oldest])
    # What lies between the place that falls free and the new error's moves by one.
    while place > SORTED and state[place - 1] > error:
        state[place] = state[place - 1]
        place -= 1
    while place < last and state[place + 1] < error:
        state[place] = state[place + 1]
        place += 1
    state[place] = error
    state[oldest] = error
    state[SCORES] = seen + 1


@jit
def find(state, error):
    """Give the place of an error among the sorted ones, all of which are there."""
    low, high = SORTED, SORTED + WINDOW - 1
    while low < high:
        middle = (low + high) // 2
        if state[middle] < error:
            low = middle + 1
        else:
            high = middle
    return low
