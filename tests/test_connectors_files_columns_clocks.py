from __future__ import annotations

import polars as pl
import pytest
from msgspec.structs import replace

from connectors.files.columns import clocks
from connectors.files.columns.seen import Seen
from connectors.files.options import TextOptions
from sfm_stream.config import Config
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME

DAY = 86_400 * 10**9
NEW_YEAR = 1_704_067_200 * 10**9  # 2024


def told(columns, options=None, **feed):
    """Give the clock of some columns of text, its times, and what is said of it."""
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    seen = Seen("a.csv", tuple(columns), {c.name: c for c in frame})
    given = replace(Config().feed, **feed)
    clock, notes = clocks.choose(given, TextOptions(**options or {}), seen)
    return clock, None if clock is None else clock.read(frame).tolist(), notes


@pytest.mark.parametrize(
    "cells",
    [
        ["2024-01", "2024-02"], ["2024/01", "2024/02"], ["Jan 2024", "Feb 2024"],
        ["January 2024", "February 2024"], ["2024-Jan", "2024-Feb"],
        ["01/2024", "02/2024"], ["Jan-24", "Feb-24"],
    ],
)  # fmt: skip
def test_months_alone_are_their_first_days(cells):
    _, ns, _ = told({"month": cells, "price": ["1", "2"]})
    assert ns == [NEW_YEAR, NEW_YEAR + 31 * DAY]


@pytest.mark.parametrize("named", ["", "when"])
def test_with_dots_the_day_stands_first_where_it_can(named):
    cells = ["02.01.2024 00:00", "03.01.2024 00:00"]
    _, ns, _ = told({"when": cells}, time=named)
    assert ns == [NEW_YEAR + DAY, NEW_YEAR + 2 * DAY]
    _, ns, _ = told({"when": ["01.02.2024", "01.13.2024"]}, time=named)
    assert ns == [NEW_YEAR + DAY, NEW_YEAR + 12 * DAY]
    with pytest.raises(FeedError, match="expected one reading of '02/01/2024"):
        told({"when": [cell.replace(".", "/") for cell in cells]}, time=named)


