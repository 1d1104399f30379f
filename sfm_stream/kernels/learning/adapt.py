"""After a drift: resets the learning rates, and keeps the learned coefficients."""

from __future__ import annotations

from sfm_stream.jit.scalars import ZERO, jit
from sfm_stream.kernels.rows import matrix
from sfm_stream.state.experts import COV, SIZE, THETA
from sfm_stream.state.places import ADAM_STEP, OFFERED


@jit
def adapt(s, tables, row):
    """Reset the covariances and the optimiser, to learn as fast as at birth.

    Weights and coefficients stay; stored windows of the past are dropped. A shared cell
    keeps its optimiser: one stream's drift need not be a drift of all streams.
    """
    row.i64[s.at_counters + OFFERED] = 0
    if s.shared == 0:
        row.i64[s.at_counters + ADAM_STEP] = 0
        for j in range(s.weights):
            row.f32[s.at_moment + j] = ZERO
            row.f32[s.at_moment2 + j] = ZERO
    squares = matrix(tables.i64, s.at_squares, s.squares, 5)
    for q in range(s.horizons):
        for e in range(s.squares):
            size = squares[e, SIZE]
            begin = s.at_cov + q * s.cov + squares[e, COV]
            cov = matrix(row.f64, begin, size, size)
            for i in range(size):
                for j in range(size):
                    ridge = tables.f64[s.at_ridges + squares[e, THETA] + i]
                    cov[i, j] = 1.0 / ridge if i == j else 0.0
