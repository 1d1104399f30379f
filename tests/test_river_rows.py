from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.errors import FeatureError
from sfm_stream.river.rows import CALENDAR, Features, calendar, number

NAMES = st.one_of(st.text(max_size=3), st.integers(), st.tuples(st.integers(), st.text(max_size=2)))  # fmt: skip


@given(st.dictionaries(NAMES, st.floats(-9, 9), max_size=6), st.randoms())
def test_the_order_of_a_dict_decides_nothing(x, rng):
    items = list(x.items())
    rng.shuffle(items)
    one, other = Features(), Features()
    assert one.admit(x) == other.admit(dict(items)) == bool(x)
    assert one.names == other.names
    assert one.row(x) == other.row(dict(items))
    assert not one.admit(x)


def test_new_names_come_after_the_old_ones():
    features = Features()
    features.admit({"m": 1.0})
    assert features.admit({"z": 1.0, "a": 2.0, "m": 3.0})
    assert features.names == ("m", "a", "z")
    assert features.row({"z": 5.0, "stranger": 6.0})[2] == 5.0
    assert features.places(["z", "m"]) == [2, 0]


VALUES = st.one_of(st.floats(), st.integers(), st.booleans(), st.none())


@given(
    st.dictionaries(NAMES, st.floats(-9, 9), max_size=4),
    st.dictionaries(NAMES, VALUES, max_size=5),
)
def test_a_plain_row_is_the_row_and_any_other_is_none(known, x):
    features = Features()
    features.admit(known)
    plain = features.plain(x)
    finite = all(type(v) is float and math.isfinite(v) for v in x.values())
    if plain is None:
        assert len(known) < 2 or x.keys() != known.keys() or not finite
    else:
        assert x.keys() == known.keys()
        assert finite
        assert list(plain) == features.row(x)


def test_a_whole_dict_of_floats_is_plain_whatever_its_order():
    features = Features()
    features.admit({"b": 1.0, "a": 2.0})
    assert features.plain({"b": 3.0, "a": 4.0}) == (4.0, 3.0)
    assert features.plain({"a": 1e308, "b": 1e308}) is None  # slow, and as good


def test_a_dict_that_makes_values_up_is_not_asked_for_what_it_lacks():
    features, x = Features(), defaultdict(float, a=1.0, c=2.0)
    features.admit({"a": 1.0, "b": 2.0})
    assert features.plain(x) is None
    assert math.isnan(features.row(x)[1])
    assert "b" not in x


def test_a_name_without_a_value_waits_for_one():
    features = Features()
    assert not features.admit({"a": None})
    assert features.admit({"a": 1})


@pytest.mark.parametrize(
    "value", [True, 1, 1.0, np.int8(1), np.float32(1), np.True_, Decimal(1)]
)
def test_numbers_of_any_kind_are_numbers(value):
    assert type(number("a", value)) is float
    assert number("a", value) == 1.0


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, -math.inf, np.float64("nan"), 10**400]
)
def test_what_no_model_can_use_is_missing(value):
    assert number("a", value) is math.nan  # noqa: PLW0177 that very object


@pytest.mark.parametrize("value", ["1", "x", [1.0], 1j, object])
def test_a_feature_that_is_no_number_is_named(value):
    with pytest.raises(FeatureError, match="'a': expected a number or a date"):
        number("a", value)


def test_a_date_is_read_from_three_clocks():
    features, noon = Features(), dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001 a wall clock
    features.admit({"when": noon})
    assert set(features.names) == {("when", part) for part in CALENDAR}
    row = dict(zip(features.names, features.row({"when": noon}), strict=True))
    assert row["when", "day cos"] == pytest.approx(-1.0)
    assert row["when", "week sin"] == pytest.approx(math.sin(math.pi / 7))
    assert row["when", "year sin"] == pytest.approx(0.0, abs=0.01)
    assert all(map(math.isnan, features.row({"when": None})))


def test_no_date_is_missing():
    assert all(map(math.isnan, [*calendar(None), *calendar(pd.NaT)]))
