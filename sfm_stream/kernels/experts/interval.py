"""Stage 5: the intervals around a forecast, one per level.

Two trackers follow the logarithm of an interval's half-width: one for the errors
themselves, one for the errors divided by the scale that a small online regression
expects. A tracker estimates a quantile: it rises when a truth lay outside its interval
and falls when it lay inside, so that the share of covered truths settles at the level
(Gibbs and Candes, Adaptive conformal inference under distribution shift, NeurIPS 2021,
on the logarithm of the width). Bernstein online aggregation on the pinball loss joins
the two (see `aggregate`). A slow tracker corrects their mean, which may miss the level
although both keep it. Intervals never cross.

The regression forecasts log |error| by least squares from logs of running absolute
errors at four rates and of the target's last moves, as Corsi does for volatility (A
simple approximate long-memory model of realized volatility, Journal of Financial
Econometrics 7, 2009).

An interval is closed: it covers a truth on its bound, as on a grid of prices.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import clip, inline, jit
from sfm_stream.kernels.experts import aggregate, least_squares
from sfm_stream.state.places import (
    BOUND,
    CORRECTION,
    LOG_WIDTH,
    PACES,
    REGRET,
    SPREAD_RIDGE,
    SQUARE,
    TRACKERS,
    WEIGHT,
)

# Scores before the first interval.
ENOUGH = 20
# The step of a tracker, in logs per standard deviation of hit or miss; first steps are
# larger, 1 / (scores + SOON).
STEP, SOON = 0.03, 10.0
# The step of the correction of the trackers' mean.
SLOW = 0.005
# Bounds on the logarithms of a tracker, a correction and an expected scale.
WIDEST, CORRECTED, FARTHEST_SCALE = 6.0, 2.0, 4.5
# Added to errors and moves, in scaled units, before the logarithm.
LEAST_ERROR, LEAST_MOVE = 0.02, 0.1
# Bounds on the expected variance of an error: they limit the weight of a label.
LEAST_NOISE, MOST_NOISE = 0.1, 100.0
# The number of moves in a mean beside the last move and the mean of all moves.
FEW_MOVES = 4
# The expected scale, a geometric mean, divided by the deviation, for normal errors.
# The intervals have the widths of normal errors until the trackers have learned.
SCALE_OF_NORMAL = 0.6
FORGETTING = 0.9999
# Discount of the regrets of the trackers, per score.
DISCOUNT = 1.0 - 1.0 / 20_000.0
# The array `interval` of a horizon: the number of scores, then running means of
# |error|.
SCORES, MEANS = 0, 1
# The columns of an origin's widths: one for each tracker, then their corrected mean.
BOTH = TRACKERS


@inline
def pace(i):
    """Give the rate of a running mean of |error|: .3, .05, .01, .001."""
    rate = 0.3
    if i == 1:
        rate = 0.05
    elif i == 2:
        rate = 0.01
    elif i == 3:
        rate = 0.001
    return rate


@jit
def look_at_moves(moves, sight):
    """Write the regressors that come from the target's last moves, newest first [L]."""
    total, of_few, few = 0.0, 0.0, min(FEW_MOVES, len(moves))
    for j in range(len(moves)):
        total += abs(moves[j])
        if j == few - 1:
            of_few = total
    sight[0] = 1.0
    sight[1 + PACES] = math.log(abs(moves[0]) + LEAST_MOVE)
    sight[2 + PACES] = math.log(of_few / few + LEAST_MOVE)
    sight[3 + PACES] = math.log(total / len(moves) + LEAST_MOVE)


@jit
def say(errors, theta, trackers, usual, sight, widths):
    """Compute the half-widths of an origin, in scaled units.

    Args:
        errors: [1 + PACES], number of scores and running means.
        theta: [SIGHT], coefficients of the regression.
        trackers: [L, TRACKED, TRACKERS].
        usual: [L], half-widths of normal errors of deviation 1.
        sight: [SIGHT], regressors; receives those from the running errors.
        widths: [L, TRACKERS + 1], receives the half-width of each tracker, and of both
            together, which is NaN until ENOUGH forecasts were scored.
    """
    for i in range(PACES):
        sight[1 + i] = math.log(errors[MEANS + i] + LEAST_ERROR)
    expected = clip(least_squares.predict(theta, sight), FARTHEST_SCALE)
    both = 0.0
    for i in range(len(widths)):
        own = trackers[i]
        widths[i, 0] = usual[i] * math.exp(own[LOG_WIDTH, 0])
        on_scale = math.exp(expected + own[LOG_WIDTH, 1])
        widths[i, 1] = usual[i] / SCALE_OF_NORMAL * on_scale
        mixed = own[WEIGHT, 0] * widths[i, 0] + own[WEIGHT, 1] * widths[i, 1]
        both = max(both, mixed * math.exp(own[CORRECTION, 0]))
        widths[i, BOTH] = both if errors[SCORES] >= ENOUGH else math.nan


