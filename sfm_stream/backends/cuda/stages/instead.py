"""Functions that replace some functions of the CPU in the GPU's stages; see `chain`."""

from __future__ import annotations

import math
from typing import Any

from sfm_stream.backends.cuda.prelude import NOTE
from sfm_stream.kernels.experts import mature
from sfm_stream.kernels.learning import learn, reservoir
from sfm_stream.kernels.rows import matrix

# The place in `product` where an update writes the number of labels in the window of
# the past; the places before it hold the loss and the norm that `learn` wrote.
OLD_LABELS = 2


def nothing(*given: Any) -> None:
    """Do nothing: another stage does this work."""


def note_step(s: Any, tables: Any, row: Any, work: Any, before: int, slot: int) -> None:
    """Record a step of the memory for `forward`, in `spans`, which is unused then."""
    count = work.i64[s.at_spans + 2]
    if count == 0:
        work.i64[s.at_spans], work.i64[s.at_spans + 1] = before, slot
    work.i64[s.at_spans + 2] = count + 1


def told_loss(
    s: Any, tables: Any, row: Any, work: Any, spans: Any, labels: int
) -> float:
    """Give the loss that `learn` wrote; copy the norm to where `told_norm` reads it."""
    work.f32[s.at_gradient] = work.f64[s.at_product + 1]
    loss: float = work.f64[s.at_product]
    return loss


def told_norm(gradient: Any) -> float:
    """Give the norm that `learn` wrote."""
    return math.fabs(gradient[0])


def lay_window(
    s: Any, again: Any, tables: Any, row: Any, home: Any, work: Any, spans: Any
) -> None:
    """Lay out a window of the past for `forward` and `learn`."""
    labels = reservoir.fetch(s, again, row, work)
    learn.span_window(s, spans)
    work.f64[s.at_product + OLD_LABELS] = labels


def note(
    s: Any, tables: Any, row: Any, work: Any, slot: int, q: int,
    anchor: float, away: float, wait: int,
) -> None:  # fmt: skip
    """Write a note for least squares at the end of the row's work arrays.

    The note holds slot, horizon, anchor, distance of the label from the anchor, noise
    of the label, the regressors that the expert does not see yet, and the largest
    factor of forgetting.
    """
    noise, blind, most = mature.terms_of(s, row, slot, q, wait)
    last, size = len(work.i64) - 1, s.ring * s.horizons * NOTE
    notes = matrix(work.f64, len(work.f64) - size, s.ring * s.horizons, NOTE)
    mine = notes[work.i64[last]]
    work.i64[last] += 1
    mine[0], mine[1], mine[2], mine[3] = slot, q, anchor, away
    mine[4], mine[5], mine[6] = noise, blind, most
