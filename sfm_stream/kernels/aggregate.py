"""Stage 4: the experts' forecasts become one, by Bernstein online aggregation.

Wintenberger, Optimal learning with Bernstein online aggregation, Machine Learning 106,
2017, in the form with gradients of the squared loss and a rate per expert. Regrets are
discounted, so that the weights stay able to move after months.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import jit

DISCOUNT = 1.0 - 1.0 / 20_000.0
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


@jit
def update(weight, regret, square, bound, prior, experts, mixed, label, wait):
    """Learn from one matured label; all arrays [E], forecasts as made at the origin.

    Labels that are waited for overlap, and say less than as many that do not: squares
    count by the root of the wait, which did better than by 1 or by all of it.
    """
    overlap = math.sqrt(wait)
    count = len(experts)
    gradient = 2.0 * (mixed - label)
    top = -math.inf
    for e in range(count):
        r = gradient * (mixed - experts[e])
        square[e] = DISCOUNT * square[e] + overlap * r * r
        bound[e] = max(DISCOUNT * bound[e], abs(r))
        eta = rate(square[e], bound[e], prior[e])
        surplus = bound[e] if eta * r > 0.5 else 0.0
        regret[e] = DISCOUNT * regret[e] + 0.5 * (r - eta * overlap * r * r) + surplus
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
