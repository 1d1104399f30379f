"""The stage after the memory's steps: processes a row's events, and records its update.

It does all but the memory: `forward` has stepped it before, and `learn` computes the
gradient between `after` and `account`. One thread processes each row, but all threads
of a block learn least squares together, see `team`.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from sfm_stream.backends.cuda.prelude import CROWDED, JOINED_AT, LEFT, NONE, NOTE, STATE
from sfm_stream.backends.cuda.stages.instead import OLD_LABELS
from sfm_stream.backends.cuda.stages.plan import (
    CLOSED,
    CLOSES,
    DUE,
    END,
    NEXT,
    STOP,
    Bank,
    Plan,
    catch_up,
    is_due,
    room_of,
)
from sfm_stream.events.kinds import TICK
from sfm_stream.kernels import records, tick
from sfm_stream.kernels.experts import mature
from sfm_stream.kernels.inputs import accept
from sfm_stream.kernels.learning import learn, shared
from sfm_stream.kernels.memory import backprop
from sfm_stream.kernels.rows import Events, Out, arena_row, matrix
from sfm_stream.state.places import FROZEN

# Outcomes for a row's next event: there is no event; it is refused; it settles no
# forecast; it settles forecasts; the phase only learns.
NONE_LEFT, REFUSED, TAKEN, SETTLED, TO_LEARN = range(5)


def after(
    bank: Bank, events: Events, plan: Plan, out: Out, phase: int, rows: int
) -> None:
    """Score and forecast the ticks of each row's run; mark the updates that are due.

    A block takes `rows` rows and one event of each at a time: a thread per row settles
    forecasts, all threads of the block teach least squares, then the thread per row
    forecasts.
    """
    # The rows' threads are spread out: threads of one warp would take turns.
    apart, first = cuda.blockDim.x // rows, 1 + cuda.blockIdx.x * rows
    place, end = cuda.threadIdx.x // apart, min(first + rows, 1 + plan.active[0])
    has_row = cuda.threadIdx.x % apart == 0 and first + place < end
    b, met = plan.active[first + place] if has_row else -1, NONE_LEFT
    if b >= 0:
        set_out(bank, events, plan, out, b)
        met = meet_next(bank, events, plan, out, phase, b)
    while cuda.syncthreads_or(met):
        for other in range(first, end):
            teach(bank, plan.active[other])
        cuda.syncthreads()
        if met != NONE_LEFT:
            go_on(bank, events, plan, out, phase, b, met)
            met = meet_next(bank, events, plan, out, phase, b)


def set_out(bank: Bank, events: Events, plan: Plan, out: Out, b: int) -> None:
    """Prepare a row for its run; if the run is at a gap, void and update before it."""
    s, marks, mine = bank.settings[0], plan.marks[b], room_of(out, b)
    row, own = arena_row(bank.rows, b), arena_row(bank.work, b)
    own.i64[len(own.i64) - 1] = 0
    if marks[CLOSES] == 0:
        return
    i = plan.order[marks[NEXT]]
    if tick.is_full(s, bank.rows, b, b + 1, mine):
        marks[CLOSES] = 0
        plan.flags[CROWDED] = 1
        return
    mature.void(s, row, mine, events.seq[i], b, 0, mature.VOID_GAP)
    marks[CLOSES], marks[CLOSED] = 0, 1
    prepare_update(s, row, own, plan, b, i)


def meet_next(
    bank: Bank, events: Events, plan: Plan, out: Out, phase: int, b: int
) -> int:
    """Settle forecasts with a row's next event; give the outcome."""
    s, marks, mine = bank.settings[0], plan.marks[b], room_of(out, b)
    table, row = arena_row(bank.tables, 0), arena_row(bank.rows, b)
    own = arena_row(bank.work, b)
    if marks[NEXT] >= marks[STOP]:
        return NONE_LEFT
    if tick.is_full(s, bank.rows, b, b + 1, mine):
        plan.flags[CROWDED] = 1
        return NONE_LEFT
    i = plan.order[marks[NEXT]]
    marks[NEXT] += 1
    if phase == tick.LEARN:
        return TO_LEARN
    said = mine.counts[records.NOTICES]
    if events.kind[i] == TICK:
        keeps = phase != tick.PEEK
        if accept.refuse(s, table, row, own, events, i, keeps, mine):
            if b % s.targets != 0:  # only the stream's first row records it
                mine.counts[records.NOTICES] = said
            return REFUSED
    if marks[CLOSED] != 0:
        tick.end_segment(s, row, events, i)
        marks[CLOSED] = 0
    settled = tick.meet(s, table, row, own, b, events, i, phase, mine)
    return SETTLED if settled else TAKEN


