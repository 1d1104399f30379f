"""The rows of a bank on the GPU, and the plan that the kernels make for each."""

from __future__ import annotations

from typing import Any, NamedTuple

from sfm_stream.kernels import tick
from sfm_stream.kernels.learning import shared
from sfm_stream.kernels.rows import Out, arena_row
from sfm_stream.state.places import SINCE_UPDATE, VERSION

# Of a row: the place of its next event, the one after the last, the one after this
# run's last; whether this run is the update before a gap, whether that is behind it;
# the event an update is due at, or -1.
NEXT, END, STOP, CLOSES, CLOSED, DUE = range(6)
MARKS = 6
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


def is_due(s: Any, row: Any, phase: int) -> bool:
    """Say whether an update comes before the row's next event."""
    due = row.i64[s.at_counters + SINCE_UPDATE] >= s.every
    return (phase & tick.LEARN) != 0 and due and not tick.awaits_label(s, row)


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
