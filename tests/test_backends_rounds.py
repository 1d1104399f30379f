from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.backends import rounds
from sfm_stream.events import GAP, TICK
from sfm_stream.kernels.inputs.accept import STRANGER
from sfm_stream.kernels.records import REJECTED
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROW, Out
from tests.kernels_rig import ticks

SEQ = np.array([70, 70, 71, 72])


def out(records, room=None):
    """Give scores of (event, row), and as many notices."""
    where = np.zeros((len(records) if room is None else room, 6), np.int64)
    notices = where.copy()
    for i, (event, row) in enumerate(records):
        where[i, :2], notices[i, 1:3] = (event, row), (event, row)
    reals = np.arange(len(where), dtype=np.float64)[:, None].repeat(3, 1)
    return Out(
        np.zeros((0, 6), np.int64), np.zeros((0, 9)), where, reals, notices,
        reals[:, :2], np.array([0, len(records), len(records)]),
    )  # fmt: skip


@given(
    st.lists(st.sampled_from([ALL_ROWS, NO_ROW, 0, 2, 4]), max_size=30),
    st.sampled_from([1, 2]),
)
def test_each_row_takes_its_own_events_in_their_order(row, targets):
    found = rounds.gather(np.array(row, np.int64), 6, targets)
    taken = {b: [] for b in range(6)}
    for i, first in enumerate(row):
        for b in range(6) if first == ALL_ROWS else range(first, first + targets):
            if b >= 0 and first != NO_ROW:
                taken[b].append(i)
    for place, b in enumerate(found.rows):
        begin, end = found.begins[place : place + 2]
        assert found.order[begin:end].tolist() == taken.pop(b)
    assert not any(taken.values())
    assert found.longest == max(np.diff(found.begins), default=0)


def test_only_ticks_of_streams_without_a_row_are_strangers():
    events = ticks([1.0, 2.0, 3.0], stream=7)
    events.row[:2], events.kind[1] = NO_ROW, GAP
    assert events.kind[0] == TICK
    expected = [[REJECTED, 0, 7, events.time[0], -1, STRANGER]]
    assert rounds.strangers(events).tolist() == expected


def test_records_of_rows_are_put_in_the_order_of_events_then_rows():
    parts = [out([(0, 1), (3, 1), (2, 4)]), out([(1, 0), (1, 0)])]
    refused = np.array([[REJECTED, 2, 9, 0, -1, STRANGER]])
    joined = rounds.join(parts, refused, SEQ)
    assert joined.score_int[:, :2].tolist() == [
        [70, 1], [70, 0], [70, 0], [71, 4], [72, 1],
    ]  # fmt: skip
    # What a row said of one event keeps its order.
    assert joined.score_num[:, 0].tolist() == [0, 0, 1, 2, 1]
    assert joined.notice_int[:, 1].tolist() == [70, 70, 70, 71, 71, 72]
    assert joined.counts.tolist() == [0, 5, 6]


@given(st.integers(1, 4), st.integers(0, 9))
def test_records_are_delivered_whole_and_in_order_whatever_the_room(room, count):
    rest = rounds.join([out([(0, i) for i in range(count)])], rounds.NONE, SEQ)
    said = []
    while True:
        into = out([], room)
        rest = rounds.deliver(rest, into)
        said += into.score_int[: into.counts[1], 1].tolist()
        if not rest.counts.any():
            break
    assert said == list(range(count))
