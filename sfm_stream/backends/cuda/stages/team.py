"""Least squares computed by all threads of a block together.

A covariance is large. If each thread processed the covariance of its own row, neighbour
threads would read from different lines of memory. So the thread of a row only writes a
note for each label. When all rows of the block have processed their event, the threads
of the block learn the notes together, row by row, each thread some columns of the
covariance. Neighbour threads then read the part below the diagonal side by side. The
rest of a column is read from its row, number by number, from lines that are in the
cache by then.

The threads wait for each other, so all of them must reach the same barriers: every
branch around a barrier depends on values that are the same for all threads.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from sfm_stream.jit.scalars import clip
from sfm_stream.kernels.experts import least_squares


def see(x: Any, limit: float, seen: Any) -> None:
    """Clip the regressors as `mature.see` does, each thread a part of them."""
    cuda.syncthreads()  # all threads are done with the label before
    for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
        seen[j] = clip(x[j], limit)
    cuda.syncthreads()


def update(
    theta: Any, cov: Any, x: Any, label: float, noise: float, forgetting: float,
    ridge: float, work: Any, size: int,
) -> None:  # fmt: skip
    """Learn a label as `least_squares.update` does, each thread some columns."""
    first, threads = cuda.threadIdx.x, cuda.blockDim.x
    for j in range(first, size, threads):
        total = 0.0
        for i in range(j):
            total += cov[j, i] * x[i]
        for i in range(j, size):
            total += cov[i, j] * x[i]
        work[j] = total
    cuda.syncthreads()
    energy, said = 0.0, 0.0
    for i in range(size):
        energy += work[i] * x[i]
        said += theta[i] * x[i]
    if not energy > least_squares.QUIET:
        return
    gain, grow = 1.0 / (forgetting * noise + energy), 1.0 / forgetting
    cuda.syncthreads()  # all have read theta
    wild, cap = 0, least_squares.CAP / ridge
    for j in range(first, size, threads):
        theta[j] += gain * work[j] * (label - said)
        for i in range(j - j % least_squares.BLOCK, size):
            cov[i, j] = grow * (cov[i, j] - gain * (work[i] * work[j]))
        if not 0.0 < cov[j, j] <= cap:
            wild = 1
    if cuda.syncthreads_or(wild) and first == 0:  # the others wait in `see`
        least_squares.bound_variances(cov, cap, work, size)
