from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from connectors.files.options import TableOptions
from connectors.files.table import is_number, numbers, plan
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError


def config(feed=None, stream=None):
    return from_tree({"feed": feed or {}, "stream": stream or {}})


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("a", [1, None, 3], dtype=pl.Int8),
        pl.Series("a", [1, None, 3], dtype=pl.UInt64),
        pl.Series("a", [1.0, None, 3.0], dtype=pl.Float32),
        pl.Series("a", [Decimal(1), None, Decimal(3)]),
        pl.Series("a", ["1", None, "3"]),
        pl.Series("a", [" 1.0", "", "3e0 "]),
        pl.Series("a", ["true", None, "3"]),
        pl.Series("a", ["1", None, "3"], dtype=pl.Categorical),
    ],
)
def test_numbers_of_every_kind_become_floats(column):
    np.testing.assert_array_equal(numbers(column, "x"), [1, np.nan, 3])


def test_truths_are_one_and_zero_and_nothing_is_missing():
    assert numbers(pl.Series("a", [True, False]), "x").tolist() == [1, 0]
    assert np.isnan(numbers(pl.Series("a", [None, None]), "x")).all()


def test_text_is_blamed_by_row_of_the_file():
    with pytest.raises(FeedError) as e:
        numbers(pl.Series("a", ["1", "", "two"]), "f.csv", 100)
    assert (e.value.source, e.value.row, e.value.column) == ("f.csv", 103, "a")
    assert "was 'two'" in str(e.value)


def test_column_of_lists_is_refused():
    with pytest.raises(FeedError, match="'a': expected numbers, was List"):
        numbers(pl.Series("a", [[1]]), "f")


def test_a_column_of_nothing_is_no_number():
    assert not is_number(pl.Series("a", [None, ""], dtype=pl.String))
    assert not is_number(pl.Series("a", ["1", "x"]))
    assert is_number(pl.Series("a", ["", "1", "nan", "False"]))


def test_fields_are_all_numbers_but_time_and_symbol():
    feed = {"time": "t", "symbol": "s"}
    made = plan(
        config(feed),
        TableOptions(),
        ["t", "s", "b", "a", "x"],
        ["t", "s", "b", "a"],
        "f",
    )
    assert made.fields == made.columns == ("b", "a")
    assert made.used == ["b", "a", "t", "s"]


def test_chosen_fields_keep_their_order_and_find_renamed_columns():
    feed = {"columns": {"bid": "b_px"}}
    made = plan(
        config(feed, {"fields": ["ask", "bid"]}),
        TableOptions(),
        ["b_px", "ask"],
        [],
        "f",
    )
    assert (made.fields, made.columns) == (("ask", "bid"), ("ask", "b_px"))


def test_renamed_column_that_is_missing_is_named():
    with pytest.raises(FeedError, match="'b_px': no such column"):
        plan(config({"columns": {"bid": "b_px"}}), TableOptions(), ["a"], ["a"], "f")


def test_missing_time_and_symbol_columns_are_named():
    for feed in ({"time": "tt"}, {"symbol": "tt"}):
        with pytest.raises(FeedError, match="'tt': no such column"):
            plan(config(feed), TableOptions(), ["t", "a"], ["a"], "f")
