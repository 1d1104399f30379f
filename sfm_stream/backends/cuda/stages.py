"""The stages of many ticks of many rows as kernels, a thread per row.

    ahead     read the ticks to come up to the next update: scale them, forget gaps
    forward   (cell.cu) step the memory over them
    after     settle, teach, forecast, for each of the ticks
    learn     (cell.cu) where an update is due
    account   note the update

The cell's inputs depend neither on its output nor on what is forecast, so `ahead` runs
the ticks with all but their scaling left out, and takes back what it changed; `after`
runs them in full, but for the memory, which is there. A run of ticks ends at an update
and before a gap, whose update comes first.

These are sources: `chain` compiles them over the twins of `kernels`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba import cuda

from sfm_stream.events.kinds import TICK
from sfm_stream.kernels import accept, backprop, learn, mature, tick
from sfm_stream.kernels.mature import NOTICES
from sfm_stream.kernels.rows import Events, Out, arena_row, matrix
from sfm_stream.kernels.tick import LEARN, PEEK
from sfm_stream.state.places import COUNTERS, FROZEN, SINCE_UPDATE

# Of a row: the place of its next event, the one after the last, the one after this
# run's last; whether this run is the update before a gap, whether that is behind it;
# the event an update is due at, or -1; whether its records need room.
NEXT, END, STOP, CLOSES, CLOSED, DUE, FULL = range(7)
MARKS = 7
# Flags that the rows leave: some have events left, some no room.
LEFT, CROWDED = range(2)


class Bank(NamedTuple):
    """The rows and what belongs to all of them, on the GPU."""

    settings: Any
    tables: Any
    rows: Any
    work: Any  # a row of it for each row


class Plan(NamedTuple):
    """What each row does next."""

    active: Any  # how many rows have events, and their numbers
    order: Any  # numbers of events, row by row
    marks: Any  # [B, MARKS]
    steps: Any  # [B, 3] slot before, first slot, how many
    counts: Any  # [B] labels to learn from
    flags: Any  # [2]
    kept: Any  # runs of a row's f64 that `ahead` gives back [n, 2]
    stash: Any  # room for them [B, ...]
    counters: Any  # and for the counters [B, COUNTERS]


def room_of(out: Out, b: int) -> Out:
    """Give the room for the records of a row."""
    return Out(
        out.forecast_int[b], out.forecast_num[b], out.score_int[b], out.score_num[b],
        out.notice_int[b], out.notice_num[b], out.counts[b],
    )  # fmt: skip


def ahead(bank: Bank, events: Events, plan: Plan, out: Out, phase: int) -> None:
    """Scale the inputs of each row's next run of ticks, and plan it."""
    index = cuda.grid(1)
    if index == 0:
        plan.flags[LEFT], plan.flags[CROWDED] = 0, 0
    if index >= plan.active[0]:
        return
    b = plan.active[1 + index]
    s, marks, steps = bank.settings[0], plan.marks[b], plan.steps[b]
    table, row = arena_row(bank.tables, 0), arena_row(bank.rows, b)
    own, mine = arena_row(bank.work, b), room_of(out, b)
    plan.counts[b], steps[2] = 0, 0
    marks[STOP] = marks[NEXT]
    if marks[NEXT] >= marks[END]:
        return
    keep_state(s, row, plan, b)
    for j in range(3):
        own.i64[s.at_spans + j] = 0
    said = mine.counts[NOTICES]
    while marks[STOP] < marks[END]:
        i = plan.order[marks[STOP]]
        if phase != LEARN:
            if events.kind[i] == TICK:
                keeps = phase != PEEK
                refused = accept.refuse(s, table, row, own, events, i, keeps, mine)
                mine.counts[NOTICES] = said
                if refused:
                    marks[STOP] += 1
                    continue
            at_gap = marks[STOP] == marks[NEXT] and marks[CLOSED] != 0
            if at_gap:
                tick.end_segment(s, row, events, i)
            elif phase != PEEK and tick.ends_segment(s, row, events, i):
                if marks[STOP] == marks[NEXT]:
                    marks[CLOSES] = 1
                break
            tick.observe(s, table, row, own, b, events, i, phase, mine)
        marks[STOP] += 1
        if is_due(s, row, phase):
            break
    for j in range(3):
        steps[j] = own.i64[s.at_spans + j]
    give_back_state(s, row, plan, b)


def after(bank: Bank, events: Events, plan: Plan, out: Out, phase: int) -> None:
    """Score and forecast the run's ticks; say whether an update is due."""
    index = cuda.grid(1)
    if index >= plan.active[0]:
        return
    b = plan.active[1 + index]
    s, marks, mine = bank.settings[0], plan.marks[b], room_of(out, b)
    table, row = arena_row(bank.tables, 0), arena_row(bank.rows, b)
    own = arena_row(bank.work, b)
    marks[FULL] = 0
    if marks[CLOSES] != 0:
        i = plan.order[marks[NEXT]]
        if tick.is_full(s, bank.rows, b, b + 1, mine):
            marks[CLOSES], marks[FULL] = 0, 1
            return
        mature.void(s, row, mine, events.seq[i], b, 0, mature.VOID_GAP)
        marks[CLOSES], marks[CLOSED] = 0, 1
        prepare_update(s, row, own, plan, b, i)
        return
    while marks[NEXT] < marks[STOP]:
        i = plan.order[marks[NEXT]]
        if tick.is_full(s, bank.rows, b, b + 1, mine):
            marks[FULL] = 1
            return
        marks[NEXT] += 1
        if phase != LEARN:
            said = mine.counts[NOTICES]
            if events.kind[i] == TICK:
                keeps = phase != PEEK
                if accept.refuse(s, table, row, own, events, i, keeps, mine):
                    if b % s.targets != 0:  # the stream's first row says it
                        mine.counts[NOTICES] = said
                    continue
            if marks[CLOSED] != 0:
                tick.end_segment(s, row, events, i)
                marks[CLOSED] = 0
            tick.observe(s, table, row, own, b, events, i, phase, mine)
        if is_due(s, row, phase):
            prepare_update(s, row, own, plan, b, i)


