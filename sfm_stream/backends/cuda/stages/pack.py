"""Packs the records of all rows into one table, which is copied at once."""

from __future__ import annotations

from typing import Any

from numba import cuda

from sfm_stream.backends.cuda.stages.plan import Plan, room_of
from sfm_stream.kernels.rows import Out


def pack(plan: Plan, out: Out, begins: Any, packed: Out) -> None:
    """Copy the records of each row to its place in the packed tables."""
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
    """Copy the first `count` lines of a table to `into`, from line `begin` on."""
    for i in range(count):
        for j in range(source.shape[1]):
            into[begin + i, j] = source[i, j]
