"""Least squares by all threads of a block.

A covariance is large: one thread would read it number by number, each from another
line of memory than its neighbours'. So the thread of a row only notes what a label
teaches, and when all rows of the block have met their event, its threads learn the
notes together, row by row, each thread some columns of the covariance. What lies below
the diagonal is then read by neighbours side by side; the rest of a column is read from
its row, number by number, from lines that the cache holds by then.

The threads wait for each other here, so all of them must come: what decides where they
go is read by all from the same places.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from sfm_stream.jit.scalars import clip
from sfm_stream.kernels.experts import least_squares


def see(x: Any, limit: float, seen: Any) -> None:
    """Do what `mature.see` does, each thread some regressors."""
    cuda.syncthreads()  # all are through with those of the label before
    for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
        seen[j] = clip(x[j], limit)
    cuda.syncthreads()


def update(
    theta: Any, cov: Any, x: Any, label: float, noise: float, forgetting: float,
    ridge: float, work: Any, size: int,
) -> None:  # fmt: skip
    """Do what `least_squares.update` does, each thread some columns."""
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
    if cuda.syncthreads_or(wild) and first == 0:  # `see` lets the others wait
        least_squares.bound_variances(cov, cap, work, size)
