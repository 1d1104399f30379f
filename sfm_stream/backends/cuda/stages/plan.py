"""The rows of a bank on the GPU, and the plan of each row's next run."""

from __future__ import annotations

from typing import Any, NamedTuple

from sfm_stream.kernels import tick
from sfm_stream.kernels.learning import shared
from sfm_stream.kernels.rows import Out, arena_row
from sfm_stream.state.places import SINCE_UPDATE, VERSION

# The marks of a row: the index of its next event, the end of its events, the end of
# this run; whether this run is the update before a gap, whether that update is done;
# the event at which an update is due, or -1.
NEXT, END, STOP, CLOSES, CLOSED, DUE = range(6)
MARKS = 6
# Later than any event.
NEVER = 2**62


class Bank(NamedTuple):
    """The rows, their settings and tables, and work arrays, on the GPU."""

    settings: Any
    tables: Any
    rows: Any
    work: Any  # a row of work arrays for each row of the bank


class Plan(NamedTuple):
    """The next run of each row."""

    active: Any  # the number of rows with events, and the numbers of these rows
    order: Any  # numbers of events, row by row
    marks: Any  # [B, MARKS]
    steps: Any  # [B, 3] slot before, first slot, number of steps
    counts: Any  # [B] labels to learn from
    old_steps: Any  # steps over windows of the past
    old_counts: Any  # labels in windows of the past
    joins: Any  # [B] whether a row's gradient is part of the next step
    turns: Any  # [Tg, TURNS] when the next step of each shared cell is due
    flags: Any  # [2]
    kept: Any  # parts of a row's f64 that `ahead` restores [n, 2]
    stash: Any  # room for these parts [B, ...]
    counters: Any  # room for the counters [B, COUNTERS]


def room_of(out: Out, b: int) -> Out:
    """Give the room for the records of a row."""
    return Out(
        out.forecast_int[b], out.forecast_num[b], out.score_int[b], out.score_num[b],
        out.notice_int[b], out.notice_num[b], out.counts[b],
    )  # fmt: skip


def is_due(s: Any, row: Any, phase: int) -> bool:
    """Say whether an update comes before the row's next event."""
    due = row.i64[s.at_counters + SINCE_UPDATE] >= s.every
    return (phase & tick.LEARN) != 0 and due and not tick.awaits_label(s, row)


def catch_up(bank: Bank, b: int) -> None:
    """Copy the heads of the shared cell to a row: forecasts read them in the row."""
    s, row = bank.settings[0], arena_row(bank.rows, b)
    home = shared.home_of(s, bank.rows, b)
    version = s.at_counters + VERSION
    if s.shared != 0 and row.i64[version] != home.i64[version]:
        row.i64[version] = home.i64[version]
        heads = s.horizons * (s.outputs + 1)
        for j in range(s.at_weights + s.weights - heads, s.at_weights + s.weights):
            row.f32[j] = home.f32[j]
