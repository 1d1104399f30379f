"""Stage 2b: recursive least squares, in float64.

One problem per horizon, since each horizon's regressors meet their label with their own
delay. Guards keep it finite on streams that are idle for hours: no update while the
regressors say nothing, and a cap on what forgetting may blow up.

A covariance is symmetric, and large beside the cache: so only its lower half is read
and kept, and what stands above has no meaning. The squares of four by four along its
diagonal are whole, which lets four rows share one pass.
"""

from __future__ import annotations

from sfm_stream.jit.scalars import inline, jit, strict

# Below this x'Px carries no information and only forgetting would act.
QUIET = 1e-9
# The largest variance a coefficient may have, over the one that its ridge is the
# inverse of: forgetting multiplies what is not excited without end, and what it then
# learns of a few labels is wild. The ridge of `[forecast]` bounds all experts, also one
# that begins looser: it fits the first labels at once and is bound from then on. Bound
# by its own ridge of 1 it gives ETTh2 .0015 less MSE, NAB .0012 less skill and Binance
# .0002 less.
CAP = 10.0
# What is left of the cap when a variance came to it: less than all, or each label would
# have to bound it again.
LEFT = 0.5
# Rows of a covariance that share a pass.
BLOCK = 4


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

    `noise` is the variance of the label: labels of wild times count less.

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
    """Set out = cov x, of the first `size` rows and columns."""
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
    """Add to `out` what four rows give, and what stands left of them gives twice."""
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
    """Set cov = grow * (cov - gain * work work'), its squares symmetric to the bit."""
    for i in range(size):
        a = work[i]
        for j in range(min(i - i % BLOCK + BLOCK, size)):
            cov[i, j] = grow * (cov[i, j] - gain * (a * work[j]))


@jit
def bound_variances(cov, cap, work, size):
    """Keep variances below the cap: one beyond it counts as measured once more.

    So definiteness stays, and what is known of other directions. To shrink rows and
    columns turns the directions that are known: on a heart's record coefficients ran
    away by it.
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
    """Set out to a column, of which what stands above is read from its row."""
    for j in range(i):
        out[j] = cov[i, j]
    for j in range(i, size):
        out[j] = cov[j, i]
