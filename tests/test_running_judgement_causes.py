from __future__ import annotations

import pytest

from sfm_stream.running.judgement.causes import (
    BACKWARD,
    UNREADABLE,
    Reason,
    of_events,
)

TWICE = {why: Reason(2, 20, "", 10**9) for why in (BACKWARD, UNREADABLE)}


@pytest.mark.parametrize(
    ("cell", "asked"),
    [("13/02/2024 10:00", True), ("30.02.24", True), ("99-99-2024", True),
     ("17oo", False), ("2024-02-30T00:00:00", False), ("", False)],
)  # fmt: skip
def test_day_and_month_are_asked_for_where_they_could_be_either(cell, asked):
    found = list(of_events(TWICE, 100, {}, f"01-02-2024.csv row 21: {cell!r}"))
    assert ("are day and month swapped?" in found[0]) is asked
    assert any("feed.time names the column" in one for one in found) is not asked


@pytest.mark.parametrize(
    ("cell", "counts"),
    [("17000000010000000", True), ("-1.5", True), ("17oo", False), ("1e3", False)],
)
def test_the_unit_is_asked_for_where_a_time_is_a_number(cell, counts):
    bad = {UNREADABLE: Reason(2, 20, "", 10**9)}
    (found,) = of_events(bad, 100, {}, f"a.csv row 21: {cell!r}")
    assert ("feed.time_unit the unit that they count, e.g. '100ns'" in found) is counts


def test_times_that_go_back_and_such_that_are_none_are_two_causes():
    back, bad = of_events(TWICE, 100, {}, "a.csv row 21: 'x'")
    assert back.startswith("were clocks set back, or rows written twice?")
    assert bad.startswith("feed.time names the column of times")
