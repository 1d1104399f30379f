"""Stage 2b: recursive least squares, in float64.

There is one problem per horizon, since the labels of each horizon have their own delay.
Two guards keep the state finite on streams that are idle for hours: there is no update
while the regressors carry no information, and variances have a cap, because forgetting
lets them grow.

A covariance is symmetric, and large compared with the cache. So only its lower half is
read and written; the numbers above the diagonal have no meaning. The 4 x 4 blocks along
the diagonal are complete, so that four rows can share one pass.
"""

from __future__ import annotations

from sfm_stream.jit.scalars import inline, jit, strict

# Below this x'Px carries no information, and an update would only forget.
QUIET = 1e-9
# The largest variance of a coefficient, in units of 1 / ridge. Without a cap,
# forgetting lets the variance of an unexcited direction grow without bound, and a few
# labels then change its coefficient wildly. The ridge of `[forecast]` bounds all
# experts, also an expert with a weaker ridge at birth: it fits the first labels at once
# and is bounded from then on. With its own ridge of 1 as the bound, ETTh2 has .0015
# less MSE, NAB .0012 less skill and Binance .0002 less.
CAP = 10.0
# A variance above the cap is reduced to this share of it, so that the next labels need
# not reduce it again.
LEFT = 0.5
# Rows of a covariance that share a pass.
BLOCK = 4


@jit
def predict(theta, x):
    """Compute theta . x, over all elements of theta."""
    total = 0.0
    for i in range(len(theta)):
        total += theta[i] * x[i]
    return total


@jit
def update(theta, cov, x, label, noise, forgetting, ridge, work, size):
    """Learn one label: theta [P], cov [P, P], x [P]; `work` has room for P numbers.

    `noise` is the variance of the label: labels with a large variance count less.

    Only the first `size` regressors are used.

    Source: the standard exponentially forgetting recursion (Ljung and Soderstrom,
    Theory and Practice of Recursive Identification, 1983).
    """
    multiply(cov, x, work, size)
    energy = 0.0
    for i in range(size):
        energy += work[i] * x[i]
    if not energy > QUIET:
        return
    gain = 1.0 / (forgetting * noise + energy)
    error = label - predict(theta[:size], x)
    for i in range(size):
        theta[i] += gain * work[i] * error
    subtract_square(cov, work, gain, 1.0 / forgetting, size)
    bound_variances(cov, CAP / ridge, work, size)


@jit
def multiply(cov, x, out, size):
    """Set out = cov x, with the first `size` rows and columns."""
    for i in range(size):
        out[i] = 0.0
    whole = size - size % BLOCK
    for i in range(0, whole, BLOCK):
        multiply_block(cov, x, out, i)
    for i in range(whole, size):
        total = 0.0
        for j in range(i):
            total += cov[i, j] * x[j]
            out[j] += cov[i, j] * x[i]
        out[i] += total + cov[i, i] * x[i]


@inline
def multiply_block(cov, x, out, i):
    """Add the products of four rows to `out`, and those of the mirrored columns."""
    a, b, c, d = cov[i], cov[i + 1], cov[i + 2], cov[i + 3]
    p, q, r, s = x[i], x[i + 1], x[i + 2], x[i + 3]
    t = u = v = w = 0.0
    for j in range(i):
        y = x[j]
        t, u, v, w = t + a[j] * y, u + b[j] * y, v + c[j] * y, w + d[j] * y
        out[j] += a[j] * p + b[j] * q + c[j] * r + d[j] * s
    for j in range(i, i + BLOCK):
        y = x[j]
        t, u, v, w = t + a[j] * y, u + b[j] * y, v + c[j] * y, w + d[j] * y
    out[i], out[i + 1], out[i + 2], out[i + 3] = t, u, v, w


@strict
def subtract_square(cov, work, gain, grow, size):
    """Set cov = grow * (cov - gain * work work'); diagonal blocks stay symmetric."""
    for i in range(size):
        a = work[i]
        for j in range(min(i - i % BLOCK + BLOCK, size)):
            cov[i, j] = grow * (cov[i, j] - gain * (a * work[j]))


@jit
def bound_variances(cov, cap, work, size):
    """Reduce variances above the cap, as a measurement of the coefficient would.

    So the covariance stays positive definite, and the knowledge of other directions
    stays. Scaling rows and columns instead would rotate the known directions: with it,
    coefficients diverged on an electrocardiogram.
    """
    for i in range(size):
        variance = cov[i, i]
        if variance > cap:
            copy_column(cov, i, work, size)
            gain = (1.0 - LEFT * cap / variance) / variance
            subtract_square(cov, work, gain, 1.0, size)
        elif not variance > 0.0:
            for j in range(size):
                cov[i, j] = 0.0
                cov[j, i] = 0.0
            cov[i, i] = cap / CAP


@inline
def copy_column(cov, i, out, size):
    """Copy a column; the part above the diagonal is read from the row."""
    for j in range(i):
        out[j] = cov[i, j]
    for j in range(i, size):
        out[j] = cov[j, i]
