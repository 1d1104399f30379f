"""The codes of records, and the writing of notices; see `rows.Out`."""

from __future__ import annotations

from sfm_stream.jit.scalars import jit

FORECASTS, SCORES, NOTICES = range(3)
UPDATED, VOIDED, REJECTED, CHOSEN = range(4)


@jit
def notice(out, kind, seq, number, a, b, c):
    """Write the notice of an update, a void, a rejected event or a chosen helper."""
    i = out.counts[NOTICES]
    out.counts[NOTICES] = i + 1
    where = out.notice_int[i]
    where[0], where[1], where[2] = kind, seq, number
    where[3], where[4], where[5] = a, b, c
    return i
