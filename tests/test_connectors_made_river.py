from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from river import datasets

from connectors import open_feed
from connectors.made.river import _nanoseconds
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import NO_TIME
from sfm_stream.events.blocks import concatenate


def opened(dataset="WaterFlow", fields=()):
    tree = {
        "feed": {"connector": "river", "options": {"dataset": dataset}},
        "stream": {"fields": list(fields)},
    }
    return open_feed(from_tree(tree))


def test_water_flow_has_its_clock_and_one_field():
    feed = opened()
    block = concatenate(list(feed.blocks(500)))
    rows = list(datasets.WaterFlow())
    assert feed.fields == ("y",)
    assert len(block) == feed.total() == len(rows)
    np.testing.assert_array_equal(block.values[:, 0], [y for _, y in rows])
    seconds = [int(x["Time"].timestamp()) for x, _ in rows]
    np.testing.assert_array_equal(block.time, np.array(seconds) * 10**9)


def test_features_come_in_order_and_the_target_last():
    feed = opened("TrumpApproval")
    x, y = next(iter(list(datasets.TrumpApproval())))
    block = next(feed.blocks(10))
    assert feed.fields == (*x, "y")
    assert block.values[0].tolist() == [*map(float, x.values()), y]
    assert np.diff(block.time).tolist() == [10**9] * 9


def test_truth_is_one_and_zero():
    block = concatenate(list(opened("Phishing").blocks(1000)))
    assert set(block.values[:, -1]) == {0.0, 1.0}


def test_fields_can_be_chosen():
    feed = opened("TrumpApproval", ["y", "gallup"])
    x, y = next(iter(list(datasets.TrumpApproval())))
    assert next(feed.blocks(1)).values[0].tolist() == [y, x["gallup"]]


@pytest.mark.parametrize("after", [0, 1, 700, 1267, 1268, 5000])
def test_resuming_equals_the_tail(after):
    feed = opened()
    whole = concatenate(list(feed.blocks(2000)))
    parts = list(feed.blocks(100, after))
    assert sum(map(len, parts)) == max(0, len(whole) - after)
    if parts:
        part = concatenate(parts)
        np.testing.assert_array_equal(part.values, whole.values[after:])
        np.testing.assert_array_equal(part.time, whole.time[after:])


def test_a_text_is_refused_by_name():
    with pytest.raises(FeedError, match="'y': expected a number, was 'path'"):
        opened("ImageSegments")


def test_a_missing_value_is_not_a_number(monkeypatch):
    class Holes(datasets.WaterFlow):
        def __iter__(self):
            yield {"a": None, "b": 1}, 2
            yield {"b": True}, 3

    monkeypatch.setattr(datasets, "Holes", Holes, raising=False)
    feed = opened("Holes")
    block = next(feed.blocks(10))
    assert feed.fields == ("a", "b", "y")
    assert math.isnan(block.values[0, 0])
    assert block.values[1, 1:].tolist() == [1, 3]


def test_a_set_to_download_is_refused_with_a_hint(monkeypatch):
    from river.datasets import base

    monkeypatch.setattr(base.RemoteDataset, "is_downloaded", property(lambda _: False))
    with pytest.raises(FeedError, match=r"run river.datasets.Elec2\(\).download\(\)"):
        opened("Elec2")


def test_an_unknown_set_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'WaterFlow'"):
        opened("Waterflow")


def test_source_names_set_and_version():
    assert set(opened().source()) == {"connector", "dataset", "river"}


def test_dates_become_nanoseconds_exactly():
    moment = datetime(2022, 3, 20, 11, tzinfo=timezone(timedelta(hours=1)))
    ns = 1_647_770_400 * 10**9
    assert _nanoseconds(moment) == ns
    assert _nanoseconds(datetime(2022, 3, 20, 10, tzinfo=UTC)) == ns
    assert _nanoseconds(datetime(2022, 3, 20, 10, 0, 0, 1)) == ns + 1000  # noqa: DTZ001 naive is UTC
    assert _nanoseconds(date(2022, 3, 20)) == ns - 36_000 * 10**9
    assert _nanoseconds(datetime(1, 1, 1, tzinfo=UTC)) == NO_TIME
    assert _nanoseconds("2022") == NO_TIME