def teach(bank: Bank, b: int) -> None:
    """Learn from the notes of a row's labels, with all threads of the block."""
    s, table = bank.settings[0], arena_row(bank.tables, 0)
    row, own = arena_row(bank.rows, b), arena_row(bank.work, b)
    size = s.ring * s.horizons
    notes = matrix(own.f64, len(own.f64) - size * NOTE, size, NOTE)
    for j in range(own.i64[len(own.i64) - 1]):
        told = notes[j]
        mature.teach_experts(
            s, table, row, own, int(told[0]), int(told[1]), told[2], told[3], told[4],
            int(told[5]), told[6],
        )  # fmt: skip


def go_on(
    bank: Bank, events: Events, plan: Plan, out: Out, phase: int, b: int, met: int
) -> None:
    """Forecast if the event is a tick; mark an update that is due."""
    s, table = bank.settings[0], arena_row(bank.tables, 0)
    row, own = arena_row(bank.rows, b), arena_row(bank.work, b)
    own.i64[len(own.i64) - 1] = 0
    if met == REFUSED:
        return
    i = plan.order[plan.marks[b, NEXT] - 1]
    if met != TO_LEARN and events.kind[i] == TICK:
        stands = phase & tick.KEEP != 0 and met == TAKEN
        mine = room_of(out, b)
        tick.observe_tick(s, table, row, own, b, events, i, phase, stands, mine)
    if is_due(s, row, phase):
        prepare_update(s, row, own, plan, b, i)


def prepare_update(s: Any, row: Any, own: Any, plan: Plan, b: int, i: int) -> None:
    """Set the windows for the gradient in `learn`."""
    spans = matrix(own.i64, s.at_spans, s.horizons, 3)
    labels = backprop.windows(s, row, spans)
    if s.learns != 0 and row.i64[s.at_counters + FROZEN] == 0:
        plan.counts[b] = labels
    plan.marks[b, DUE] = i


def account(bank: Bank, events: Events, plan: Plan, out: Out) -> None:
    """Record the updates that were due; set the flag LEFT if a row has events left."""
    index = cuda.grid(1)
    if index >= plan.active[0]:
        return
    b = plan.active[1 + index]
    s, marks = bank.settings[0], plan.marks[b]
    plan.old_counts[b], plan.old_steps[b, 2] = 0, 0
    marks[STOP] = marks[NEXT]
    waits = s.shared != 0 and plan.turns[b % s.targets, STATE] != NONE
    if marks[DUE] >= 0 and not waits:
        note_update(bank, events, plan, out, b)
        marks[DUE] = -1
    if marks[NEXT] < marks[END] or marks[DUE] >= 0 or waits:
        plan.flags[LEFT] = 1
    if s.shared != 0:
        if shared.is_complete(s, bank.rows, shared.home_of(s, bank.rows, b)):
            plan.flags[LEFT] = 1


def note_update(bank: Bank, events: Events, plan: Plan, out: Out, b: int) -> None:
    """Do the parts of an update other than the gradient and the step."""
    s, again, seq = bank.settings[0], bank.settings[1], events.seq[plan.marks[b, DUE]]
    table, row = arena_row(bank.tables, 0), arena_row(bank.rows, b)
    home, own = shared.home_of(s, bank.rows, b), arena_row(bank.work, b)
    told = own.f64[s.at_product :]
    told[OLD_LABELS] = 0.0
    catch_up(bank, b)
    learn.update(s, again, table, row, home, own, b, seq, room_of(out, b))
    if s.shared != 0 and plan.joins[b] != 0:
        place = plan.marks[b, DUE] * len(bank.rows.i64) + b
        cuda.atomic.max(plan.turns[b % s.targets], JOINED_AT, place)
    plan.old_counts[b] = int(told[OLD_LABELS])
    if plan.old_counts[b] > 0:
        steps = plan.old_steps[b]
        steps[0], steps[1], steps[2] = 0, 1, s.window
