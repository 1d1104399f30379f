"""The update of the cell: one step from new labels, one from a window of the past."""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import ZERO, inline, jit
from sfm_stream.kernels.learning import adam, reservoir, shared
from sfm_stream.kernels.memory import backprop, cell
from sfm_stream.kernels.records import UPDATED, notice
from sfm_stream.kernels.rows import matrix, vector
from sfm_stream.state.arena import Arena
from sfm_stream.state.places import (
    ADAM_STEP,
    COUNTERS,
    FROZEN,
    NEW,
    OLD,
    SINCE_UPDATE,
    VERSION,
)

NO_SKIP, SKIP_LOSS, SKIP_GRADIENT = range(3)


@jit
def update(s, again, tables, row, home, work, number, seq, out):
    """Learn from the labels that settled since the last update.

    `home` is the row that holds the cell: the row itself unless the cell is shared.
    """
    spans = matrix(work.i64, s.at_spans, s.horizons, 3)
    labels = claim(s, row, spans)
    if labels > 0:
        forget_gradient(s, work)
        loss = backprop.sweep(s, tables, row, work, spans, labels) / labels
        follow_new(s, row, home, work, loss, labels, number, seq, out)
        if s.kept > 0:
            relearn(s, again, tables, row, home, work, spans)
            reservoir.offer(s, row)


@inline
def claim(s, row, spans):
    """Take the labels that settled since the last update, each for one update only.

    Sets spans [Q, 3], see `backprop.windows`. Returns the number of labels; 0 if the
    cell does not learn.
    """
    counters = vector(row.i64, s.at_counters, COUNTERS)
    learned = vector(row.i64, s.at_learned, s.horizons)
    head = vector(row.i64, s.at_head_tick, s.horizons)
    counters[SINCE_UPDATE] = 0
    labels = backprop.windows(s, row, spans)
    for q in range(s.horizons):
        learned[q] = head[q]
    return labels if s.learns != 0 and counters[FROZEN] == 0 else 0


@inline
def forget_gradient(s, held):
    """Set the gradient to 0."""
    gradient = vector(held.f32, s.at_gradient, s.weights)
    for j in range(s.weights):
        gradient[j] = ZERO


@inline
def follow_new(s, row, home, held, loss, labels, number, seq, out):
    """Take a step along the gradient of new labels if it is finite; write a notice.

    `held` contains the gradient: `work`, or the row itself.
    """
    norm = adam.norm(vector(held.f32, s.at_gradient, s.weights))
    version, skipped = row.i64[s.at_counters + VERSION], NO_SKIP
    if not math.isfinite(loss):
        skipped = SKIP_LOSS
    elif not math.isfinite(norm):
        skipped = SKIP_GRADIENT
    elif s.shared != 0:
        version += 1  # the gradient is part of the next step
        shared.join(s, home, held, NEW)
        shared.note_joined(s, home, row)
    else:
        version += 1
        row.i64[s.at_counters + VERSION] = version
        descend(s, row, held, norm)
    i = notice(out, UPDATED, seq, number, version, labels, skipped)
    out.notice_num[i, 0], out.notice_num[i, 1] = loss, norm


@inline
def follow_old(s, row, home, held, loss):
    """Take a step along the gradient of old labels if it is finite."""
    norm = adam.norm(vector(held.f32, s.at_gradient, s.weights))
    if math.isfinite(loss) and math.isfinite(norm):
        if s.shared != 0:
            shared.join(s, home, held, OLD)
        else:
            descend(s, row, held, norm)


@inline
def descend(s, row, held, norm):
    """Take the optimiser's next step along the gradient in `held`."""
    count = row.i64[s.at_counters + ADAM_STEP] + 1
    row.i64[s.at_counters + ADAM_STEP] = count
    adam.step(
        vector(row.f32, s.at_weights, s.weights),
        vector(row.f32, s.at_moment, s.weights),
        vector(row.f32, s.at_moment2, s.weights),
        vector(held.f32, s.at_gradient, s.weights), norm, s.clip,
        adam.slowed(s.lr, count), count,
    )  # fmt: skip


@inline
def span_window(s, spans):
    """Set spans [Q, 3] to all ticks of a window of the past."""
    for q in range(s.horizons):
        spans[q, 0], spans[q, 1], spans[q, 2] = 1, 1, s.window


@inline
def relearn(s, again, tables, row, home, work, spans):
    """Run a window of the past again with the present weights, and learn from it.

    `again` holds the settings of a row whose tape and weights are in `work`.
    """
    labels = reservoir.fetch(s, again, row, work)
    if labels > 0:
        for j in range(s.weights):
            work.f32[again.at_weights + j] = row.f32[s.at_weights + j]
        old = Arena(work.f32, row.f64, row.i64)
        for t in range(1, s.window + 1):
            cell.step(again, tables, old, work, t - 1, t)
        span_window(s, spans)
        forget_gradient(s, work)
        loss = backprop.sweep(again, tables, old, work, spans, labels)
        follow_old(s, row, home, work, loss)
