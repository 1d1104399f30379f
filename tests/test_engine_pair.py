"""A tick and its label stand in their columns as they were said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.engine.pair import Pair
from sfm_stream.errors import ShapeError
from sfm_stream.events import LABEL, TICK, Label, Tick
from sfm_stream.events.kinds import NO_TIME

NUMBERS = st.floats() | st.integers(-(2**53), 2**53)


@given(st.lists(NUMBERS, max_size=9), st.lists(NUMBERS, max_size=9))
def test_values_stand_there_to_the_last_bit(first, second):
    width = min(len(first), len(second))
    first, second = tuple(first[:width]), tuple(second[:width])
    pair = Pair(width)
    for _ in range(2):  # the second time over what stands there
        pair.write(1, Label("s", 2**62, second), 3, 5, 8)
        pair.write(0, Tick("s", -7, first), 4, 6, 9)
        expected = np.array([first, second], np.float64)
        np.testing.assert_array_equal(pair.events.values, expected)
    events = pair.events
    assert events.kind.tolist() == [TICK, LABEL]
    assert events.time.tolist() == [-7, 2**62]
    assert events.stream.tolist() == [4, 3]
    assert events.row.tolist() == [6, 6]
    assert events.seq.tolist() == [9, 8]


def test_numbers_of_numpy_are_numbers():
    pair = Pair(2)
    pair.write(0, Tick("s", 0, (np.float32(0.5), np.int8(3))), 0, 0, 0)
    np.testing.assert_array_equal(pair.events.values[0], [0.5, 3.0])


def test_a_time_that_no_tick_may_have_is_none():
    pair = Pair(1)
    pair.write(0, Tick("s", 2**63, (math.nan,)), 0, 0, 0)
    assert pair.events.time[0] == NO_TIME


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_other_than_one_value_per_field_is_refused(values):
    with pytest.raises(ShapeError, match=r"tick.values: expected shape \(2,\)"):
        Pair(2).write(0, Tick("s", 0, values), 0, 0, 0)
