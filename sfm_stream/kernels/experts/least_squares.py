"""Stage 2b: recursive least squares, in float64.

One problem per horizon, since each horizon's regressors meet their label with their own
delay. Guards keep it finite on streams that are idle for hours: no update while the
regressors say nothing, and a cap on what forgetting may blow up.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import jit, strict

# Below this x'Px carries no information and only forgetting would act.
QUIET = 1e-9
# The largest variance a coefficient may have, over its variance at birth: forgetting
# multiplies what is not excited without end, and what it then learns of a few labels is
# wild.
CAP = 10.0


@jit
def predict(theta, x):
    """Give theta . x, over all of theta."""
    total = 0.0
    for i in range(len(theta)):
        total += theta[i] * x[i]
    return total


@jit
def update(theta, cov, x, label, noise, forgetting, ridge, work, size):
    """Learn one label: theta [P], cov [P, P], x [P]; `work` holds P numbers.

    `noise` is the variance of the label: what is told in wild times counts less.

    All but the first `size` regressors are as if they were not there.

    Source: the standard exponentially forgetting recursion (Ljung and Soderstrom,
    Theory and Practice of Recursive Identification, 1983).
    """
    energy = 0.0
    for i in range(size):
        total = 0.0
        for j in range(size):
            total += cov[i, j] * x[j]
        work[i] = total
        energy += total * x[i]
    if not energy > QUIET:
        return
    gain = 1.0 / (forgetting * noise + energy)
    error = label - predict(theta[:size], x)
    for i in range(size):
        theta[i] += gain * work[i] * error
    subtract_square(cov, work, gain, 1.0 / forgetting, size)
    bound_diagonal(cov, CAP / ridge, size)


@strict
def subtract_square(cov, work, gain, grow, size):
    """Set cov = grow * (cov - gain * work work'), symmetric to the last bit."""
    for i in range(size):
        a = work[i]
        for j in range(size):
            cov[i, j] = grow * (cov[i, j] - gain * (a * work[j]))


@jit
def bound_diagonal(cov, cap, size):
    """Shrink rows and columns whose variance outgrew the cap; definiteness stays."""
    for i in range(size):
        if cov[i, i] > cap:
            factor = math.sqrt(cap / cov[i, i])
            for j in range(size):
                cov[i, j] *= factor
                cov[j, i] *= factor
        elif not cov[i, i] > 0.0:
            for j in range(size):
                cov[i, j] = 0.0
                cov[j, i] = 0.0
            cov[i, i] = cap / CAP
