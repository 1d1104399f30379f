"""Stage 4: the experts' forecasts become one, by Bernstein online aggregation.

Wintenberger, Optimal learning with Bernstein online aggregation, Machine Learning 106,
2017, in the form with gradients of a convex loss and a rate per expert. Regrets are
discounted, so that the weights stay able to move after months.

Nobody knows how long what was right stays right, and one memory did well here and
badly there. So regrets are kept with two, a quick and a slow one, and the weights are
the mean of what both say.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import inline, jit

# What stays of regrets per label: the quick memory holds 125 labels, the slow 32,000.
QUICK, SLOW = 1.0 - 1.0 / 125.0, 1.0 - 1.0 / 32_000.0
# No expert falls below this share of its prior, or it could not come back in time.
SHARE = 1e-3
TINY = 1e-300


@jit
def mixture(weight, experts):
    """Give the weighted mean of the experts' forecasts [E]."""
    total = 0.0
    for e in range(len(experts)):
        total += weight[e] * experts[e]
    return total


@inline
def join(weight, other):
    """Set the weights [E] to the mean of two memories' weights."""
    for e in range(len(weight)):
        weight[e] = 0.5 * (weight[e] + other[e])


@jit
def update(
    weight, regret, square, bound, prior, experts, mixed, slope, wait, kept
):  # fmt: skip
    """Learn from one matured label; all arrays [E], forecasts as made at the origin.

    `slope` is the derivative of the loss where the mixture stood, `kept` the share of
    the regrets that stays.

    Labels that are waited for overlap, so they say less than as many separate ones:
    squares are multiplied by the root of the wait. That did better than to leave them,
    or to multiply by the wait.
    """
    overlap = math.sqrt(wait)
    count = len(weight)
    top = -math.inf
    for e in range(count):
        r = slope * (mixed - experts[e])
        square[e] = kept * square[e] + overlap * r * r
        bound[e] = max(kept * bound[e], abs(r))
        eta = rate(square[e], bound[e], prior[e])
        surplus = bound[e] if eta * r > 0.5 else 0.0
        regret[e] = kept * regret[e] + 0.5 * (r - eta * overlap * r * r) + surplus
        weight[e] = eta * regret[e] + math.log(prior[e] * eta)
        top = max(top, weight[e])
    total = 0.0
    for e in range(count):
        weight[e] = math.exp(weight[e] - top)
        total += weight[e]
    for e in range(count):
        weight[e] = (1.0 - SHARE) * weight[e] / total + SHARE * prior[e]


@jit
def rate(square, bound, prior):
    """Give the learning rate of an expert from its own regrets."""
    widest = 0.5 / max(bound, TINY)
    return min(widest, math.sqrt(-math.log(0.5 * prior) / max(square, TINY)))
