"""The stage before the memory's steps: plans a row's next run, and scales its inputs.

A run is the events of a row up to its next update. The cell's inputs depend neither on
its output nor on the forecasts. So `ahead` processes the ticks only to scale them, and
then undoes its changes to the row. A run ends at an update, and before a gap, because
the update comes first.

A shared cell takes its step between two events: after the last stream has joined, or
before the update of a stream that joined already. Before the step, no row may pass that
event, and every row must reach it. So `ahead` reports the event of each row's next
update, `judge` finds the next step of the cell from these, and a second `ahead`
shortens the runs that go past it. The place of a row's event is `event * rows + row`,
the order of the CPU.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from sfm_stream.backends.cuda.prelude import (
    AFTER_FIRST,
    BEFORE,
    COMING,
    COMPLETE,
    CROWDED,
    FIRST,
    JOINED_AT,
    LAST,
    LEFT,
    LIMIT,
    NONE,
    SECOND,
    STATE,
)
from sfm_stream.backends.cuda.stages.plan import (
    CLOSED,
    CLOSES,
    DUE,
    END,
    NEVER,
    NEXT,
    STOP,
    Bank,
    Plan,
    catch_up,
    is_due,
    room_of,
)
from sfm_stream.events.kinds import GAP, TICK
from sfm_stream.kernels import records, tick
from sfm_stream.kernels.inputs import accept
from sfm_stream.kernels.learning import shared
from sfm_stream.kernels.rows import Events, Out, arena_row
from sfm_stream.state.places import COUNTERS, LAST_TIME, NEW


def ahead(
    bank: Bank, events: Events, plan: Plan, out: Out, phase: int, bound: int
) -> None:
    """Scale the inputs of each row's next run of ticks, and plan it.

    Args:
        bank: the rows.
        events: of the block.
        plan: of the rows; a planned run within the limit stays.
        out: room for records.
        phase: as in `tick.advance`.
        bound: the column of `turns` that holds the limit for the events of a run.
    """
    index = cuda.grid(1)
    if index == 0:
        plan.flags[LEFT], plan.flags[CROWDED] = 0, 0
    if index >= plan.active[0]:
        return
    b = plan.active[1 + index]
    marks, limit = plan.marks[b], plan.turns[b % bank.settings[0].targets, bound]
    if marks[STOP] > marks[NEXT] or marks[CLOSES] != 0:
        last = max(marks[STOP] - 1, marks[NEXT])
        if place_of(bank, plan, b, last) <= limit:
            return
    plan.steps[b, 2] = 0
    if marks[DUE] >= 0:  # an update waits for the step before it
        return
    plan.counts[b] = 0
    catch_up(bank, b)
    if marks[NEXT] < marks[END]:
        plan_run(bank, events, plan, out, phase, b, limit)


def plan_run(
    bank: Bank, events: Events, plan: Plan, out: Out, phase: int, b: int, limit: int
) -> None:
    """Plan a row's next run, of events whose place is at most `limit`."""
    s, marks, steps = bank.settings[0], plan.marks[b], plan.steps[b]
    table, row = arena_row(bank.tables, 0), arena_row(bank.rows, b)
    own, mine = arena_row(bank.work, b), room_of(out, b)
    marks[STOP], marks[CLOSES] = marks[NEXT], 0
    keep_state(s, row, plan, b)
    for j in range(3):
        own.i64[s.at_spans + j] = 0
    said, due = mine.counts[records.NOTICES], NEVER
    while marks[STOP] < marks[END]:
        i, now = plan.order[marks[STOP]], place_of(bank, plan, b, marks[STOP])
        if now > limit:
            break
        if phase != tick.LEARN:
            if events.kind[i] == TICK:
                keeps = phase != tick.PEEK
                refused = accept.refuse(s, table, row, own, events, i, keeps, mine)
                mine.counts[records.NOTICES] = said
                if refused:
                    marks[STOP] += 1
                    continue
            at_gap = marks[STOP] == marks[NEXT] and marks[CLOSED] != 0
            if at_gap:
                tick.end_segment(s, row, events, i)
            elif phase != tick.PEEK and tick.ends_segment(s, row, events, i):
                due = now
                if marks[STOP] == marks[NEXT]:
                    marks[CLOSES] = 1
                break
            tick.observe(s, table, row, own, b, events, i, phase, mine)
        marks[STOP] += 1
        if is_due(s, row, phase):
            due = now
            break
    mine.counts[records.NOTICES] = said
    for j in range(3):
        steps[j] = own.i64[s.at_spans + j]
    if s.shared != 0 and limit == NEVER and due < NEVER:
        foresee(s, bank, events, plan, b, due)
    give_back_state(s, row, plan, b)


