from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from connectors import open_feed, open_live
from sfm_stream.config import digest, from_tree, of_model
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.events.blocks import concatenate
from sfm_stream.feeds import Explained

ROWS = 60
START = 1_700_000_000
NAMES = ("left", "middle", "right")


@pytest.fixture
def wide(tmp_path):
    """Give a file of three columns, one of whose cells is empty."""
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"time": range(START, START + ROWS)})
    for name in NAMES:
        frame = frame.with_columns(pl.Series(name, random.normal(size=ROWS).cumsum()))
    frame = frame.with_columns(
        middle=pl.when(pl.col("time") == START + 7)
        .then(None)
        .otherwise(pl.col("middle"))
    )
    path = tmp_path / "wide.csv"
    frame.write_csv(path)
    return path


def opened(path, **feed):
    tree = {"feed": {"connector": "csv", "path": str(path), "time": "time", **feed}}
    return from_tree(tree | {"stream": {"columns": "streams"}})


def test_each_column_is_a_stream_with_one_value(wide):
    feed = open_feed(opened(wide))
    block = concatenate(list(feed.blocks(1000)))
    frame = pl.read_csv(wide)
    assert feed.fields == ("value",)
    assert block.streams == NAMES
    assert len(block) == 3 * ROWS
    for number, name in enumerate(NAMES):
        mine = block.stream == number
        np.testing.assert_array_equal(
            block.values[mine, 0], frame[name].fill_null(np.nan).to_numpy()
        )
        assert (np.diff(block.time[mine]) == 10**9).all()


@pytest.mark.parametrize(("size", "after"), [(1, 0), (2, 5), (7, 3), (64, 100)])
def test_events_are_the_same_from_any_one_on_in_any_blocks(wide, size, after):
    whole = concatenate(list(open_feed(opened(wide)).blocks(1000)))
    blocks = list(open_feed(opened(wide)).blocks(size, after))
    part = concatenate(blocks)
    assert max(map(len, blocks)) <= size
    np.testing.assert_array_equal(part.values, whole.values[after:])
    np.testing.assert_array_equal(part.stream, whole.stream[after:])


def test_each_stream_says_what_it_would_say_alone(wide):
    settings = opened(wide)
    together = Engine(settings, ["value"])
    block = concatenate(list(open_feed(settings).blocks(1000)))
    said = together.run(block).columns["forecasts"]
    alone = Engine(settings, ["value"])
    first = alone.run(concatenate([block[i : i + 1] for i in range(0, len(block), 3)]))
    mine = said["stream"] == 0
    np.testing.assert_array_equal(
        said["mean"][mine], first.columns["forecasts"]["mean"]
    )


def test_an_empty_cell_is_told_by_row_and_column(wide):
    feed = open_feed(opened(wide))
    block = concatenate(list(feed.blocks(1000)))
    (at,) = np.flatnonzero(np.isnan(block.values[:, 0]))
    assert isinstance(feed, Explained)
    assert feed.place(int(at)) == f"{wide} row 8 column 'middle'"
    engine = Engine(opened(wide), ["value"])
    rejected = engine.run(block).columns["rejected"]
    assert rejected["stream"].tolist() == [1]


def test_streams_that_are_named_keep_their_name_before_the_column(tmp_path):
    path = tmp_path / "named.csv"
    path.write_text(
        "time,place,a,b\n1700000000,north,1,2\n1700000000,south,3,4\n"
        "1700000001,north,5,6\n"
    )
    block = concatenate(list(open_feed(opened(path, symbol="place")).blocks(100)))
    assert block.streams == ("north.a", "north.b", "south.a", "south.b")
    assert block.stream.tolist() == [0, 1, 2, 3, 0, 1]


def test_it_is_the_same_model_as_one_of_long_files_and_no_older_digest_changes():
    long = from_tree({})
    wide = from_tree({"stream": {"columns": "streams"}})
    assert digest(of_model(long)) == digest(of_model(wide))
    assert digest(long) != digest(wide)


def test_a_live_feed_names_its_streams_itself():
    tree = {"feed": {"connector": "binance"}, "stream": {"columns": "streams"}}
    with pytest.raises(ConfigError, match=r"stream\.columns"):
        open_live(from_tree(tree))


def test_made_up_series_are_alike_and_not_the_same():
    tree = {"feed": {"options": {"ticks": 100, "series": 3}}}
    feed = open_feed(from_tree(tree))
    values = concatenate(list(feed.blocks(100))).values
    assert feed.fields == ("value", "value2", "value3")
    one = concatenate(
        list(open_feed(from_tree({"feed": {"options": {"ticks": 100}}})).blocks(100))
    )
    np.testing.assert_array_equal(values[:, 0], one.values[:, 0])
    assert not np.allclose(values[:, 0], values[:, 1])
