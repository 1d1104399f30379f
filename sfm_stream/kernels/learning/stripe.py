"""An update in pieces, one at each tick, so that no tick waits for all of an update.

    NEW       go back over the windows that end at new labels
    STEP_NEW  follow their gradient
    AGAIN     run a window of the past again with the weights of now
    OLD       go back over it
    STEP_OLD  follow its gradient

It does what `learn.update` does, with the same labels and windows, in the same order;
the weights follow some ticks later, but before the next update begins. Pieces are so
large that half the ticks until then are enough: the median tick has none, and a step
that comes sooner forecasts better. What an update is in the middle of lies in its row.
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
# Ticks of these without a whole piece: the two steps, and the ends of sweeps and run.
PARTIAL = 4


@jit
def begin(s, again, row):
    """Begin an update; the one before must have come to its end."""
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
    """Let a sweep over spans [Q, 3] come next."""
    learn.forget_gradient(s, row)
    backprop.forget_carries(s, row)
    row.f64[s.at_stripe_loss] = 0.0
    row.i64[s.at_stripe + STAGE] = stage
    row.i64[s.at_stripe + NEXT] = backprop.next_swept(spans, backprop.NEVER)


@inline
def is_under_way(s, row):
    """Say whether an update has begun and is not at its end."""
    return s.late > 0 and row.i64[s.at_stripe + STAGE] != REST


@inline
def has_piece(s, row):
    """Say whether an update is under way that has had no piece since the last tick.

    Only ticks count: a refused one, in whose place nothing is learned, leaves no trace.
    """
    if not is_under_way(s, row):
        return False
    return row.i64[s.at_stripe + DONE] != row.i64[s.at_counters + TICKS]


@jit
def go_on(s, again, tables, row, work, number, seq, out):
    """Do the next piece of the update that is under way.

    It is dropped where learning is paused by now: no weight may change.
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
    """Go back some ticks."""
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
    """Run the window of the past again for some ticks."""
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
    """Let the weights follow the gradient that is there now."""
    stripe, loss = vector(row.i64, s.at_stripe, STRIPE), row.f64[s.at_stripe_loss]
    if stage == STEP_NEW:
        labels = stripe[LABELS]
        learn.follow_new(s, row, row, row, loss / labels, labels, number, seq, out)
    else:
        learn.follow_old(s, row, row, row, loss)
    goes_on = stage == STEP_NEW and stripe[KNOWN] > 0
    stripe[STAGE], stripe[NEXT] = AGAIN if goes_on else REST, 1
