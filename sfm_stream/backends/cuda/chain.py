"""The chain of kernels that processes the events of a block, and its arrays.

    ahead     scale the ticks up to the next update, and apply gaps
    forward   (cell.cu) step the memory over these ticks
    after     for each of these ticks: settle, teach the experts, forecast
    learn     (cell.cu) compute the gradient where an update is due, and take the step
    account   record the update, and lay out a window of the past
    forward, learn  (cell.cu) over that window

One chain takes each row to its next update, or to the end of its events. The host
launches the expected number of chains, then checks whether any row has events left.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sfm_stream.backends import rounds
from sfm_stream.backends.cuda import memory, prelude
from sfm_stream.backends.cuda.stages import after, ahead, instead, pack, team
from sfm_stream.backends.cuda.stages.plan import (
    DUE,
    END,
    MARKS,
    NEVER,
    NEXT,
    Bank,
    Plan,
)
from sfm_stream.backends.cuda.twins import Instead, Twins
from sfm_stream.backends.rounds import Round
from sfm_stream.kernels.experts import mature
from sfm_stream.kernels.rows import Events, Out, room
from sfm_stream.kernels.tick import OBSERVE, PEEK
from sfm_stream.state.arena import Arena, offsets, widths
from sfm_stream.state.layout import Layout
from sfm_stream.state.places import COUNTERS, VERSION

# Phases in which ticks are observed.
OBSERVES = OBSERVE + PEEK
# Threads of a block in most stages: few, so that rows spread over all multiprocessors.
# The prelude sets the threads of `cell.cu`.
THREADS = 32
# Threads of a block of `after`, and the rows in it: each row has its own thread.
TEAM, TEAM_ROWS = 64, 8
# A row has room for the records of this many events.
EVENTS_KEPT = 32
# Functions that `ahead` leaves out or replaces.
AHEAD: Instead = {
    "experts.mature.settle_due": instead.nothing,
    "experts.mature.void": instead.nothing,
    "experts.mature.void_due": instead.nothing,
    "learning.adapt.adapt": instead.nothing,
    "memory.cell.step": instead.note_step,
    "experts.forecast.gather": instead.nothing,
    "experts.forecast.say": instead.nothing,
    "inputs.season.watch": instead.nothing,
    "inputs.period.watch": instead.nothing,
    "tick.keep": instead.nothing,
}
# In `after`: `forward` has stepped the memory, and `learn` computes the gradient.
AFTER: Instead = {
    "memory.cell.step": instead.nothing,
    "memory.cell.lose": instead.nothing,
    "memory.backprop.sweep": instead.told_loss,
    "learning.adam.norm": instead.told_norm,
    "learning.learn.forget_gradient": instead.nothing,
    "learning.learn.descend": instead.nothing,
    "learning.learn.relearn": instead.lay_window,
    "learning.shared.join": instead.nothing,
    "experts.mature.teach_least_squares": instead.note,
}
# Least squares, which all threads of a block learn together.
TOGETHER: Instead = {
    "experts.mature.see": team.see,
    "experts.least_squares.update": team.update,
}
# Prefixes of arrays that `ahead` does not change or that `after` writes again:
# forecasts, and the state learned from them.
UNTOUCHED = (
    "origin_", "theta", "cov", "mix_", "interval", "trackers", "spread_", "season_",
    "period_",    "label_", "errors",
)  # fmt: skip


class Cell(Protocol):
    """The kernels of `cell.cu`; their arguments are arrays on the GPU."""

    def forward(self, blocks: int, *arrays: Any) -> None:
        """Step the memory of rows."""

    def learn(self, blocks: int, *arrays: Any) -> None:
        """Learn in the rows with labels."""

    def join(self, blocks: int, *arrays: Any) -> None:
        """Add up the gradients of shared cells."""

    def together(self, blocks: int, *arrays: Any) -> None:
        """Take the optimiser's step of shared cells."""


class Cells(NamedTuple):
    """The kernels over the tape of the rows, and over windows of the past."""

    now: Cell
    old: Cell | None


class Kernels(NamedTuple):
    """The compiled stages."""

    ahead: Any
    judge: Any
    after: Any
    account: Any
    pack: Any


def compile_stages() -> Kernels:
    """Make the kernels; numba compiles them when they are launched."""
    together = Twins(TOGETHER).of(mature.teach_experts)
    before = Twins(AHEAD)
    behind = Twins(AFTER, {"experts.mature.teach_experts": together})
    return Kernels(
        *before.over(ahead, "ahead", "judge"),
        *behind.over(after, "after", "account"),
        *behind.over(pack, "pack"),
    )


