from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.stamps import of_iso, of_number
from sfm_stream.events import NO_TIME

TIMES = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 UTC below


def exact(when):
    return (when.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


@given(st.lists(TIMES, min_size=1), st.integers(0, 999))
def test_iso_text_is_exact_to_the_nanosecond(times, nano):
    for when in times:
        us = exact(when)
        text = f"{when:%H:%M:%S}.{when.microsecond:06}"
        dated = f"{when.year:04}-{when.month:02}-{when.day:02}T{text}"
        assert of_iso(f"{dated}Z") == us * 1000
        assert of_iso(f"{dated}{nano:03}Z") == us * 1000 + nano
        assert of_iso(f"{dated}{nano:03}+00:00") == us * 1000 + nano
        assert of_iso(f"{dated[:-3]}Z") == us // 1000 * 10**6


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.5Z", 500_000_000),
        ("1970-01-01T00:00:00.000001", 1_000),
        ("1970-01-01 02:00:00.000000001+02:00", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("2262-04-11T23:47:16.854775808Z", NO_TIME),
        ("1677-09-21T00:12:43.145224193Z", 1 - 2**63),
        ("1677-09-21T00:12:43.145224192Z", NO_TIME),
        ("0001-01-01T00:00:00.000000Z", NO_TIME),
        ("9999-01-01T00:00:00Z", NO_TIME),
        ("", NO_TIME),
        ("yesterday", NO_TIME),
        ("2024-13-01T00:00:00Z", NO_TIME),
        ("2024-01-01T00:00:00.12x456Z", NO_TIME),
    ],
)
def test_iso_text_of_any_kind_is_read_or_no_time(text, ns):
    assert of_iso(text) == ns


@pytest.mark.parametrize(
    ("number", "unit", "ns"),
    [
        (1_723_161_255, "auto", 1_723_161_255 * 10**9),
        (1_723_161_255_030, "auto", 1_723_161_255_030 * 10**6),
        (1_723_161_255_030_314, "auto", 1_723_161_255_030_314 * 10**3),
        (1_723_161_255_030_314_667, "auto", 1_723_161_255_030_314_667),
        ("1633998512.0633569", "s", 1_633_998_512_063_356_900),
        ("1633998512.063356789", "auto", 1_633_998_512_063_356_789),
        (17, "100ns", 1_700),
        ("1e400", "s", NO_TIME), ("nan", "s", NO_TIME), ("", "s", NO_TIME),
        ("x", "auto", NO_TIME), (2**63, "ns", NO_TIME), (2**62, "s", NO_TIME),
        ("1e999999999", "ns", NO_TIME),
    ],
)  # fmt: skip
def test_numbers_are_read_by_their_digits(number, unit, ns):
    assert of_number(number, unit) == ns
