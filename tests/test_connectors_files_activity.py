from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError
from sfm_stream.events import GAP

SECOND = 10**9
START = 1_600_000_000


def feed_of(tmp_path, seconds, mids, **more):
    path = tmp_path / "quotes.parquet"
    frame = {
        "t": seconds,
        "bid": [m - 1.0 for m in mids],
        "ask": [m + 1.0 for m in mids],
    }
    pl.DataFrame(frame).write_parquet(path)
    tree = {"connector": "activity", "path": str(path), "time": "t", **more}
    return open_feed(from_tree({"feed": tree}))


def joined(feed, size=16_384, after=0):
    blocks = list(feed.blocks(size, after))
    names = ("kind", "time", "values")
    return [np.concatenate([getattr(b, n) for b in blocks]) for n in names]


def test_quotes_and_moves_are_stated_per_second(tmp_path):
    at = [START + s for s in (0.1, 0.7, 1.2, 4.5, 5.0)]
    _, time, values = joined(feed_of(tmp_path, at, [10, 11, 14, 13, 13]))
    assert ((time // SECOND) - START).tolist() == [1, 2, 3, 4, 5]
    rate, move = np.expm1(values).T
    np.testing.assert_allclose(rate, [2, 1, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(move, [0, 3, 0, 0, 1], atol=1e-12)


def test_a_long_silence_is_a_gap_and_no_move(tmp_path):
    at = [START, START + 1, START + 5_000, START + 5_001, START + 5_002]
    kind, time, values = joined(feed_of(tmp_path, at, [10, 11, 99, 98, 98]))
    assert kind.tolist() == [0, 0, GAP, 0, 0]
    assert time[2] == (START + 5_000) * SECOND
    np.testing.assert_allclose(np.expm1(values[3:, 1]), [0, 1], atol=1e-12)


def test_bins_do_not_depend_on_blocks_or_where_reading_began(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    at = (START + np.cumsum(random.exponential(0.6, 500))).tolist()
    feed = feed_of(tmp_path, at, random.normal(100, 3, 500).tolist())
    whole = joined(feed)
    monkeypatch.setattr("connectors.files.activity.ROWS", 7)
    for a, b in zip(whole, joined(feed, size=3, after=40), strict=True):
        np.testing.assert_array_equal(a[40:], b)


def test_several_streams_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"feed\.symbol"):
        feed_of(tmp_path, [START], [1], symbol="s")
