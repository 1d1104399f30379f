"""Chooses the helpers of a target: other fields that predict its next move.

The candidates are fields that are not inputs of the target already. For `screened`
ticks the statistics cover each candidate's last change and the target's next move: the
partial correlation of the two, given the target's own last change. Then the candidates
with the largest partial correlations become helpers, for good. A candidate is left out
if its correlation is no larger than the best of the same number of random fields would
have. Until the choice, and for helpers that stay unchosen, the inputs are 0.
"""

from __future__ import annotations

import math

from sfm_stream.jit.scalars import LARGEST_ROOT, clip, inline, jit
from sfm_stream.kernels.records import CHOSEN, notice
from sfm_stream.kernels.rows import cube, matrix, vector
from sfm_stream.state.inputs import CHANGE, FIELD
from sfm_stream.state.places import (
    CHANGED,
    COUNTERS,
    FRESH,
    SCREEN,
    SQUARES,
    WITH_MOVE,
    WITH_OWN,
)

# Changes are clipped at this many root mean squares.
LARGEST = 4.0
# Standard errors above the largest chance correlation among all candidates.
SURELY = 1.5
DONE = -1.0


@jit
def watch(s, tables, row, out, seq, number, now):
    """Update the statistics with a tick's signals [S], before they are stored.

    After `screened` ticks, choose the helpers; each choice becomes a record.
    """
    count = vector(row.f64, s.at_screen_count, 1)
    if count[0] == DONE:
        return
    seen = matrix(row.f64, s.at_screen, s.signals, SCREEN)
    before = vector(row.f64, s.at_before, s.signals)
    own = tables.i64[s.at_target + number % s.targets]
    counters = vector(row.i64, s.at_counters, COUNTERS)
    fresh = counters[FRESH] != 0
    if not fresh:
        look(s, seen, count, own, known(now[own] - before[own]))
    for j in range(s.signals):
        seen[j, CHANGED] = 0.0 if fresh else known(now[j] - before[j])
    if count[0] >= s.screened:
        choose(s, tables, row, out, seq, number, seen, own, count[0])
        count[0] = DONE


@inline
def look(s, seen, count, own, move):
    """Add the changes of the last tick, and the target's move after it."""
    n = count[0]
    drawn = held(seen[own, CHANGED], seen[own, SQUARES], n)
    came = held(move, seen[own, SQUARES], n)
    for j in range(s.signals):
        change = held(seen[j, CHANGED], seen[j, SQUARES], n)
        seen[j, SQUARES] += change * change
        seen[j, WITH_MOVE] += change * came
        seen[j, WITH_OWN] += change * drawn
    count[0] = n + 1.0


@inline
def known(change):
    """Give a change, clipped; 0 if a value is missing."""
    return 0.0 if math.isnan(change) else clip(change, LARGEST_ROOT)


@inline
def held(change, squares, count):
    """Clip a change at LARGEST root mean squares."""
    usual = math.sqrt(squares / count) if count > 0.0 else 0.0
    return clip(change, LARGEST * usual) if usual > 0.0 else change


@inline
def choose(s, tables, row, out, seq, number, seen, own, count):
    """Choose the fields with the largest partial correlations, one after another."""
    helpers = vector(row.f64, s.at_helpers, s.helpers)
    signals = matrix(tables.i64, s.at_signals, s.signals, 5)
    inputs = cube(tables.i64, s.at_inputs, s.targets, s.inputs, 2)[number % s.targets]
    others = 0
    for j in range(s.signals):
        others += is_other(signals, inputs, own, j)
    least = (math.sqrt(2.0 * math.log(max(others, 1))) + SURELY) / math.sqrt(count)
    for h in range(s.helpers):
        best, most = -1, least
        for j in range(s.signals):
            told = math.fabs(partial(seen, own, j))
            free = is_other(signals, inputs, own, j)
            for g in range(h):
                free = free and helpers[g] != j
            if told > most and free:
                best, most = j, told
        if best < 0:
            break
        helpers[h] = best
        i = notice(out, CHOSEN, seq, number, h, signals[best, 1], 0)
        out.notice_num[i, 0], out.notice_num[i, 1] = partial(seen, own, best), least


@inline
def is_other(signals, inputs, own, j):
    """Say whether signal j is a field whose change the target does not see yet."""
    other = j != own and signals[j, 0] == FIELD
    for i in range(len(inputs)):
        other = other and not (inputs[i, 0] == CHANGE and inputs[i, 1] == j)
    return other


@inline
def partial(seen, own, j):
    """Compute the partial correlation of signal j's change and the target's next move.

    The squares of the target's changes serve for its moves, which are one tick later.
    """
    squares, moves = seen[j, SQUARES], seen[own, SQUARES]
    if not (squares > 0.0 and moves > 0.0):
        return 0.0
    with_move = seen[j, WITH_MOVE] / math.sqrt(squares * moves)
    with_own = seen[j, WITH_OWN] / math.sqrt(squares * moves)
    repeats = seen[own, WITH_MOVE] / moves
    rest = (1.0 - with_own * with_own) * (1.0 - repeats * repeats)
    if not rest > 1e-12:
        return 0.0
    return (with_move - with_own * repeats) / math.sqrt(rest)
