from __future__ import annotations

import pytest

from connectors.venues.base import MISSING
from connectors.venues.json.paths import clock_of, filled, number_of, path_of, whole_of
from sfm_stream.events import NO_TIME

SECOND = 10**9


@pytest.mark.parametrize(("path", "found"), [
    ("a.b", 1), ("a.c.1", 3), ("a.c.9", None), ("a.x.y", None), ("", {"a": {"b": 1, "c": [2, 3]}}),
    ("$.z", 5),
])  # fmt: skip
def test_a_path_leads_through_keys_and_positions(path, found):
    record = {"a": {"b": 1, "c": [2, 3]}}
    assert path_of(path).find(record, {"z": 5}) == found


@pytest.mark.parametrize(("value", "number"), [
    (1, 1.0), ("1.5", 1.5), (True, 1.0), (False, 0.0), ("nan", None), ("x", None),
    ([1], None), (10**400, None), ("1e999", None),
])  # fmt: skip
def test_a_value_is_a_number_or_none(value, number):
    assert number_of(value, None) == number


def test_none_is_a_missing_value():
    assert number_of(None, None) is MISSING


@pytest.mark.parametrize(("unit", "value", "ns"), [
    ("s", 5, 5 * SECOND), ("s", "5.5", 5_500_000_000), ("auto", 1_700_000_000, 1_700_000_000 * SECOND),
    ("auto", "2023-11-14T22:13:20", 1_700_000_000 * SECOND), ("iso", 5, NO_TIME),
    ("ms", "1970-01-01", NO_TIME), ("s", True, NO_TIME), ("s", None, NO_TIME),
])  # fmt: skip
def test_a_time_is_read_by_its_unit(unit, value, ns):
    assert clock_of(unit)(value) == ns


def test_symbols_are_filled_in_one_by_one_or_all_together():
    assert filled("{topic}!", ["a", "b"]) == ["a!", "b!"]
    assert filled("{topics}", ["a", "b"]) == ['["a","b"]']
    assert filled("plain", ["a", "b"]) == ["plain"]


def test_ids_are_whole_numbers():
    assert [whole_of(x) for x in (1, "2", 1.5, "x", None)] == [1, 2, None, None, None]
