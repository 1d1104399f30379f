from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cells import dates, periods
from sfm_stream.events import NO_TIME

DAYS = st.dates(date(1970, 1, 1), date(2199, 12, 31))
WRITTEN = {
    periods.QUARTER: lambda d: f"{d.year}-Q{(d.month + 2) // 3}",
    periods.QUARTER_FIRST: lambda d: f"Q{(d.month + 2) // 3} {d.year}",
    periods.WEEK: lambda d: f"{d.isocalendar().year}-W{d.isocalendar().week:02}",
    periods.DAY_OF_WEEK: lambda d: "{}-W{:02}-{}".format(*d.isocalendar()),
    periods.DAY_OF_YEAR: lambda d: f"{d:%Y-%j}",
}
FIRST = {
    periods.QUARTER: lambda d: d.replace(month=(d.month - 1) // 3 * 3 + 1, day=1),
    periods.QUARTER_FIRST: lambda d: d.replace(month=(d.month - 1) // 3 * 3 + 1, day=1),
    periods.WEEK: lambda d: d - timedelta(days=d.isocalendar().weekday - 1),
    periods.DAY_OF_WEEK: lambda d: d,
    periods.DAY_OF_YEAR: lambda d: d,
}


def ns(day, hours=0):
    return (
        int(datetime(day.year, day.month, day.day, hours, tzinfo=UTC).timestamp())
        * 10**9
    )


def read(*cells):
    column = pl.Series("when", cells)
    clock = dates.recognise(column, "a file", "when")
    return None if clock is None else clock.read(column.to_frame()).tolist()


@pytest.mark.parametrize("form", WRITTEN)
@given(days=st.lists(DAYS, min_size=1, max_size=5))
def test_every_period_begins_at_its_first_day(form, days):
    cells = pl.Series("when", [WRITTEN[form](day) for day in days])
    assert periods.form_of(cells, 1.0) == form
    assert periods.read(cells, form).tolist() == [ns(FIRST[form](day)) for day in days]


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (("2024Q1", "2024Q2"), date(2024, 1, 1)),
        (("2024/Q3", "2024/Q4"), date(2024, 7, 1)),
        (("Q4-2023", "Q1-2024"), date(2023, 10, 1)),
        (("2024W05", "2024W06"), date(2024, 1, 29)),
        (("2024W053", "2024W054"), date(2024, 1, 31)),
        (("2024-032", "2024-033"), date(2024, 2, 1)),
    ],
)
def test_forms_in_use_are_recognised(cells, first):
    assert read(*cells)[0] == ns(first)


def test_a_time_of_day_may_stand_behind_a_day():
    assert read("2024-032T06:00:00Z", "2024-032 07:00:00")[0] == ns(date(2024, 2, 1), 6)
    assert read("2024-W05-4T06:00", "2024-W05-5T06:00")[0] == ns(date(2024, 2, 1), 6)


def test_a_day_or_week_that_is_not_there_is_no_time():
    days = [f"2023-{day:03}" for day in range(356, 367)]
    assert [t == NO_TIME for t in read(*days)] == [False] * 10 + [True]
    weeks = [f"2024-W{week:02}" for week in range(43, 54)]
    assert [t == NO_TIME for t in read(*weeks)] == [False] * 10 + [True]
    assert (
        periods.read(pl.Series(["2024-000", "2024-W00"]), "%Y-%j").tolist()[0]
        == NO_TIME
    )