def kept_places(layout: Layout) -> NDArray[np.int64]:
    """List the parts of a row's f64 that `ahead` may change: begin, length [n, 2]."""
    begins = offsets(layout.places)
    mine = [p for p in layout.places if p.arena == "f64" and p.size > 0]
    mine = [p for p in mine if not p.name.startswith(UNTOUCHED)]
    return np.array([(begins[p.name], p.size) for p in mine], np.int64)


class Chain:
    """The rows of a bank on the GPU, and the kernels that advance them.

    Args:
        layout: of the bank.
        kernels: from `compile_stages`.
        cells: kernels of `cell.cu`, compiled for the layout; None if no expert needs
            the cell.
    """

    def __init__(self, layout: Layout, kernels: Kernels, cells: Cells | None) -> None:
        self._layout, self._kernels, self._cells = layout, kernels, cells
        self._sizes = layout.sizes
        self._tables = Arena(*(memory.send(part) for part in layout.tables))
        self._kept = kept_places(layout)
        self._rows: Arena | None = None
        self._knobs = memory.send(np.zeros(2))

    def send(self, rows: Arena) -> None:
        """Copy the rows of a bank to the GPU."""
        count = len(rows.i64)
        self._rows = Arena(*(memory.send(part) for part in rows))
        wide = widths(prelude.room_places(self._sizes))
        self._work = Arena(
            memory.room((count, wide["f32"]), np.float32),
            memory.room((count, wide["f64"]), np.float64),
            memory.room((count, wide["i64"]), np.int64),
        )
        whole, none = np.zeros((count, 3), np.int32), np.zeros(count, np.int32)
        self._plan = Plan(
            active=memory.send(np.zeros(1 + count, np.int32)),
            order=memory.send(np.zeros(1, np.int64)),
            marks=memory.send(_no_marks(count)),
            steps=memory.send(whole),
            counts=memory.send(none),
            old_steps=memory.send(whole),
            old_counts=memory.send(none),
            joins=memory.send(none),
            turns=memory.send(_no_turns(self._sizes.targets)),
            flags=memory.send(np.zeros(2, np.int32)),
            kept=memory.send(self._kept),
            stash=memory.room((count, self._kept[:, 1].sum()), np.float64),
            counters=memory.room((count, COUNTERS), np.int64),
        )
        self._make_room(count, EVENTS_KEPT)

    def fetch(self, rows: Arena) -> None:
        """Copy the rows back to the host."""
        assert self._rows is not None  # noqa: S101 they were sent
        for there, here in zip(self._rows, rows, strict=True):
            memory.read(there, here)
        if self._sizes.shared:
            self._spread_cells(rows)

    def _spread_cells(self, rows: Arena) -> None:
        """Copy the weights of a shared cell to all its rows, as on the CPU."""
        s, begins = self._sizes, offsets(self._layout.places)
        first, version = begins["weights"], begins["counters"] + VERSION
        weights = slice(first, first + s.weights)
        for home in range(s.targets):
            rows.f32[home :: s.targets, weights] = rows.f32[home, weights]
            rows.i64[home :: s.targets, version] = rows.i64[home, version]

    def run(self, events: Events, phase: int, settings: NDArray[np.void]) -> list[Out]:
        """Process the events; give the records, row by row.

        The records hold the index of their event in place of `seq`.
        """
        assert self._rows is not None  # noqa: S101 they were sent
        count = len(self._rows.i64)
        todo = rounds.gather(events.row, count, self._sizes.targets)
        if not len(todo.rows):
            return [room(self._sizes, 0)]
        self._set_out(todo, count)
        bank = Bank(memory.send(settings), self._tables, self._rows, self._work)
        sent = Events(*(memory.send(part) for part in _numbered(events)))
        memory.write(self._knobs, np.array([settings[0]["clip"], settings[0]["lr"]]))
        parts: list[Out] = []
        # A row needs one chain per update, and with a shared cell a second one, in
        # which it waits for the other rows.
        updates = -(-(todo.longest - 1) // self._sizes.every)
        chains = 1 + (1 + self._sizes.shared) * updates
        while True:
            for _ in range(chains):
                self._launch(bank, sent, phase, len(todo.rows))
            left, crowded = memory.read(self._plan.flags)
            parts.append(self._collect(todo))
            if not left:
                return parts
            if crowded and not parts[-1].counts.any():
                self._make_room(count, 2 * self._events_kept)
            chains = 1

    def _set_out(self, todo: Round, count: int) -> None:
        """Write the range of events of each row."""
        marks = _no_marks(count)
        marks[todo.rows, NEXT] = todo.begins[:-1]
        marks[todo.rows, END] = todo.begins[1:]
        active = np.zeros(1 + count, np.int32)
        active[0], active[1 : 1 + len(todo.rows)] = len(todo.rows), todo.rows
        memory.write(self._plan.marks, marks)
        memory.write(self._plan.active, active)
        memory.write(self._plan.turns, _no_turns(self._sizes.targets))
        self._plan = self._plan._replace(order=memory.send(todo.order))

    def _launch(self, bank: Bank, events: Events, phase: int, rows: int) -> None:
        plan, out, k = self._plan, self._out, self._kernels
        shape = -(-rows // THREADS), THREADS
        k.ahead[shape](bank, events, plan, out, phase, prelude.NO_LIMIT)
        if self._sizes.shared:
            k.judge[-(-self._sizes.targets // THREADS), THREADS](bank, plan)
            k.ahead[shape](bank, events, plan, out, phase, prelude.LIMIT)
        if self._cells is not None:
            self._forward(self._cells.now, bank, bank.rows.f32, plan.steps, rows)
        k.after[-(-rows // TEAM_ROWS), TEAM](bank, events, plan, out, phase, TEAM_ROWS)
        if self._cells is not None:
            if self._sizes.shared:
                self._step_together(self._cells.now, bank)
            self._learn(self._cells.now, bank, bank.rows.f32, plan.counts, rows)
        k.account[shape](bank, events, plan, out)
        if self._cells is not None and self._cells.old is not None:
            tapes = bank.work.f32
            self._forward(self._cells.old, bank, tapes, plan.old_steps, rows)
            self._learn(self._cells.old, bank, tapes, plan.old_counts, rows)

    def _forward(
        self, cell: Cell, bank: Bank, tapes: Any, steps: Any, rows: int
    ) -> None:
        cell.forward(
            rows, bank.rows.f32, tapes, bank.tables.f32, self._plan.active, steps
        )

    def _learn(
        self, cell: Cell, bank: Bank, tapes: Any, counts: Any, rows: int
    ) -> None:
        plan, own = self._plan, bank.rows
        cell.learn(
            rows, own.f32, own.i64, tapes, bank.tables.f32, *bank.work, plan.active,
            counts, plan.turns, plan.joins, self._knobs,
        )  # fmt: skip
        if self._sizes.shared:
            blocks = self._sizes.targets * prelude.PARTS
            work, joins = bank.work.f32, plan.joins
            cell.join(blocks, own.f32, own.i64, work, plan.active, joins)

    def _step_together(self, cell: Cell, bank: Bank) -> None:
        plan, own = self._plan, bank.rows
        cell.together(
            self._sizes.targets, own.f32, own.i64, plan.turns, plan.flags, self._knobs
        )

    def _make_room(self, count: int, events: int) -> None:
        """Make room for the records of `events` events in each row."""
        self._events_kept = events
        form = room(self._sizes, 0)
        each = events * self._sizes.horizons
        tables = [
            memory.room((count, (1 + i // 4) * each, part.shape[1]), part.dtype)
            for i, part in enumerate(form[:6])
        ]
        counts = memory.send(np.zeros((count, 3), np.int64))
        self._out = Out._make([*tables, counts])

    def _collect(self, todo: Round) -> Out:
        """Copy the records of the rows to the host, and empty their room."""
        counts = memory.read(self._out.counts)[todo.rows]
        ends = counts.cumsum(axis=0)
        tables = [
            memory.room((max(int(ends[-1, i // 2]), 1), part.shape[2]), part.dtype)
            for i, part in enumerate(self._out[:6])
        ]
        packed = Out._make([*tables, self._out.counts])
        shape = -(-len(todo.rows) // THREADS), THREADS
        self._kernels.pack[shape](
            self._plan, self._out, memory.send(ends - counts), packed
        )
        found = [memory.read(part) for part in packed[:6]]
        cut = [part[: ends[-1, i // 2]] for i, part in enumerate(found)]
        return Out._make([*cut, ends[-1]])


def _no_marks(rows: int) -> NDArray[np.int64]:
    marks = np.zeros((rows, MARKS), np.int64)
    marks[:, DUE] = -1
    return marks


def _no_turns(cells: int) -> NDArray[np.int64]:
    turns = np.full((cells, prelude.TURNS), NEVER, np.int64)
    turns[:, prelude.STATE] = prelude.NONE
    turns[:, (prelude.LAST, prelude.JOINED_AT)] = -1
    turns[:, prelude.COMING] = 0
    return turns


def _numbered(events: Events) -> Events:
    """Replace `seq`, which several events may share, by the index of the event."""
    columns = [np.ascontiguousarray(column) for column in events]
    return Events(*columns)._replace(seq=np.arange(len(events.kind)))
