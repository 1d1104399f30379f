from __future__ import annotations

import gzip
from itertools import chain

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import open_feed, open_live
from sfm_stream.config import digest, from_tree, of_model
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import NO_TIME
from sfm_stream.events.blocks import concatenate
from sfm_stream.feeds import Explained

START = 1_700_000_000


def written(folder, seconds):
    """Write a file per list of times, with values that tell file and row."""
    for number, times in enumerate(seconds):
        rows = {
            "time": [START + s for s in times],
            "value": [100.0 * number + i for i in range(len(times))],
        }
        pl.DataFrame(rows).write_csv(folder / f"f{number}.data.csv")
    return folder


def opened(folder, **stream):
    return from_tree({
        "feed": {"connector": "csv", "path": f"{folder}/*.csv", "time": "time"},
        "stream": {"names": "file", **stream},
    })  # fmt: skip


def merged(seconds):
    """Give (time, file, value) by time, an earlier time where it stands in its file."""
    events = []
    for number, times in enumerate(seconds):
        latest = times[0]
        for i, second in enumerate(times):
            latest = max(latest, second)
            events.append((latest, number, i, START + second))
    return [(time * 10**9, n, 100.0 * n + i) for _, n, i, time in sorted(events)]


TIMES = st.lists(
    st.lists(st.integers(0, 12), min_size=1, max_size=9), min_size=1, max_size=4
)


@settings(max_examples=25)
@given(seconds=TIMES, size=st.integers(1, 9), after=st.integers(0, 20))
def test_files_are_merged_by_time_alike_in_any_blocks(
    tmp_path_factory, seconds, size, after
):
    folder = written(tmp_path_factory.mktemp("files"), seconds)
    feed = open_feed(opened(folder))
    blocks = list(feed.blocks(size, after))
    assert max(map(len, blocks), default=0) <= size
    found = chain.from_iterable(
        zip(b.time.tolist(), b.stream.tolist(), b.values[:, 0].tolist(), strict=True)
        for b in blocks
    )
    expected = merged(seconds)
    assert list(found) == expected[after:]
    for event, (_, number, value) in enumerate(expected):
        row = int(value) - 100 * number + 1
        assert feed.place(event) == f"{folder}/f{number}.data.csv row {row}"
    assert feed.place(len(expected)) == ""


def test_streams_are_named_after_files(tmp_path):
    feed = open_feed(opened(written(tmp_path, [[1], [2]])))
    assert next(feed.blocks(10)).streams == ("f0", "f1")
    assert feed.source()["streams"] == ["f0", "f1"]
    assert [len(one["sha256"]) for one in feed.source()["files"]] == [64, 64]
    assert isinstance(feed, Explained)
    assert feed.total() is None


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "x").mkdir(parents=True)
        written(tmp_path / folder / "x", [[1]])
    feed = open_feed(opened(f"{tmp_path}/*/x"))
    assert next(feed.blocks(10)).streams == ("a/x/f0", "b/x/f0")


def test_files_that_no_folder_tells_apart_are_refused(tmp_path):
    for suffix in ("csv", "old.csv"):
        (tmp_path / f"f.{suffix}").write_text("time,value\n1700000000,1\n")
    with pytest.raises(
        FeedError, match=r"before the first dot, was .* twice; rename one"
    ):
        open_feed(opened(tmp_path))


def test_each_stream_says_what_it_would_say_alone(tmp_path):
    random = np.random.default_rng(0)
    seconds = [random.integers(1, 4, 80).cumsum().tolist() for _ in range(3)]
    config = opened(written(tmp_path, seconds))
    engine = Engine(config, ["value"])
    block = concatenate(list(open_feed(config).blocks(1000)))
    said = engine.run(block).columns["forecasts"]
    tree = {"feed": {"connector": "csv", "path": str(tmp_path / "f0.data.csv"),
                     "time": "time"}}  # fmt: skip
    settled = from_tree(tree)
    alone = Engine(settled, ["value"])
    own = concatenate(list(open_feed(settled).blocks(1000)))
    expected = alone.run(own).columns["forecasts"]
    mine = said["stream"] == 0
    for name in ("mean", "lower", "time", "due"):
        np.testing.assert_array_equal(said[name][mine], expected[name])


def test_columns_of_files_become_streams_too(tmp_path):
    for name in "ab":
        frame = pl.DataFrame({"time": [START, START + 1], "x": [1.0, 2.0], "y": 5.0})
        frame.write_csv(tmp_path / f"{name}.csv")
    feed = open_feed(opened(tmp_path, columns="streams"))
    block = concatenate(list(feed.blocks(3)))
    assert block.streams == ("a.x", "a.y", "b.x", "b.y")
    assert block.stream.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_time_that_cannot_be_read_stands_where_its_row_stands(tmp_path):
    (tmp_path / "a.csv").write_text("time,value\n1700000005,1\n?,2\n1700000009,3\n")
    (tmp_path / "b.csv").write_text("time,value\n1700000007,4\n1700000008,5\n")
    feed = open_feed(opened(tmp_path))
    block = concatenate(list(feed.blocks(2)))
    assert block.values[:, 0].tolist() == [1, 2, 4, 5, 3]
    assert block.time[1] == NO_TIME
    assert not feed.tally.rows


def test_what_files_do_not_take_is_told_of_all(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(
            "time,bid,ask\n1700000005,1,2\n1700000006,0,2\n"
        )
    feed = open_feed(opened(tmp_path))
    assert sum(map(len, feed.blocks(10))) == 4
    assert feed.tally.counts == {"a bid or ask of zero": 2}
    assert "a.csv row 2" in feed.tally.examples["a bid or ask of zero"]


def test_a_damaged_file_ends_the_feed_after_what_is_earlier(tmp_path):
    written(tmp_path, [[1, 2, 3, 4, 5], [1, 2, 3, 9]])
    path = tmp_path / "f1.data.csv"
    path.write_bytes(gzip.compress(path.read_bytes())[:-9])
    found = []

    def read():
        found.extend(open_feed(opened(tmp_path)).blocks(2))

    with pytest.raises(FeedError, match=r"f1.data.csv: .*cut off"):
        read()
    times = np.concatenate([block.time for block in found]) // 10**9 - START
    assert times.tolist() == [1, 1, 2, 2, 3, 3, 4, 5]


def test_files_of_other_fields_are_refused(tmp_path):
    written(tmp_path, [[1]])
    (tmp_path / "g.csv").write_text("time,other\n1700000000,1\n")
    with pytest.raises(FeedError, match=r"expected the fields value of .*was other"):
        open_feed(opened(tmp_path))


def test_feeds_that_name_their_streams_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,who,value\n1700000000,me,1\n")
    feed = {"connector": "csv", "path": str(path), "symbol": "who"}
    tree = {"feed": feed, "stream": {"names": "file"}}
    with pytest.raises(ConfigError, match=r'stream\.names: expected "feed"'):
        open_feed(from_tree(tree))


def test_a_live_feed_names_its_streams_itself():
    tree = {"feed": {"connector": "kraken"}, "stream": {"names": "file"}}
    with pytest.raises(ConfigError, match=r'stream\.names: expected "feed"'):
        open_live(from_tree(tree))


def test_the_names_are_no_part_of_the_model(tmp_path):
    config, plain = opened(tmp_path), from_tree({})
    assert digest(of_model(config)) == digest(of_model(plain))
    assert digest(config) != digest(plain)
