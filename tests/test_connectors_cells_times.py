from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.cells.times import MONTH_START, nanoseconds, of_floats, readable
from sfm_stream.events import NO_TIME

NEW_YEAR = 1_420_070_400  # 2015-01-01T00:00:00Z
SECOND = 10**9


def read(values, unit="auto", dtype=None):
    return nanoseconds(pl.Series("t", values, dtype=dtype), unit).tolist()


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2015-01-01 00:00:00", 0),
        ("2015-01-01T00:00:00Z", 0),
        ("2015-01-01T00:00:00.5", SECOND // 2),
        ("2015-01-01T00:00:00.123456Z", 123_456_000),
        ("2015-01-01T00:00:00.123456789Z", 123_456_789),
        ("2015-01-01T00:00:00.1234567891234Z", 123_456_789),
        ("2015-01-01 01:00:00+01:00", 0),
        ("2014-12-31T18:30:00-0530", 0),
        ("2015-01-01 02:00:00.25+02", SECOND // 4),
        ("2015-01-01 00:00:00 UTC", 0),
        ("2015-01-01", 0),
        ("2015-01-01 00:01", 60 * SECOND),
        ("2015/1/1 0:01", 60 * SECOND),
        ("2014-12-31 23:59:60", 0),
        (" 2015-01-01 00:00:00 ", 0),
    ],
)
def test_iso_text_is_read_to_the_nanosecond(text, ns):
    assert read([text], "iso") == [NEW_YEAR * SECOND + ns]
    assert read([text]) == [NEW_YEAR * SECOND + ns]
    # beside a value of the same width that has another layout
    odd = "x" * len(text)
    assert read([odd, text]) == [NO_TIME, NEW_YEAR * SECOND + ns]


@pytest.mark.parametrize(
    "text",
    [
        "", "abc", "nan", "inf", "2015-02-29 00:00:00", "2015-13-01 00:00:00",
        "2015-00-01 00:00:00", "2015-01-00 00:00:00", "2015-01-01 24:00:01",
        "2015-01-01 00:60:00", "20x5-01-01 00:00:00", "2015-01-01 00:00:0é",
        "2015-01-01 00:00:00.", "2015-01-01 00:00:00.12345x", "1/1/2010 0:00",
        "99999999999999999999", "2015-01-01T00:00:00Zjunk", None,
    ],
)  # fmt: skip
def test_unreadable_text_is_no_time(text):
    assert read([text], dtype=pl.String) == [NO_TIME]


def test_years_int64_cannot_hold_do_not_wrap():
    far = ["0001-01-01T00:00:00Z", "1600-01-01 00:00:00", "9999-12-31T23:59:59Z"]
    assert read(far) == [NO_TIME] * 3
    stamps = [datetime(1, 1, 1), datetime(9999, 1, 1), datetime(2015, 1, 1)]  # noqa: DTZ001 naive on purpose
    expected = [NO_TIME, NO_TIME, NEW_YEAR * SECOND]
    assert read(stamps, dtype=pl.Datetime("us")) == expected
    assert read([date(1, 1, 1), date(2015, 1, 1)]) == [NO_TIME, NEW_YEAR * SECOND]
    assert read([2**62, -(2**62)], "s") == [NO_TIME] * 2
    assert read([2**64 - 1], "ns", pl.UInt64) == [NO_TIME]
    assert read([1e300, -1e300, float("nan"), float("inf")], "s") == [NO_TIME] * 4


def test_auto_decides_per_value_not_per_column():
    ms, us = NEW_YEAR * 10**3, NEW_YEAR * 10**6
    mixed = [NEW_YEAR, ms + 1, us + 1, NEW_YEAR * SECOND + 1]
    expected = [NEW_YEAR * SECOND + ns for ns in (0, 10**6, 10**3, 1)]
    assert read(mixed) == expected
    assert read([str(v) for v in mixed]) == expected
    assert read([float(v) for v in mixed[:3]]) == expected[:3]
    with_date = [str(ms), "2015-01-01 00:00:00", "word"]
    assert read(with_date) == [NEW_YEAR * SECOND, NEW_YEAR * SECOND, NO_TIME]


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("s", SECOND), ("ms", 10**6), ("us", 10**3), ("100ns", 100), ("ns", 1)],
)
def test_a_named_unit_is_taken_at_its_word(unit, scale):
    assert read([7, None], unit) == [7 * scale, NO_TIME]
    assert read(["7", "-7"], unit) == [7 * scale, -7 * scale]
    assert read([7.0], unit) == [7 * scale]
    assert read(["2015-01-01"], unit) == [NO_TIME]