def test_year_month_and_day_in_columns_of_their_own_are_found():
    columns = {"price": ["1", "2"], "Year": ["2024", "2024"], "Month": ["1", "1"],
               "Day": ["1", "2"], "Hour": ["0", "12"]}  # fmt: skip
    clock, ns, notes = told(columns)
    assert clock.columns == ("Year", "Month", "Day", "Hour")
    assert ns == [NEW_YEAR, NEW_YEAR + DAY + DAY // 2]
    assert "'Year' and 'Month'" in notes[0]
    del columns["Day"]
    assert told(columns)[0] is None


def test_days_as_excel_counts_them_are_times_when_asked_for():
    columns = {"date": ["45292", "45292.00069444", "45293.5"]}
    assert told(columns)[0] is None
    _, ns, _ = told(columns, time="date", time_unit="excel")
    assert ns == [NEW_YEAR, NEW_YEAR + 60 * 10**9, NEW_YEAR + DAY + DAY // 2]
    clock, _, _ = told(columns, {"zone": "Europe/Berlin"}, time="date",
                       time_unit="excel")  # fmt: skip
    assert clock.zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("name", "days", "may"),
    [
        ("date", [45292.0, 45293.5], True), ("date", [45293, 45292], True),
        ("date", [45292, 45290, 45291], False), ("date", [1.0, 2.0], False),
        ("price", [45292.0, 45293.0], False), ("date", [], False),
    ],
)  # fmt: skip
def test_a_column_that_may_hold_excels_days_is_told(name, days, may):
    column = pl.Series(name, days, pl.Float64)
    assert clocks.may_be_excel(name, column) == may


AMBIGUOUS = ["02/01/2024 00:00", "03/01/2024 12:00"]


@pytest.mark.parametrize("named", ["", "when"])
def test_the_form_that_an_error_names_reads_the_file(named):
    columns = {"price": ["1", "2"], "when": AMBIGUOUS}
    with pytest.raises(FeedError) as e:
        told(columns, time=named)
    form = str(e.value).split("time_format = '")[1].split("'")[0]
    _, ns, _ = told(columns, {"time_format": form}, time=named)
    assert ns == [NEW_YEAR + DAY, NEW_YEAR + 2 * DAY + DAY // 2]


@pytest.mark.parametrize("named", ["", "when"])
def test_a_form_goes_before_what_the_cells_look_like(named):
    columns = {"price": ["1", "2"], "when": ["2024-01-01", "2024-02-01"]}
    form = {"time_format": "%Y-%d-%m"}
    assert told(columns, form, time=named)[1] == [NEW_YEAR, NEW_YEAR + DAY]


def test_a_form_of_date_and_time_of_day_finds_both_columns():
    columns = {"price": ["1", "2"], "d": ["02/01/2024", "03/01/2024"],
               "t": ["00:00", "12:00"]}  # fmt: skip
    clock, ns, notes = told(columns, {"time_format": "%d/%m/%Y %H:%M"})
    assert clock.columns == ("d", "t")
    assert ns == [NEW_YEAR + DAY, NEW_YEAR + 2 * DAY + DAY // 2]
    assert "times are those of 'd' and 't'" in notes[0]


@pytest.mark.parametrize("form", ["%Q", "%H:%M", "%d.%m.%Y"])
@pytest.mark.parametrize(
    ("named", "was"), [("", "no column of such times"), ("when", "'2024-01-01'")]
)
def test_a_form_that_reads_nothing_is_an_error(form, named, was):
    columns = {"when": ["2024-01-01", "2024-02-01"], "price": ["1", "2"]}
    problem = rf"expected times like '{form}' \(feed.options.time_format\), was {was}"
    with pytest.raises(FeedError, match=problem):
        told(columns, {"time_format": form}, time=named)


@pytest.mark.parametrize(
    ("unit", "cells"),
    [
        ("100ns", ["17040672000000000", "17040672000000010"]),
        ("s", ["1704067200", "1704067200.000001"]), ("excel", ["45292", "45293"]),
    ],
)  # fmt: skip
def test_a_unit_finds_its_column_and_is_used(unit, cells):
    columns = {"price": ["1", "2"], "time": cells}
    clock, ns, _ = told(columns, time_unit=unit)
    assert clock == clocks.Clock(("time",), unit)
    assert ns == [NEW_YEAR, NEW_YEAR + (DAY if unit == "excel" else 1000)]


def test_a_unit_of_no_column_is_an_error():
    columns = {"when": ["2024-01-01", "2024-02-01"], "price": ["1", "2"]}
    problem = r"expected times in 'ms' \(feed.time_unit\), was no such column"
    with pytest.raises(FeedError, match=problem):
        told(columns, time_unit="ms")


@pytest.mark.parametrize(
    ("name", "cells", "told"),
    [
        ("time", ["9000000000", "9000000001", "9000000002"],
         "is of no year from 2000 to 2100, first 9000000000, which is 2255-03-14; feed."),
        ("time", ["0", "0.01", "0.02"], "counts from a start, first 0 and 0.01; feed."),
        ("t", ["5", "6", "9"], "counts from a start, first 5 and 6; feed.period"),
        ("time", ["0", "0.01", "0.01"], ""), ("time", ["0", ""], ""),
        ("load", ["0", "0.01", "0.02"], ""), ("column_0", ["0", "1", "2"], ""),
    ],
)  # fmt: skip
def test_numbers_under_the_name_of_a_time_that_only_rise_count_it(name, cells, told):
    column = pl.Series(name, cells)
    found = clocks.counting_from_start(Seen("a.csv", (name,), {name: column}), {name})
    assert found.get(name, "").startswith(told)
    assert bool(found) is bool(told)


RISES = [f"{1_700_000_000 + i * i}" for i in range(20)]
RATE = [f"{1_700_000_000 + 60 * i}" for i in range(20)]
FALLS = RATE[::-1]
WANDERS = [f"{1_700_000_000 + i * 7 % 5}" for i in range(20)]
METER = ["1532000000"] * 10 + ["1528000000"] * 10
OF_IDS = [f"{1_000_000_000 + i}" for i in range(20)]
VALUES = [f"{i % 3}" for i in range(20)]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("column_0", RATE), ("column_0", RISES), ("column_0", FALLS), ("Zeit", RISES),
        ("column_0", [f"{t}000" for t in RATE]), ("column_0", [f"{t}.250" for t in RATE]),
    ],
)  # fmt: skip
def test_numbers_that_count_time_are_times_in_a_file_without_a_header(name, cells):
    clock, ns, notes = told({name: cells, "load": VALUES})
    assert clock.columns == (name,)
    assert min(ns) // 10**9 == 1_700_000_000
    assert f"times are those of {name!r}; feed.time names another" in notes[0]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("x", WANDERS), ("x", OF_IDS), ("column_0", OF_IDS), ("order_id", RATE),
        ("seq", RATE), ("x", ["1700000000"] * 20), ("x", [f"4{t}" for t in VALUES]),
    ],
)  # fmt: skip
def test_prices_and_ids_are_no_times(name, cells):
    clock, _, notes = told({name: cells, "load": VALUES})
    assert clock is None
    assert len(notes) == 1
    assert told({"x": RATE})[0] is None


@pytest.mark.parametrize("cells", [RATE, RISES, FALLS, METER])
def test_numbers_that_may_be_times_are_named_and_not_taken(cells):
    columns = {"energy_wh": cells, "load": VALUES, "column_2": cells}
    clock, _, notes = told(columns)
    assert clock is None
    assert notes[1:] == [
        f"{n!r} may be times: feed.time = {n!r} reads them"
        for n in ("energy_wh", "column_2")
    ]


@pytest.mark.parametrize(
    ("good", "bad"),
    [("2024-02-29T12:00", "2024-02-30T12:00"), ("29.02.2024 12:00", "30.02.2024 12:00"),
     ("29 Feb 2024", "30 Feb 2024"), ("20240229 120000", "20240230 120000")],
)  # fmt: skip
def test_a_column_of_dates_of_which_many_are_none_is_still_one_of_times(good, bad):
    _, ns, _ = told({"time": [good] * 7 + [bad] * 3})
    assert [moment == NO_TIME for moment in ns] == [False] * 7 + [True] * 3
