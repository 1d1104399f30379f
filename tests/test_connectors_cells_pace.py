from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cells.pace import MOST, ahead, waiting
from sfm_stream.events import NO_TIME

HOUR = 3_600


def found(times, streams=None):
    kinds = None if streams is None else np.array(streams, np.int32)
    return ahead(np.array(times, np.int64), kinds).tolist()


@pytest.mark.parametrize("count", [1, 2, MOST])
def test_rows_far_ahead_are_found_and_no_others(count):
    times = list(range(100))
    times[40 : 40 + count] = [t + HOUR for t in times[40 : 40 + count]]
    assert found(times) == list(range(40, 40 + count))


def test_a_first_time_far_ahead_is_found():
    assert found([HOUR, *range(1, 50)]) == [0]


def test_a_time_that_is_missing_hides_nothing():
    times = list(range(50))
    times[20], times[21] = HOUR, NO_TIME
    assert found(times) == [20]


@pytest.mark.parametrize(
    "times",
    [
        list(range(50)),  # as it should be
        [*range(20), *range(HOUR, HOUR + 20)],  # a night
        [*range(20), 21, 20, *range(22, 40)],  # two rows changed places
        [*range(HOUR, HOUR + 50), *range(50)],  # a clock set back
        list(range(50, 0, -1)),  # newest first
        [5],
        [],
    ],
)
def test_what_is_not_ahead_of_its_pace_is_left_alone(times):
    assert found(times) == []


def test_each_stream_has_a_pace_of_its_own():
    times = [t for i in range(60) for t in (i, 1_000 * i)]
    times[2 * 30] = HOUR
    assert found(times, [0, 1] * 60) == [60]


@given(st.lists(st.integers(1, 30), min_size=10, max_size=60), st.data())
def test_one_row_far_ahead_is_found_wherever_it_stands(steps, data):
    times = np.cumsum(steps).tolist()
    at = data.draw(st.integers(0, len(times) - 2))
    times[at] += 10**6
    assert found(times) == [at]


@pytest.mark.parametrize("count", [1, 2, MOST])
def test_last_rows_behind_a_far_step_wait_for_those_below(count):
    times = np.array([*range(50), *range(HOUR, HOUR + count)], np.int64)
    assert waiting(times, None) == count
    assert waiting(times[:50], None) == 0
    gone_on = np.array([*range(50), *range(HOUR, HOUR + MOST + 1)], np.int64)
    assert waiting(gone_on, None) == 0


def test_rows_of_other_streams_wait_with_the_one_that_may_be_ahead():
    times = np.array([t for i in range(60) for t in (i, 1_000 * i)], np.int64)
    times[2 * 58] = HOUR
    assert waiting(times, np.array([0, 1] * 60)) == 4