def place_of(bank: Bank, plan: Plan, b: int, place: int) -> Any:
    """Compute the place of a row's event in the order of the CPU."""
    return plan.order[place] * len(bank.rows.i64) + b


def foresee(s: Any, bank: Bank, events: Events, plan: Plan, b: int, due: int) -> None:
    """Report a row's next update, and the earliest one after it, to its shared cell.

    The result of minimum and maximum does not depend on the order of the rows.
    """
    home, row = shared.home_of(s, bank.rows, b), arena_row(bank.rows, b)
    turn = plan.turns[b % s.targets]
    if shared.has_joined(s, home, row):
        cuda.atomic.min(turn, SECOND, due)
        return
    cuda.atomic.min(turn, FIRST, due)
    cuda.atomic.max(turn, LAST, due)
    cuda.atomic.add(turn, COMING, 1)
    chance = next_chance(s, row, bank, events, plan, b, due)
    cuda.atomic.min(turn, AFTER_FIRST, chance)


def next_chance(
    s: Any, row: Any, bank: Bank, events: Events, plan: Plan, b: int, due: int
) -> Any:
    """Give the first event at which an update after the one at `due` may be due.

    That is a gap, or the event `learn.every` ticks later.
    """
    marks, time = plan.marks[b], row.i64[s.at_counters + LAST_TIME]
    earliest, latest = time, time
    for j in range(marks[STOP], marks[END]):
        i, now = plan.order[j], place_of(bank, plan, b, j)
        time, gap = events.time[i], events.kind[i] == GAP
        if events.kind[i] == TICK:
            gap = time < latest or (s.max_gap > 0 and time - earliest > s.max_gap)
            latest = max(latest, time)
        if j - marks[STOP] + 1 >= s.every or (gap and now > due):
            return max(now, due + 1)
        earliest = min(earliest, time) if gap else earliest
    return NEVER


def judge(bank: Bank, plan: Plan) -> None:
    """Find the next step of each shared cell, from the reports of its rows."""
    g = cuda.grid(1)
    s = bank.settings[0]
    if g >= s.targets:
        return
    home, turn = arena_row(bank.rows, g), plan.turns[g]
    streams = len(bank.rows.i64) // s.targets
    if turn[STATE] == NONE:
        if shared.is_complete(s, bank.rows, home):
            # If the event of the last update is a gap, its row has not taken it yet.
            turn[STATE], turn[LIMIT] = COMPLETE, turn[JOINED_AT] - 1
            turn[JOINED_AT] = -1
        elif turn[SECOND] < turn[FIRST]:
            turn[STATE], turn[LIMIT] = BEFORE, turn[SECOND]
            turn[JOINED_AT] = -1
        else:
            turn[LIMIT] = min(turn[SECOND], turn[AFTER_FIRST]) - 1
            absent = streams - home.i64[s.at_sharing + NEW]
            if turn[COMING] == absent:
                turn[LIMIT] = min(turn[LIMIT], turn[LAST])
    turn[SECOND], turn[FIRST], turn[AFTER_FIRST] = NEVER, NEVER, NEVER
    turn[LAST], turn[COMING] = -1, 0


def keep_state(s: Any, row: Any, plan: Plan, b: int) -> None:
    """Save the arrays of a row that `ahead` changes."""
    place = 0
    for run in range(len(plan.kept)):
        for j in range(plan.kept[run, 1]):
            plan.stash[b, place] = row.f64[plan.kept[run, 0] + j]
            place += 1
    for j in range(COUNTERS):
        plan.counters[b, j] = row.i64[s.at_counters + j]


def give_back_state(s: Any, row: Any, plan: Plan, b: int) -> None:
    """Restore the arrays of a row that `ahead` changed."""
    place = 0
    for run in range(len(plan.kept)):
        for j in range(plan.kept[run, 1]):
            row.f64[plan.kept[run, 0] + j] = plan.stash[b, place]
            place += 1
    for j in range(COUNTERS):
        row.i64[s.at_counters + j] = plan.counters[b, j]
