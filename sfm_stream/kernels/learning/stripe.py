"""A striped update: in pieces, one per tick, so that no tick waits for a whole update.

    NEW       sweep back over the windows that end at new labels
    STEP_NEW  take a step along their gradient
    AGAIN     run a window of the past again with the present weights
    OLD       sweep back over this window
    STEP_OLD  take a step along its gradient

It does the same as `learn.update`, with the same labels and windows in the same order.
The weights change some ticks later, but before the next update begins. Pieces are large
enough to finish in half of the ticks until then: so the median tick has no piece, and
an earlier step gives better forecasts. The row holds the state of an unfinished update.
"""

from __future__ import annotations

from sfm_stream.jit.scalars import inline, jit
from sfm_stream.kernels.learning import learn, reservoir
from sfm_stream.kernels.memory import backprop, cell
from sfm_stream.kernels.rows import matrix, vector
from sfm_stream.state.places import (
    DONE,
    FROZEN,
    KNOWN,
    LABELS,
    NEXT,
    PIECE,
    STAGE,
    STRIPE,
    TICKS,
)

REST, NEW, STEP_NEW, AGAIN, OLD, STEP_OLD = range(6)
# Ticks without a full piece: the two steps, and the ends of the sweeps and of the run.
PARTIAL = 4


@jit
def begin(s, again, row):
    """Begin an update; the update before must have ended."""
    spans = matrix(row.i64, s.at_spans, s.horizons, 3)
    stripe = vector(row.i64, s.at_stripe, STRIPE)
    stripe[DONE] = 0
    labels = learn.claim(s, row, spans)
    if labels > 0:
        stripe[LABELS], stripe[KNOWN] = labels, 0
        if s.kept > 0:
            stripe[KNOWN] = reservoir.fetch(s, again, row, row)
            reservoir.offer(s, row)
        steps = backprop.count_swept(spans)
        if stripe[KNOWN] > 0:
            steps += 2 * s.window
        pieces = max(s.every // 2 - PARTIAL, 1)
        stripe[PIECE] = (steps + pieces - 1) // pieces
        turn_back(s, row, spans, NEW)


@inline
def turn_back(s, row, spans, stage):
    """Prepare a sweep over spans [Q, 3] as the next stage."""
    learn.forget_gradient(s, row)
    backprop.forget_carries(s, row)
    row.f64[s.at_stripe_loss] = 0.0
    row.i64[s.at_stripe + STAGE] = stage
    row.i64[s.at_stripe + NEXT] = backprop.next_swept(spans, backprop.NEVER)


@inline
def is_under_way(s, row):
    """Say whether an update has begun and has not ended."""
    return s.late > 0 and row.i64[s.at_stripe + STAGE] != REST


@inline
def has_piece(s, row):
    """Say whether an update is under way without a piece since the last tick.

    Only accepted ticks count: after a rejected tick there is no further piece.
    """
    if not is_under_way(s, row):
        return False
    return row.i64[s.at_stripe + DONE] != row.i64[s.at_counters + TICKS]


@jit
def go_on(s, again, tables, row, work, number, seq, out):
    """Do the next piece of the update that is under way.

    If learning is paused, the update is dropped: no weight may change.
    """
    stage = row.i64[s.at_stripe + STAGE]
    if row.i64[s.at_counters + FROZEN] != 0:
        row.i64[s.at_stripe + STAGE] = REST
    elif stage == NEW or stage == OLD:
        sweep_piece(s if stage == NEW else again, tables, row, work, stage)
    elif stage == AGAIN:
        run_piece(s, again, tables, row, work)
    else:
        follow(s, row, stage, number, seq, out)
    row.i64[s.at_stripe + DONE] = row.i64[s.at_counters + TICKS]


@inline
def sweep_piece(s, tables, row, work, stage):
    """Sweep back over the next ticks."""
    spans = matrix(row.i64, s.at_spans, s.horizons, 3)
    stripe = vector(row.i64, s.at_stripe, STRIPE)
    labels = stripe[LABELS] if stage == NEW else stripe[KNOWN]
    loss, stripe[NEXT] = backprop.sweep_on(
        s, tables, row, work, row, spans, labels, stripe[NEXT], stripe[PIECE]
    )
    row.f64[s.at_stripe_loss] += loss
    if stripe[NEXT] < 0:
        stripe[STAGE] += 1


@inline
def run_piece(s, again, tables, row, work):
    """Run the next ticks of the window of the past again."""
    stripe = vector(row.i64, s.at_stripe, STRIPE)
    stop = min(stripe[NEXT] + stripe[PIECE], s.window + 1)
    for t in range(stripe[NEXT], stop):
        cell.step(again, tables, row, work, t - 1, t)
    stripe[NEXT] = stop
    if stop > s.window:
        spans = matrix(row.i64, s.at_spans, s.horizons, 3)
        learn.span_window(s, spans)
        turn_back(s, row, spans, OLD)


@inline
def follow(s, row, stage, number, seq, out):
    """Take a step along the finished gradient."""
    stripe, loss = vector(row.i64, s.at_stripe, STRIPE), row.f64[s.at_stripe_loss]
    if stage == STEP_NEW:
        labels = stripe[LABELS]
        learn.follow_new(s, row, row, row, loss / labels, labels, number, seq, out)
    else:
        learn.follow_old(s, row, row, row, loss)
    goes_on = stage == STEP_NEW and stripe[KNOWN] > 0
    stripe[STAGE], stripe[NEXT] = AGAIN if goes_on else REST, 1
