"""A cell shared by many streams: each step follows the mean of their gradients.

A stream that learns adds its gradients to a sum, in the order of the events: it joins
the next step. When all streams have joined, or before a stream joins a second time, the
cell takes the optimiser's step along the mean, and every row gets the new weights. The
rows of the first stream are the cell's home: they hold the optimiser's state and the
sums.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import ZERO, inline, jit
from sfm_stream.kernels.learning import adam
from sfm_stream.kernels.rows import arena_row, vector
from sfm_stream.state.places import ADAM_STEP, JOINED, NEW, OLD, VERSION


@inline
def home_of(s, rows, b):
    """Give the home row of a row's cell: the row itself if cells are not shared."""
    return arena_row(rows, b % s.targets if s.shared != 0 else b)


@inline
def join(s, home, work, kind):
    """Add the gradient in `work`, of NEW or OLD labels, to the sum of this kind."""
    at = s.at_pool + (kind - NEW) * s.weights
    for j in range(s.weights):
        home.f32[at + j] += work.f32[s.at_gradient + j]
    home.i64[s.at_sharing + kind] += 1


@inline
def note_joined(s, home, row):
    """Record that a row's gradient is part of the next step."""
    row.i64[s.at_sharing + JOINED] = home.i64[s.at_counters + VERSION] + 1


@inline
def has_joined(s, home, row):
    """Say whether a row's gradient is part of the next step."""
    version = home.i64[s.at_counters + VERSION]
    return row.i64[s.at_sharing + JOINED] == version + 1


@inline
def is_complete(s, rows, home):
    """Say whether all streams have joined the next step."""
    return home.i64[s.at_sharing + NEW] * s.targets == len(rows.i64)


@jit
def step_together(s, rows, b):
    """Take the step of row b's cell, and copy the weights to all rows of the cell."""
    first = b % s.targets
    home = arena_row(rows, first)
    for kind in range(NEW, OLD + 1):
        if home.i64[s.at_sharing + kind] > 0:
            descend(s, home, kind)
    version = home.i64[s.at_counters + VERSION] + 1
    weights = vector(home.f32, s.at_weights, s.weights)
    for other in range(first, len(rows.i64), s.targets):
        rows.i64[other, s.at_counters + VERSION] = version
        if other != first:
            mine = vector(rows.f32[other], s.at_weights, s.weights)
            for j in range(s.weights):
                mine[j] = weights[j]


@inline
def descend(s, home, kind):
    """Take the optimiser's step along the mean of the gradients of a kind."""
    count = home.i64[s.at_sharing + kind]
    pool = vector(home.f32, s.at_pool + (kind - NEW) * s.weights, s.weights)
    for j in range(s.weights):
        pool[j] /= count
    norm = adam.norm(pool)
    if math.isfinite(norm):
        steps = home.i64[s.at_counters + ADAM_STEP] + 1
        home.i64[s.at_counters + ADAM_STEP] = steps
        adam.step(
            vector(home.f32, s.at_weights, s.weights),
            vector(home.f32, s.at_moment, s.weights),
            vector(home.f32, s.at_moment2, s.weights),
            pool, norm, s.clip, adam.slowed(s.lr, steps), steps,
        )  # fmt: skip
    for j in range(s.weights):
        pool[j] = ZERO
    home.i64[s.at_sharing + kind] = 0