def test_decimal_seconds_are_read_by_digit():
    assert read(["1633998512.0633569"]) == [1_633_998_512_063_356_900]
    assert read(["1633998512.000000001"]) == [1_633_998_512_000_000_001]
    assert read(["-1.5"], "s") == [-1_500_000_000]
    assert read(["1.4200704e9"]) == [NEW_YEAR * SECOND]


def test_fraction_of_a_float_is_kept():
    seconds = np.array([1_633_998_512.0633569])
    assert abs(int(of_floats(seconds, "s")[0]) - 1_633_998_512_063_356_900) < 250


def test_numbers_are_no_iso_times():
    assert read([NEW_YEAR], "iso") == [NO_TIME]
    assert read([None], dtype=pl.Null) == [NO_TIME]
    assert not readable(pl.Boolean())
    assert not readable(pl.List(pl.Int64))


@settings(max_examples=50)
@given(
    st.lists(
        st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),  # noqa: DTZ001 the zone is added
        min_size=1,
        max_size=20,
    ),
    st.sampled_from(["ms", "us", "ns"]),
)
def test_times_round_trip_through_text_and_datetime(moments, unit):
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    aware = [m.replace(tzinfo=UTC) for m in moments]
    micros = [
        (m - epoch).days * 86_400 * 10**6 + (m - epoch).seconds * 10**6 + m.microsecond
        for m in aware
    ]
    expected = [m * 1000 for m in micros]
    assert read([m.isoformat() for m in aware]) == expected
    assert read([m.isoformat(" ") for m in moments]) == expected
    column = pl.Series("t", moments, dtype=pl.Datetime("us")).dt.cast_time_unit(unit)
    step = 10**6 if unit == "ms" else 1
    cut = [ns // step * step for ns in expected]
    assert nanoseconds(column, "auto").tolist() == cut


@settings(max_examples=100)
@given(
    st.lists(st.text(max_size=30) | st.none(), max_size=20),
    st.sampled_from(["auto", "iso", "ms"]),
)
def test_any_text_gives_a_time_or_none(values, unit):
    assert len(read(values, unit, pl.String)) == len(values)


@settings(max_examples=100)
@given(
    st.lists(st.floats() | st.integers(-(2**63), 2**63 - 1).map(float), max_size=20),
    st.sampled_from(["auto", "s", "ms", "us", "100ns", "ns"]),
)
def test_any_number_is_near_its_value_or_no_time(values, unit):
    scales = {"s": SECOND, "ms": 10**6, "us": 10**3, "100ns": 100, "ns": 1}
    for value, ns in zip(values, read(values, unit, pl.Float64), strict=True):
        if ns != NO_TIME and unit != "auto":
            assert (
                abs(ns - value * scales[unit]) <= abs(value * scales[unit]) * 1e-12 + 1
            )


def test_month_starts_are_those_of_the_calendar():
    epoch = date(1970, 1, 1).toordinal()
    for year, month in ((1, 1), (1900, 3), (2000, 2), (2000, 3), (9999, 12)):
        days = date(year, month, 1).toordinal() - epoch
        assert MONTH_START[year * 12 + month - 1] == days


def test_decimals_of_a_table_keep_their_fraction():
    column = pl.Series([Decimal("1700000000.250000001"), None, Decimal("1700000001.5")])
    ns = nanoseconds(column, "s").tolist()
    assert ns == [1_700_000_000_250_000_001, NO_TIME, 1_700_000_001_500_000_000]
