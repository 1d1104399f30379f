from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.cells import date_and_time, dates
from connectors.cells.dates import Clock
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME

SECOND = 10**9
WRITTEN = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M", "%Y.%m.%d %H:%M:%S",
    "%Y%m%d %H%M%S", "%Y%m%dT%H%M%SZ", "%Y%m%d%H%M%S", "%d/%m/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d %b %Y %H:%M:%S",
    "%d-%b-%Y %H:%M", "%b %d, %Y %H:%M", "%a, %d %b %Y %H:%M:%S +0000",
    "%m/%d/%Y %H:%M:%S", "%d.%m.%Y", "%Y%m%d", "%d %B %Y", "%Y-%m-%d %H:%M:%S +0100",
)  # fmt: skip


def moments(cells):
    column = pl.Series("t", cells)
    clock = dates.recognise(column, "f.csv", "t")
    assert clock is not None
    return clock.read(pl.DataFrame([column]))


def expected(cells, form):
    ns = []
    for cell in cells:
        moment = datetime.strptime(cell, form)  # noqa: DTZ007 UTC below
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        ns.append(int(moment.timestamp()) * SECOND)
    return ns


@pytest.mark.parametrize("form", WRITTEN)
def test_a_form_is_recognised_where_one_reading_is_left(form):
    begin = datetime(2024, 1, 25, 10, 30, 0, tzinfo=UTC)
    cells = [(begin + timedelta(hours=9 * i)).strftime(form) for i in range(40)]
    zoned = form.replace("+0100", "%z").replace("+0000", "%z")
    assert moments(cells).tolist() == expected(cells, zoned)


@pytest.mark.parametrize(
    ("cells", "ns"),
    [
        (["20240102 000100007"], 1704153660007000000),
        (["2024-01-02 24:00"], 1704240000000000000),
        (["2024.01.02 24:00:00"], 1704240000000000000),
        (["2024-05-01 00:00:00 EDT"], 1714536000000000000),
        (["2024-05-01 00:00 Europe/Berlin"], 1714514400000000000),
        (["02.01.2024 00:00:00.123456789", "13.01.2024 00:00:00.1"],
         1704153600123456789),
        (["1704153600"], 1704153600000000000),
    ],
)  # fmt: skip
def test_fractions_midnights_and_names_of_zones_are_read(cells, ns):
    assert moments(cells)[0] == ns


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%d-%m-%Y %H:%M", "%m/%d/%y %I:%M %p"])
def test_day_and_month_that_could_be_either_are_refused_with_both_readings(form):
    cells = [datetime(2024, 2, 3 + i, 5, tzinfo=UTC).strftime(form) for i in range(9)]
    with pytest.raises(FeedError) as e:
        dates.recognise(pl.Series("t", cells), "f.csv", "when")
    said = str(e.value)
    assert said.startswith("f.csv column 'when': expected one reading of ")
    assert said.count("feed.options.time_format = ") == 2
    assert repr(form) in said
    # and the form that is named reads them
    column = pl.Series("t", cells)
    clock = Clock(("t",), form=dates.chosen(form, column))
    assert clock.read(pl.DataFrame([column])).tolist() == expected(cells, form)


def test_a_date_that_is_its_own_mirror_has_one_reading():
    assert moments(["03/03/2024", "04/04/2024"])[0] == 1709424000 * SECOND


@pytest.mark.parametrize(
    "cells", [["AAPL", "MSFT"], ["1.5", "2.5"], ["", None], ["x1"]]
)
def test_text_that_is_no_time_is_not_read_as_one(cells):
    column = pl.Series("t", cells, dtype=pl.String)
    assert dates.recognise(column, "f", "t") is None


def test_a_word_among_times_is_no_time():
    cells = [f"{d:02d}.01.2024 10:00" for d in range(1, 32)]
    found = moments([*cells, "soon"])
    assert (found[:-1] != NO_TIME).all()
    assert found[-1] == NO_TIME


def test_date_and_time_of_day_in_columns_of_their_own_are_one_time():
    frame = pl.DataFrame({"d": ["2024.01.02"] * 2, "t": ["00:01", "23:59"]})
    both = date_and_time.joined(frame, ("d", "t"))
    clock = dates.recognise(both, "f", "d")
    assert dates.parsed(both, clock.form).tolist() == [
        1704153660 * SECOND, 1704239940 * SECOND,
    ]  # fmt: skip


def test_year_month_day_and_hour_in_columns_of_their_own_are_one_time():
    frame = pl.DataFrame({"y": [2010], "m": [1], "d": [2], "h": [13]})
    assert moments(date_and_time.joined(frame, ("y", "m", "d", "h")).to_list()) == [
        1262437200 * SECOND
    ]


@settings(max_examples=30)
@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001 naive
    st.sampled_from(
        ["%d/%m/%Y %H:%M:%S.%f", "%Y%m%d %H%M%S%f", "%Y-%m-%d %I:%M:%S.%f %p"]
    ),
)
def test_what_strptime_reads_is_read_to_the_same_moment(moment, form):
    cells = pl.Series("t", [moment.strftime(form)])
    found = dates.parsed(cells, dates.chosen(form, cells))
    micros = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001 naive
    assert found.tolist() == [micros * 1000]


def test_years_that_int64_cannot_hold_are_no_times():
    cells = pl.Series(["01/01/1400 00:00:00.5", "01/01/2400 00:00:00.5"])
    assert (dates.parsed(cells, "%d/%m/%Y %H:%M:%S%.f") == NO_TIME).all()


def test_an_offset_of_its_own_is_seen():
    assert dates.has_offset(pl.Series(["2024-01-01T00:00:00+01:00"]))
    assert not dates.has_offset(pl.Series(["2024-01-01 00:00:00", "2024-01-02"]))
    assert np.all([dates.is_dated(pl.Series(["2024-01-01"])), True])


@pytest.mark.parametrize("cell", ["-0.25", "101.5", "9312", "240102", "202401", "1850"])
def test_numbers_too_small_for_a_time_are_told_without_trying_forms(cell, monkeypatch):
    monkeypatch.setattr(dates, "parsed", None)  # would be called
    assert dates.recognise(pl.Series([cell] * 50), "file", "x") is None


def test_a_few_small_numbers_among_times_are_no_reason_to_pass_them_over():
    cells = pl.Series(["20240102", "20240103"] * 20 + ["0", "1"])
    assert dates.recognise(cells, "file", "x") == Clock(("x",), form="%Y%m%d")
