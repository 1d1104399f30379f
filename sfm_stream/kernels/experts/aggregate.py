"""Stage 4: aggregates the experts' forecasts by Bernstein online aggregation.

Wintenberger, Optimal learning with Bernstein online aggregation, Machine Learning 106,
2017, in the form with gradients of a convex loss and a rate per expert. Regrets are
discounted, so that the weights can still move after months.

It is unknown how long an expert stays the best, and every single discount did well on
some streams and badly on others. So there are two memories of regrets, a quick and a
slow one, and the weights are the mean of the weights from both.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import inline, jit

# Discount of regrets per label: the quick memory holds 125 labels, the slow 32,000.
QUICK, SLOW = 1.0 - 1.0 / 125.0, 1.0 - 1.0 / 32_000.0
# The least weight of an expert, as a share of its prior, so that it can rise in time.
SHARE = 1e-3
TINY = 1e-300


@jit
def mixture(weight, experts):
    """Compute the weighted mean of the experts' forecasts [E]."""
    total = 0.0
    for e in range(len(experts)):
        total += weight[e] * experts[e]
    return total


@inline
def join(weight, other):
    """Set the weights [E] to the mean of the weights from two memories."""
    for e in range(len(weight)):
        weight[e] = 0.5 * (weight[e] + other[e])


@jit
def update(
    weight, regret, square, bound, prior, experts, mixed, slope, wait, kept
):  # fmt: skip
    """Learn from one settled label; all arrays [E], forecasts as made at the origin.

    `slope` is the derivative of the loss at the mixture, `kept` the discount of the
    regrets.

    Labels with a wait of several ticks overlap, so they carry less information than the
    same number of separate labels: squares are multiplied by the root of the wait. That
    gave better forecasts than no factor, or the wait as the factor.
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
    """Compute the learning rate of an expert from its own regrets."""
    widest = 0.5 / max(bound, TINY)
    return min(widest, math.sqrt(-math.log(0.5 * prior) / max(square, TINY)))
