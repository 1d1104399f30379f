from __future__ import annotations

import numpy as np

from sfm_stream.engine.streams import Roster
from sfm_stream.events import ALL_STREAMS, Block, Control, Gap, Heartbeat, Tick
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROW

EVENTS = [
    Gap("never", 1, "cut off"), Tick("b", 1, (1.0,)), Tick("a", 1, (1.0,)),
    Control("c", 1, "freeze"), Tick("b", 1, (1.0,)), Heartbeat("", 1),
]  # fmt: skip


def test_streams_are_new_once_in_the_order_of_ticks_and_controls():
    roster, block = Roster(), Block.of(EVENTS, 1)
    assert roster.newcomers(block) == ["b", "a", "c"]
    roster.add("a", 0)
    assert roster.newcomers(block) == ["b", "c"]


def test_events_find_their_rows():
    roster = Roster()
    for name, row in (("a", 0), ("b", NO_ROW), ("c", 2)):
        roster.add(name, row)
    numbers = roster.of(Block.of(EVENTS, 1))
    assert numbers.tolist() == [NO_ROW, 1, 0, 2, 1, ALL_STREAMS]
    rows = roster.rows(numbers).tolist()
    assert rows == [NO_ROW, NO_ROW, 0, 2, NO_ROW, ALL_ROWS]


def test_a_roster_comes_back_from_plain_values():
    roster = Roster()
    roster.add("a", 0)
    roster.add("b", NO_ROW)
    again = Roster()
    again.restore(list(roster.numbers), roster.first_row.tolist())
    assert again.numbers == roster.numbers
    np.testing.assert_array_equal(again.first_row, roster.first_row)