def account(bank: Bank, events: Events, plan: Plan, out: Out) -> None:
    """Note the updates that were due; say whether a row has events left."""
    index = cuda.grid(1)
    if index >= plan.active[0]:
        return
    b = plan.active[1 + index]
    s, marks = bank.settings[0], plan.marks[b]
    if marks[DUE] >= 0:
        table, row = arena_row(bank.tables, 0), arena_row(bank.rows, b)
        own, mine = arena_row(bank.work, b), room_of(out, b)
        again = bank.settings[1]
        learn.update(s, again, table, row, row, own, b, events.seq[marks[DUE]], mine)
        marks[DUE] = -1
    if marks[NEXT] < marks[END]:
        plan.flags[LEFT] = 1
    if marks[FULL] != 0:
        plan.flags[CROWDED] = 1


def pack(plan: Plan, out: Out, begins: Any, packed: Out) -> None:
    """Put the records of all rows one after another."""
    index = cuda.grid(1)
    if index >= plan.active[0]:
        return
    mine = room_of(out, plan.active[1 + index])
    copy(mine.forecast_int, mine.counts[0], packed.forecast_int, begins[index, 0])
    copy(mine.forecast_num, mine.counts[0], packed.forecast_num, begins[index, 0])
    copy(mine.score_int, mine.counts[1], packed.score_int, begins[index, 1])
    copy(mine.score_num, mine.counts[1], packed.score_num, begins[index, 1])
    copy(mine.notice_int, mine.counts[2], packed.notice_int, begins[index, 2])
    copy(mine.notice_num, mine.counts[2], packed.notice_num, begins[index, 2])
    for j in range(3):
        mine.counts[j] = 0


def copy(source: Any, count: int, into: Any, begin: int) -> None:
    """Copy the first lines of a table to others."""
    for i in range(count):
        for j in range(source.shape[1]):
            into[begin + i, j] = source[i, j]


def is_due(s: Any, row: Any, phase: int) -> bool:
    """Say whether an update comes before the row's next event."""
    due = row.i64[s.at_counters + SINCE_UPDATE] >= s.every
    return (phase & LEARN) != 0 and due and not tick.awaits_label(s, row)


def prepare_update(s: Any, row: Any, own: Any, plan: Plan, b: int, i: int) -> None:
    """Set the windows that `learn` goes back over."""
    spans = matrix(own.i64, s.at_spans, s.horizons, 3)
    labels = backprop.windows(s, row, spans)
    if s.learns != 0 and row.i64[s.at_counters + FROZEN] == 0:
        plan.counts[b] = labels
    plan.marks[b, DUE] = i


def keep_state(s: Any, row: Any, plan: Plan, b: int) -> None:
    """Keep what `ahead` changes and `after` changes again."""
    place = 0
    for run in range(len(plan.kept)):
        for j in range(plan.kept[run, 1]):
            plan.stash[b, place] = row.f64[plan.kept[run, 0] + j]
            place += 1
    for j in range(COUNTERS):
        plan.counters[b, j] = row.i64[s.at_counters + j]


def give_back_state(s: Any, row: Any, plan: Plan, b: int) -> None:
    """Undo what `ahead` did to a row."""
    place = 0
    for run in range(len(plan.kept)):
        for j in range(plan.kept[run, 1]):
            row.f64[plan.kept[run, 0] + j] = plan.stash[b, place]
            place += 1
    for j in range(COUNTERS):
        row.i64[s.at_counters + j] = plan.counters[b, j]


# ---- what takes the place of the CPU's functions: see `chain`


def nothing(*given: Any) -> None:
    """Do nothing: it is done elsewhere."""


def note_step(s: Any, tables: Any, row: Any, work: Any, before: int, slot: int) -> None:
    """Note a step of the memory for `forward`; the room of the windows is free."""
    count = work.i64[s.at_spans + 2]
    if count == 0:
        work.i64[s.at_spans], work.i64[s.at_spans + 1] = before, slot
    work.i64[s.at_spans + 2] = count + 1


def told_loss(
    s: Any, tables: Any, row: Any, work: Any, spans: Any, labels: int
) -> float:
    """Give the loss that `learn` told; leave the norm where `told_norm` finds it."""
    work.f32[s.at_gradient] = work.f64[s.at_product + 1]
    loss: float = work.f64[s.at_product]
    return loss


def told_norm(gradient: Any) -> float:
    """Give the norm that `learn` told."""
    return math.fabs(gradient[0])
