"""Stage 5: the interval around a forecast, by adaptive conformal calibration.

The half-width is e^a times the running mean of absolute errors. After each settled label
a grows by STEP * level when the truth lay outside and shrinks by STEP * (1 - level) when
it lay inside, so that the share of misses over any stretch is held to what the change of
a over that stretch allows (Gibbs and Candes, Adaptive conformal inference under
distribution shift, 2021; here on the log of the width). The interval is closed: a truth
on its bound is covered.
"""

# mypy: disable-error-code="no-untyped-def"
# Compiled functions carry no annotations: numba infers their types.

from __future__ import annotations

import math

from sfm_stream.kernels.numeric import jit

STEP = 0.1
# Ticks over which the mean absolute error forgets.
MEMORY = 50.0
# Scores before an interval is stated.
ENOUGH = 20.0
LOG_RATIO, MEAN_ABS, SCORES = range(3)
# exp() of this is wide or narrow enough for anything, and finite.
WIDEST = 20.0
# The .9 quantile of a Laplace error is 2.3 times its mean.
START = math.log(2.3)


@jit
def half_width(state):
    """Give the half-width in scaled units; NaN until enough was scored."""
    if state[SCORES] < ENOUGH:
        return math.nan
    return state[MEAN_ABS] * math.exp(state[LOG_RATIO])


@jit
def update(state, error, covered, level):
    """Learn from a settled error: covered is 1, 0, or -1 where no interval was."""
    seen = state[SCORES]
    if seen == 0.0:
        state[LOG_RATIO] = START
    if covered >= 0:
        step = level - covered
        moved = state[LOG_RATIO] + STEP * step
        state[LOG_RATIO] = min(max(moved, -WIDEST), WIDEST)
    rate = 1.0 / min(seen + 1.0, MEMORY)
    state[MEAN_ABS] += rate * (abs(error) - state[MEAN_ABS])
    state[SCORES] = seen + 1.0
