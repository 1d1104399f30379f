from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.venues.course import (
    AHEAD,
    KEPT,
    REACH,
    RUN,
    SETTLE,
    SLACK,
    Course,
    Verdict,
)
from sfm_stream.feeds import FIRST_TIME
from tests.venue_frames import NOW

SECOND = 10**9


def at(number=1000, time=NOW):
    return Course(id=number, time=time, received=time, values=(1.0,))


@pytest.mark.parametrize("later", [0, 1, SECOND])
def test_the_latest_id_once_more_is_a_duplicate_whatever_its_time(later):
    course = at()
    assert course.judge(1000, NOW + later, NOW + later, -1) is Verdict.DUPLICATE


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 100)), max_size=60))
def test_lower_ids_that_come_at_once_are_never_a_restart_if_their_times_are_old(rows):
    course = at()
    for number, ago in rows:
        verdict = course.judge(number, NOW - ago * SECOND, NOW, -1)
        assert verdict is Verdict.DUPLICATE


@pytest.mark.parametrize("first", [0, 1, 990, 1000 + REACH + 1, 2**62])
def test_strays_that_grow_are_a_restart_after_a_few(first):
    course = at()
    verdicts = [
        course.judge(first + i, NOW + i * SECOND, NOW + i * SECOND, -1)
        for i in range(1, RUN + 1)
    ]
    assert verdicts == [Verdict.STRAY] * (RUN - 1) + [Verdict.RESTART]


def test_an_id_that_follows_on_ends_a_run():
    course = at()
    for i in range(1, 40):
        later = NOW + i * SECOND
        assert course.judge(i, later, later, -1) is Verdict.STRAY
        course.id += 1


def test_strays_that_do_not_grow_are_no_restart():
    course = at()
    for number in range(900, 800, -1):
        assert course.judge(number, NOW + SECOND, NOW + SECOND, -1) is Verdict.STRAY


def test_what_was_received_before_the_switch_is_a_duplicate():
    course = at()
    for number in range(1, 100):
        verdict = course.judge(number, NOW + number, NOW + number, NOW + 100)
        assert verdict is Verdict.DUPLICATE


def test_the_pace_of_the_clock_tells_a_restart_from_a_snapshot():
    live, snapshot = at(), at()
    count = SETTLE // SECOND + 1
    found = [
        [course.judge(i, NOW - 3600 * SECOND + i * SECOND, NOW + i * pace, -1) for i in range(count)]
        for course, pace in ((live, SECOND), (snapshot, SECOND // 1000))
    ]  # fmt: skip
    assert found[0][-1] is Verdict.RESTART
    assert set(found[1]) == {Verdict.DUPLICATE}


@pytest.mark.parametrize(("time", "right"), [
    (NOW, True), (NOW + AHEAD, True), (NOW + AHEAD + 1, False), (FIRST_TIME, True),
    (FIRST_TIME - 1, False), (0, False), (2**63, False),
])  # fmt: skip
def test_a_first_time_may_be_a_day_ahead_and_not_before_2000(time, right):
    assert Course().plausible(time, NOW) is right


@given(
    st.integers(-AHEAD, AHEAD),
    st.integers(0, 10 * AHEAD),
    st.integers(-SLACK, 3 * SLACK),
)
def test_a_time_is_plausible_by_the_receipt_clock_or_by_the_pace_of_its_stream(
    off, passed, more
):  # fmt: skip
    course = Course(time=NOW + off, received=NOW)
    time = NOW + off + passed + more
    right = more <= SLACK or time <= NOW + passed + SLACK
    assert course.plausible(time, NOW + passed) is right


def test_no_more_than_some_contents_of_one_time_are_remembered():
    course = at()
    for i in range(10 * KEPT):
        course.remember(NOW, (float(i),))
    assert len(course.same[1]) == KEPT
    assert course.known(NOW, (1.0,))
    assert not course.known(NOW + 1, (2.0,))
