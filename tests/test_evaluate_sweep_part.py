from __future__ import annotations

import polars as pl
import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.evaluate.sweep import part
from sfm_stream.running import replay

FEED = {"connector": "synthetic", "options": {"ticks": 700}}


def settings(**model):
    tree = {"feed": FEED, "target": {"horizons": [1, 5]}, "run": {"warmup": 0.1}}
    return from_tree(tree | {"model": {"states": 4, "frequencies": 2, **model}})


def test_side_by_side_all_score_as_alone(tmp_path):
    configs = [settings(), settings(cell="a-sfm"), settings(states=8)]
    found = part.measure(configs, open_feed)
    for i, (config, result) in enumerate(zip(configs, found, strict=True)):
        folder = tmp_path / str(i)
        alone = replay.replay(config, open_feed(config), folder)
        for cell in result["cells"]:
            expected = alone["horizons"][cell["horizon"]]
            assert {name: cell[name] for name in expected} == expected


def test_stretches_add_up_to_the_whole():
    (result,) = part.measure([settings()], open_feed)
    for cell in result["cells"]:
        assert len(cell["ours"]) == len(cell["theirs"]) == part.STRETCHES
        assert sum(cell["ours"]) == pytest.approx(cell["mse"] * cell["scored"])
        assert sum(cell["theirs"]) == pytest.approx(cell["naive_mse"] * cell["scored"])
    assert result["account"]["taken"] == FEED["options"]["ticks"]


def test_a_feed_is_read_once_for_all():
    opened = []

    def open_one(config):
        opened.append(config)
        return open_feed(config)

    part.measure([settings(), settings(states=8)], open_one)
    assert len(opened) == 1


def test_several_targets_have_cells_of_their_own(tmp_path):
    path = tmp_path / "two.parquet"
    ticks = range(1_700_000_000, 1_700_000_300)
    frame = pl.DataFrame(
        {"time": ticks, "a": [t % 7 for t in ticks], "b": [t % 5 for t in ticks]}
    )
    frame.write_parquet(path)
    config = from_tree({
        "feed": {"connector": "parquet", "path": str(path), "time": "time"},
        "target": {"values": ["a", "b"]},
    })  # fmt: skip
    (result,) = part.measure([config], open_feed)
    assert [cell["target"] for cell in result["cells"]] == ["a", "b"]
    assert Engine(config, ["a", "b"]).targets == ("a", "b")