@jit
def update(errors, theta, cov, trackers, levels, prior, sight, widths, error, wait,
           work):  # fmt: skip
    """Learn from a settled error, truth minus forecast in scaled units.

    An error that settles after `wait` ticks moves the trackers less, by the root of the
    wait: the intervals of the ticks in between did not use it. Sight and widths are
    those that `say` wrote at the origin. Shapes are as in `say`; cov [SIGHT, SIGHT],
    levels [L], prior [TRACKERS]; `work` has room for SIGHT numbers.
    """
    error, seen = abs(error), errors[SCORES] + 1.0
    errors[SCORES] = seen
    least_squares.update(
        theta,
        cov,
        sight,
        math.log(error + LEAST_ERROR),
        1.0,
        FORGETTING,
        SPREAD_RIDGE,
        work,
        len(sight),
    )
    for i in range(PACES):
        errors[MEANS + i] += max(pace(i), 1.0 / seen) * (error - errors[MEANS + i])
    step = max(STEP, 1.0 / (seen + SOON)) / math.sqrt(wait)
    slow = SLOW / math.sqrt(wait)
    for i in range(len(levels)):
        own, level = trackers[i], levels[i]
        spread = math.sqrt(level * (1.0 - level))
        for k in range(TRACKERS):
            inside = 1.0 if error <= widths[i, k] else 0.0
            moved = own[LOG_WIDTH, k] + step * (level - inside) / spread
            own[LOG_WIDTH, k] = clip(moved, WIDEST)
        said = widths[i, BOTH]
        if not math.isnan(said):
            inside = 1.0 if error <= said else 0.0
            moved = own[CORRECTION, 0] + slow * (level - inside) / spread
            own[CORRECTION, 0] = clip(moved, CORRECTED)
            slope = (1.0 if error < said else 0.0) - level
            aggregate.update(
                own[WEIGHT], own[REGRET], own[SQUARE], own[BOUND], prior, widths[i],
                said, slope, wait, DISCOUNT,
            )  # fmt: skip


@inline
def noise(errors, theta, sight):
    """Compute the expected variance of an error, in scaled units squared.

    The result is 1 until ENOUGH forecasts were scored.
    """
    expected = clip(least_squares.predict(theta, sight), FARTHEST_SCALE)
    variance = math.exp(2.0 * expected) / (SCALE_OF_NORMAL * SCALE_OF_NORMAL)
    held = min(max(variance, LEAST_NOISE), MOST_NOISE)
    return held if errors[SCORES] >= ENOUGH else 1.0


@jit
def winkler(bounds, levels, truth):
    """Compute the interval score of the widest interval, in units of the target.

    The score is the width plus 2 / (1 - level) times the distance of the truth beyond
    the interval (Winkler, A decision-theoretic approach to interval estimation, JASA
    67, 1972).
    """
    return score_of(bounds, levels, len(levels) - 1, truth)


@jit
def crps(bounds, levels, truth):
    """Compute the weighted interval score in target units, which approximates the CRPS.

    The score is twice the mean pinball loss over the mean and all bounds (Bracher and
    others, Evaluating epidemic forecasts in an interval format, PLoS Computational
    Biology 17, 2021).
    """
    total = 0.5 * abs(truth - bounds[0])
    for i in range(len(levels)):
        total += 0.5 * (1.0 - levels[i]) * score_of(bounds, levels, i, truth)
    return total / (len(levels) + 0.5)


@inline
def score_of(bounds, levels, i, truth):
    """Compute the interval score of one level."""
    lower, upper = bounds[len(levels) - i], bounds[1 + len(levels) + i]
    beyond = max(lower - truth, 0.0) + max(truth - upper, 0.0)
    return upper - lower + 2.0 / (1.0 - levels[i]) * beyond
