"""The stages of many ticks of many rows as kernels, a thread per row.

    ahead     read the ticks to come up to the next update: scale them, forget gaps
    forward   (cell.cu) step the memory over them
    after     settle, teach, forecast, for each of the ticks
    learn     (cell.cu) where an update is due
    account   note the update, lay out a window of the past
    forward, learn  (cell.cu) over that window

The cell's inputs depend neither on its output nor on what is forecast. So `ahead` runs
the ticks, but only scales them, and then undoes its changes; `after` runs them in full,
except for the memory, which is there by then. A run of ticks ends at an update, and
before a gap, because the update comes first.

A shared cell takes its step between two events: after the last stream has joined it, or
before the update of one that joined already. No row may go past that event before the
step, and all must have come so far. So `ahead` tells which event its next update is at,
`judge` finds the next step from all of them, and a second `ahead` cuts the runs that go
past it. An event of a row counts as `event * rows + row`, the CPU's order.
`chain` compiles these sources over the twins of `kernels`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import cuda

from sfm_stream.backends.cuda.instead import OLD_LABELS
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
from sfm_stream.events.kinds import GAP, TICK
from sfm_stream.kernels import records, tick
from sfm_stream.kernels.experts import mature
from sfm_stream.kernels.inputs import accept
from sfm_stream.kernels.learning import learn, shared
from sfm_stream.kernels.memory import backprop
from sfm_stream.kernels.rows import Events, Out, arena_row, matrix
from sfm_stream.state.places import (
    COUNTERS,
    FROZEN,
    LAST_TIME,
    NEW,
    SINCE_UPDATE,
    VERSION,
)

# Of a row: the place of its next event, the one after the last, the one after this
# run's last; whether this run is the update before a gap, whether that is behind it;
# the event an update is due at, or -1; whether its records need room.
NEXT, END, STOP, CLOSES, CLOSED, DUE, FULL = range(7)
MARKS = 7
# Later than any event.
NEVER = 2**62


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
    old_steps: Any  # the same of windows of the past
    old_counts: Any
    joins: Any  # [B] whether a row's gradient is part of the next step
    turns: Any  # [Tg, TURNS] of each shared cell, when its next step is due
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


def ahead(
    bank: Bank, events: Events, plan: Plan, out: Out, phase: int, bound: int
) -> None:
    """Scale the inputs of each row's next run of ticks, and plan it.

    Args:
        bank: the rows.
        events: of the block.
        plan: of the rows; a run that is planned and does not go too far stays.
        out: room for records.
        phase: as in `tick.advance`.
        bound: which number of `turns` no event of the run may pass.
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


def catch_up(bank: Bank, b: int) -> None:
    """Copy the heads of its cell to a row: forecasts read them there."""
    s, row = bank.settings[0], arena_row(bank.rows, b)
    home = shared.home_of(s, bank.rows, b)
    version = s.at_counters + VERSION
    if s.shared != 0 and row.i64[version] != home.i64[version]:
        row.i64[version] = home.i64[version]
        heads = s.horizons * (s.outputs + 1)
        for j in range(s.at_weights + s.weights - heads, s.at_weights + s.weights):
            row.f32[j] = home.f32[j]


def plan_run(
    bank: Bank, events: Events, plan: Plan, out: Out, phase: int, b: int, limit: int
) -> None:
    """Plan a row's next run, of events that count as `limit` at most."""
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
    """Give the place of a row's event in the order of the CPU."""
    return plan.order[place] * len(bank.rows.i64) + b


def foresee(s: Any, bank: Bank, events: Events, plan: Plan, b: int, due: int) -> None:
    """Tell a row's cell when its next update is due, or the earliest it can be.

    The least and the largest of many are the same in any order.
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

    It may be a gap, or as many ticks later as lie between updates at least.
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
    """Find the next step of each shared cell, from what its rows told."""
    g = cuda.grid(1)
    s = bank.settings[0]
    if g >= s.targets:
        return
    home, turn = arena_row(bank.rows, g), plan.turns[g]
    streams = len(bank.rows.i64) // s.targets
    if turn[STATE] == NONE:
        if shared.is_complete(s, bank.rows, home):
            # Where the last one's event is a gap, its row has not taken it yet.
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
            plan.flags[CROWDED] = 1
            return
        mature.void(s, row, mine, events.seq[i], b, 0, mature.VOID_GAP)
        marks[CLOSES], marks[CLOSED] = 0, 1
        prepare_update(s, row, own, plan, b, i)
        return
    while marks[NEXT] < marks[STOP]:
        i = plan.order[marks[NEXT]]
        if tick.is_full(s, bank.rows, b, b + 1, mine):
            marks[FULL] = 1
            plan.flags[CROWDED] = 1
            return
        marks[NEXT] += 1
        if phase != tick.LEARN:
            said = mine.counts[records.NOTICES]
            if events.kind[i] == TICK:
                keeps = phase != tick.PEEK
                if accept.refuse(s, table, row, own, events, i, keeps, mine):
                    if b % s.targets != 0:  # the stream's first row says it
                        mine.counts[records.NOTICES] = said
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
    """Do what an update does besides the gradient and the step."""
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
    mine.counts[:] = 0


def copy(source: Any, count: int, into: Any, begin: int) -> None:
    """Copy the first lines of a table to others."""
    for i in range(count):
        for j in range(source.shape[1]):
            into[begin + i, j] = source[i, j]


def is_due(s: Any, row: Any, phase: int) -> bool:
    """Say whether an update comes before the row's next event."""
    due = row.i64[s.at_counters + SINCE_UPDATE] >= s.every
    return (phase & tick.LEARN) != 0 and due and not tick.awaits_label(s, row)


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
