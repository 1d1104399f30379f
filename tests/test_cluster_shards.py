from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import open_live
from sfm_stream.cli.service import order
from sfm_stream.cluster import shards
from sfm_stream.cluster.shards import Shard, key_of, mine, owner, parse, share
from sfm_stream.config import each_feed, from_tree
from sfm_stream.errors import ConfigError
from tests.feed_tables import feed_table

NAMES = st.text(min_size=1, max_size=12)
COUNTS = st.integers(1, 12)


def topics(config):
    return open_live(config).topics


def config_of(symbols, group="", feeds=({},)):
    own = feed_table(connector="binance", channel="trade")
    return from_tree(
        {
            "feed": [own | feed for feed in feeds],
            "stream": {"symbols": symbols},
            "daemon": {"group": group},
        }
    )


@given(st.lists(NAMES, unique=True), COUNTS)
def test_every_stream_is_of_one_shard(names, count):
    parts = [mine(names, Shard(i, count), "") for i in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(names)


@given(NAMES, COUNTS)
def test_with_a_further_shard_a_stream_stays_or_moves_to_it(name, count):
    assert owner(name, count + 1) in (owner(name, count), count + 1)


@settings(max_examples=25)
@given(st.integers(1, 9), NAMES)
def test_a_further_shard_takes_its_part(count, prefix):
    names = [f"{prefix}{i}" for i in range(1_000)]
    moved = sum(owner(name, count) != owner(name, count + 1) for name in names)
    part = 1 / (count + 1)
    # six standard deviations of a fair draw
    assert abs(moved - 1_000 * part) < 6 * (1_000 * part * (1 - part)) ** 0.5


def test_shards_have_about_as_many_streams_each():
    counts = Counter(owner(f"s{i}", 4) for i in range(10_000))
    assert all(abs(count - 2_500) < 200 for count in counts.values())


@given(st.lists(st.tuples(st.text("ab", min_size=1), st.text("yz")), max_size=20),
       COUNTS)  # fmt: skip
def test_streams_of_one_group_are_of_one_shard(parts, count):
    names = [f"{base}-{quote}" for base, quote in parts]
    homes = {}
    for name in names:
        home = owner(key_of(name, r"^(\w+)-"), count)
        assert homes.setdefault(name.partition("-")[0], home) == home


def test_a_name_without_the_group_stands_for_itself():
    assert key_of("alone", r"^(\w+)-") == "alone"
    assert key_of("alone", r"(x)?") == "alone"


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/5000"])
def test_a_part_that_is_not_i_of_n_is_refused(text):
    with pytest.raises(ConfigError, match="expected I/N"):
        parse(text)


def test_a_shard_subscribes_to_its_own_streams_alone():
    symbols = [f"SYM{i}USDT" for i in range(40)]
    whole = config_of(symbols)
    parts = [share(whole, Shard(i, 3), topics) for i in (1, 2, 3)]
    asked = [topics(part) for part in parts]
    assert sorted(name for part in asked for name in part) == sorted(topics(whole))
    assert all(set(part) == set(mine(topics(whole), Shard(i, 3), ""))
               for i, part in enumerate(asked, 1))  # fmt: skip


def test_the_prefix_of_a_feed_counts_as_part_of_the_name():
    feeds = ({"prefix": "spot:"}, {"prefix": "perp:"})
    whole = config_of([f"SYM{i}" for i in range(20)], feeds=feeds)
    parts = [share(whole, Shard(i, 2), topics) for i in (1, 2)]
    names = [name for part in parts for one in each_feed(part) for name in topics(one)]
    assert sorted(names) == sorted(n for one in each_feed(whole) for n in topics(one))
    assert all(owner(name, 2) == i for i, part in enumerate(parts, 1)
               for one in each_feed(part) for name in topics(one))  # fmt: skip


def test_a_shard_without_a_stream_is_refused():
    (home,) = {owner("btcusdt", 2)}
    with pytest.raises(ConfigError, match=f"no stream is of shard {3 - home} of 2"):
        share(config_of(["BTCUSDT"]), Shard(3 - home, 2), topics)


def test_a_shard_has_a_folder_of_its_own(tmp_path):
    assert shards.folder(tmp_path, Shard(1, 1)) == tmp_path
    assert shards.folder(tmp_path, Shard(2, 3)) == tmp_path / "shard-2"


def test_a_shard_of_what_is_piped_in_is_refused(tmp_path):
    tree = {"feed": {"connector": "jsonl", "path": "-"}}
    problem = "asked for streams, was what is piped in"
    with pytest.raises(ConfigError, match=problem):
        order(lambda: from_tree(tree), Shard(1, 2), tmp_path)
