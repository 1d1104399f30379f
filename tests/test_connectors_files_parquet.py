from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME
from sfm_stream.events.blocks import concatenate
from sfm_stream.settings import Feed

DATA = Path(__file__).parents[2] / "shared" / "data"
ROWS = 1000
FRAME = pl.DataFrame(
    {
        "t": 1_420_070_400_000 + np.arange(ROWS),
        "a": np.arange(ROWS) / 2,
        "b": np.arange(ROWS, dtype=np.int32),
        "up": np.arange(ROWS) % 2 == 0,
        "text": ["7"] * ROWS,
    }
)


def placed(keys):
    """Put the keys of the connector into its options."""
    shared = Feed.__struct_fields__
    options = {key: keys.pop(key) for key in list(keys) if key not in shared}
    return {**keys, "options": options}


def opened(path, fields=(), **feed):
    tree = {
        "feed": {
            "connector": "parquet",
            "path": str(path),
            "time": "t",
            **placed(feed),
        },
        "stream": {"fields": list(fields)},
    }
    return open_feed(from_tree(tree))


@pytest.fixture
def path(tmp_path):
    FRAME.write_parquet(tmp_path / "a.parquet", row_group_size=300)
    return tmp_path / "a.parquet"


def test_numbers_and_truths_are_the_fields(path):
    feed = opened(path)
    block = concatenate(list(feed.blocks(64)))
    assert feed.fields == ("a", "b", "up")
    assert feed.total() == len(block) == ROWS
    expected = np.stack(
        [np.arange(ROWS) / 2, np.arange(ROWS), np.arange(ROWS) % 2 == 0], 1
    )
    np.testing.assert_array_equal(block.values, expected)
    np.testing.assert_array_equal(block.time, FRAME["t"].to_numpy() * 10**6)


def test_numbers_written_as_text_are_read_when_asked_for(path):
    assert next(opened(path, ["text"]).blocks(5)).values.tolist() == [[7]] * 5


@pytest.mark.parametrize("after", [0, 1, 299, 300, 999, 1000, 1500, 1999, 2000, 3000])
def test_resuming_equals_the_tail(path, after):
    FRAME.write_parquet(path.with_name("b.parquet"))
    feed = opened(path.with_name("*.parquet"))
    whole = concatenate(list(feed.blocks(128)))
    parts = list(feed.blocks(77, after))
    assert feed.total() == 2 * ROWS
    assert sum(map(len, parts)) == max(0, 2 * ROWS - after)
    if parts:
        assert max(map(len, parts)) <= 77
        np.testing.assert_array_equal(concatenate(parts).values, whole.values[after:])
        np.testing.assert_array_equal(concatenate(parts).time, whole.time[after:])


def test_reading_can_stop_early_and_start_again(path):
    feed = opened(path)
    first = [next(feed.blocks(10)) for _ in range(3)]
    np.testing.assert_array_equal(first[0].values, first[2].values)


@pytest.mark.parametrize("cut", [0, 4, 100, -1, -8])
def test_damaged_footer_is_an_error(path, cut):
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FeedError, match="cannot be read as Parquet"):
        opened(path)


def test_damaged_pages_are_an_error(path):
    data = bytearray(path.read_bytes())
    data[100:1500] = bytes(1400)
    path.write_bytes(data)
    with pytest.raises(FeedError, match="cannot be read as Parquet"):
        list(opened(path).blocks(100))


def test_columns_that_differ_from_file_to_file_are_told_before_the_first_row(tmp_path):
    few, more = (
        pl.DataFrame({"t": [1], "a": [2]}),
        pl.DataFrame({"t": [3], "a": [4], "b": [5]}),
    )
    one, two = str(tmp_path / "1.parquet"), str(tmp_path / "2.parquet")
    few.write_parquet(one)
    more.write_parquet(two)
    both = tmp_path / "*.parquet"
    assert f"left out, as {one} lacks it: 'b' of {two}" in opened(both).notes
    more.write_parquet(one)
    few.write_parquet(two)
    with pytest.raises(FeedError, match=r"2\.parquet column 'b': no such column"):
        opened(both)


def test_missing_column_names_what_is_there(path):
    with pytest.raises(FeedError, match="there are: t, a, b, up, text"):
        opened(path, ["price"])


def test_text_in_a_field_names_its_row(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"t": [1, 2, 3, 4], "a": ["1", None, "x", "2"]}).write_parquet(path)
    feed = opened(path, ["a"])
    list(feed.blocks(10))
    told = feed.tally.examples["a cell is no number"]
    assert told == f"{path} row 3 column 'a': 'x'"


def test_dates_know_their_unit_and_year_one_is_no_time(tmp_path):
    moments = [datetime(2015, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), None]
    path = tmp_path / "a.parquet"
    pl.DataFrame({"t": moments, "a": [1, 2, 3]}).write_parquet(path)
    block = next(opened(path, time_unit="ns").blocks(10))
    assert block.time.tolist() == [1_420_070_400 * 10**9, NO_TIME, NO_TIME]


def test_column_that_holds_no_times_is_refused(path):
    with pytest.raises(FeedError, match="'up': expected times, was Boolean"):
        list(opened(path, time="up").blocks(10))


def test_a_file_without_rows_is_refused(path):
    FRAME.clear().write_parquet(path)
    with pytest.raises(FeedError, match="expected rows, was none"):
        opened(path)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not here")
def test_real_quotes_are_read_in_units_of_100_ns():
    path = DATA / "fx_ticks" / "oanda_eurusd_0501_0509.parquet"
    feed = opened(
        path, ["bid", "ask"], time="t_100ns", time_unit="100ns",
        columns={"bid": "bid_pt", "ask": "ask_pt"},
    )  # fmt: skip
    block = concatenate(list(feed.blocks(50_000)))
    frame = pl.read_parquet(path)
    assert len(block) == feed.total() == 321_559
    np.testing.assert_array_equal(block.time, frame["t_100ns"].to_numpy() * 100)
    np.testing.assert_array_equal(block.values[:, 1], frame["ask_pt"].to_numpy())
    assert np.datetime64(int(block.time[0]), "ns").astype(
        "datetime64[D]"
    ) == np.datetime64("2014-05-01")
