from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from connectors.files.parquet import Parquet
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError


def opened(path, column, **options):
    frame = pl.DataFrame([pl.Series("t", range(len(column)), pl.Int64), column])
    frame.write_parquet(path / "a.parquet")
    feed = {
        "connector": "parquet", "path": str(path / "a.parquet"), "time": "t",
        "options": options,
    }  # fmt: skip
    return Parquet(from_tree({"feed": feed, "stream": {"fields": [column.name]}}))


def values(feed):
    return np.concatenate([block.values[:, 0] for block in feed.blocks(2)])


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
def test_numbers_of_every_kind_become_floats(tmp_path, column):
    feed = opened(tmp_path, column)
    np.testing.assert_array_equal(values(feed), [1, np.nan, 3])
    assert not feed.tally.counts


def test_truths_are_one_and_zero_and_nothing_is_missing(tmp_path):
    assert values(opened(tmp_path, pl.Series("a", [True, False]))).tolist() == [1, 0]
    assert np.isnan(values(opened(tmp_path, pl.Series("a", [None, None])))).all()


def test_a_column_of_lists_is_refused(tmp_path):
    with pytest.raises(FeedError, match="'a': expected numbers, was List"):
        opened(tmp_path, pl.Series("a", [[1]]))


def test_the_largest_of_64_bits_is_missing_and_counted(tmp_path):
    feed = opened(tmp_path, pl.Series("px", [1, 2**63 - 1, 3, -(2**63)]))
    np.testing.assert_array_equal(values(feed), [1, np.nan, 3, np.nan])
    assert feed.tally.counts == {"a number that stands for a missing value": 2}


def test_large_integers_that_are_not_the_largest_are_numbers(tmp_path):
    column = pl.Series("a", [17 * 10**18, 2**64 - 1, 2**64 - 2**12], dtype=pl.UInt64)
    feed = opened(tmp_path, column)
    np.testing.assert_array_equal(values(feed), [1.7e19, np.nan, 2.0**64 - 2**12])
    assert feed.tally.counts == {"a number that stands for a missing value": 1}


@pytest.mark.parametrize("name", ["bid", "ask", "bid_px_00", "best_ask_price"])
def test_a_quote_of_zero_is_missing_and_counted_unless_it_is_a_value(tmp_path, name):
    column = pl.Series(name, [1.5, 0.0, 2.5])
    feed = opened(tmp_path, column)
    np.testing.assert_array_equal(values(feed), [1.5, np.nan, 2.5])
    assert "row 2" in feed.tally.examples["a bid or ask of zero"]
    assert values(opened(tmp_path, column, zero_price="value"))[1] == 0


def test_numbers_that_stand_for_missing_are_named(tmp_path):
    feed = opened(tmp_path, pl.Series("a", [1.0, -9999.0, 3.0]), missing=["-9999"])
    np.testing.assert_array_equal(values(feed), [1, np.nan, 3])


def test_rows_newest_first_are_turned_round_and_keep_their_place(tmp_path):
    frame = pl.DataFrame({"t": [5, 4, 3, 2, 1], "a": [50.0, 40, 30, 20, 10]})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=2)
    feed = Parquet(
        from_tree({
            "feed": {
                "connector": "parquet", "path": str(tmp_path / "a.parquet"),
                "time": "t", "options": {"order": "newest-first"},
            }
        })
    )  # fmt: skip
    assert values(feed).tolist() == [10, 20, 30, 40, 50]
    assert [feed.place(i).rpartition(" ")[2] for i in range(5)] == list("54321")


def test_reading_on_counts_what_was_left_out_too(tmp_path):
    feed = opened(tmp_path, pl.Series("a", [1, 2**63 - 1, 3]))
    assert [block.values.tolist() for block in feed.blocks(9, 2)] == [[[3]]]
    assert feed.tally.counts.total() == 1
    assert feed.place(2) == f"{tmp_path}/a.parquet row 3"
