"""Which of hundreds of other fields a target sees: those that predict its next move.

The others are those that are no inputs of it already. For `screened` ticks each of them
is looked at: how far its last change goes along with the target's next move, once what
the target's own last change tells is taken away (the partial correlation). Then those
that tell most are chosen, once and for all. A field is left out if it tells no more
than the best of as many random ones would. Until the choice, and where none is chosen,
the inputs that wait for them are 0.
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

# Changes larger than this many usual ones are clipped to them.
LARGEST = 4.0
# Standard errors above the largest correlation that chance gives among many.
SURELY = 1.5
DONE = -1.0


@jit
def watch(s, tables, row, out, seq, number, now):
    """Look at a tick's signals [S], before they are remembered.

    After enough ticks, choose; each choice becomes a record.
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
    """Add the changes of the last tick, and what came of the target then."""
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
    """Give a change, 0 where a value is missing."""
    return 0.0 if math.isnan(change) else clip(change, LARGEST_ROOT)


@inline
def held(change, squares, count):
    """Give a change, clipped at some usual ones."""
    usual = math.sqrt(squares / count) if count > 0.0 else 0.0
    return clip(change, LARGEST * usual) if usual > 0.0 else change


@inline
def choose(s, tables, row, out, seq, number, seen, own, count):
    """Choose the fields that tell most, one after another."""
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
    """Give the partial correlation of signal j's change with the target's next move.

    The squares of the moves are those of the changes, one tick on.
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
