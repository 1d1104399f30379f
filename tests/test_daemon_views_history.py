from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.daemon.views.history import ALL, BUCKETS, CLOSED, FEW, LEAST, History
from sfm_stream.daemon.views.points import kept_point, nothing, point
from sfm_stream.events import Block
from tests.views_rig import feed, ticks_of, value_of, watched, watcher_of


@pytest.fixture(scope="module")
def long():
    """Give the history of a stream of 20,000 ticks."""
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 20_000, "a"), [512] * 40)
    return watcher.history


def test_the_latest_ticks_are_all_there_with_their_values(long):
    last = long.whole(0)[-ALL:]
    assert last["origin"].tolist() == list(range(20_000 - ALL, 20_000))
    assert last["value"].tolist() == [value_of(o) for o in last["origin"].tolist()]
    assert (last["lag"] == 7).all()


def test_before_them_each_bucket_has_its_least_and_its_greatest(long):
    found = long.whole(0)
    origins = found["origin"].astype(int)
    assert (np.diff(origins) > 0).all()
    fine = origins[(origins < 20_000 - ALL) & (origins >= 20_000 - 20_000 % 32 - 2_048)]
    inside = [value_of(o) for o in range(19_200, 19_232)]
    kept = [value_of(o) for o in fine[fine // 32 == 600]]
    assert sorted(kept) == [min(inside), max(inside)]
    assert len(found) <= ALL + 2 * FEW
    assert origins[0] < 512


def test_a_point_has_the_forecasts_that_were_due_at_it():
    engine, watcher = watcher_of(target={"horizons": [1, 5, "3s"]})
    events = ticks_of(0, 300, "a")
    feed(engine, watcher, events)
    again, _ = watcher_of(target={"horizons": [1, 5, "3s"]})
    made = again.run(Block.of(events, 1)).columns["forecasts"]
    means = made["mean"].reshape(-1, 3)
    found = watcher.history.whole(0)
    due = found["value"][:, None] + found["forecast"][:, :, 0]
    np.testing.assert_allclose(due[5:, 0], means[4:-1, 0], atol=1e-4)
    np.testing.assert_allclose(due[5:, 1], means[:-5, 1], atol=1e-4)
    np.testing.assert_allclose(due[5:, 2], means[2:-3, 2], atol=1e-4)
    assert np.isnan(due[:5, 1]).all()


def test_points_since_an_origin_are_the_later_ones():
    history = watched(400).history
    assert history.since(0, 190)["origin"].tolist() == list(range(191, 200))
    assert len(history.since(0, 199)) == 0
    assert history.latest(1)["origin"].tolist() == [199]


def test_rows_beyond_the_room_have_none_until_someone_looks():
    _, watcher = watcher_of()
    shape = watcher.shape
    size = kept_point(shape).itemsize * (LEAST + 2 * FEW)
    history = History(shape, most_bytes=3 * size)
    assert history.most == 3

    def add(origin):
        points = nothing(point(shape), 1, 5)[0]
        points["origin"] = origin
        history.add(np.arange(5), points)

    add(0)
    assert [len(history.whole(row)) for row in range(5)] == [1, 1, 1, 0, 0]
    history.look(0)
    history.look(4)
    add(1)
    assert [len(history.whole(row)) for row in range(5)] == [2, 0, 2, 0, 1]
    assert history.nbytes <= 3 * size


def test_a_stream_never_seen_has_no_points():
    history = watched(10).history
    assert len(history.whole(99)) == len(history.latest(99)) == 0


def test_values_of_bins_are_known_with_their_scores():
    engine, watcher = watcher_of(stream={"every": "2s"})
    feed(engine, watcher, ticks_of(0, 400, "a"))
    found = watcher.history.whole(0)
    assert np.isfinite(found["value"][:-1]).all()
    assert found["value"][10] == value_of(found["origin"][10] * 2 + 1)
    due = found["value"] + found["forecast"][:, 0, 0]
    errors = np.abs(due - found["value"])[50:-1]
    assert np.median(errors) < 0.3


def test_streams_that_tick_together_are_closed_a_few_at_a_time():
    _, watcher = watcher_of()
    history, rows = History(watcher.shape), np.arange(CLOSED + 1)
    for origin in range(BUCKETS[0]):
        points = nothing(point(watcher.shape), 1, len(rows))[0]
        points["origin"], points["value"] = origin, origin
        history.add(rows, points)
    assert history.is_open
    history.close_some()
    assert history.is_open
    history.close_some()
    assert not history.is_open
    for origin in range(BUCKETS[0], ALL + BUCKETS[0]):  # the fine ring goes round
        points["origin"], points["value"] = origin, origin
        history.add(rows, points)
        while history.is_open:
            history.close_some()
    assert all(history.whole(row)["origin"][0] == 0 for row in (0, CLOSED))


def test_a_thousand_streams_of_two_horizons_take_32_mib_at_most():
    config = {"model": {"frequencies": 8}, "target": {"horizons": [1, 10]}}
    _, watcher = watcher_of(**config)
    history = History(watcher.shape)
    assert history.most >= 1_000
    for origin in range(3):
        points = nothing(point(watcher.shape), 1, 1_000)[0]
        points["origin"] = origin
        history.add(np.arange(1_000), points)
    assert [len(history.whole(row)) for row in (0, 999)] == [3, 3]
    assert history.nbytes <= 32 * 2**20


@pytest.mark.parametrize("burst", [1, 50, 512])
def test_more_rows_than_have_room_for_long_rings_leave_the_latest_of_each(burst):
    engine, watcher = watcher_of()
    shape, history = watcher.shape, watcher.history
    size = kept_point(shape).itemsize * (ALL + 2 * FEW)
    watcher.history = history = History(shape, most_bytes=4 * size)
    feed(engine, watcher, ticks_of(0, 700, "a"), [burst] * -(-700 // burst))
    assert history.all == ALL
    longest = 5  # forecasts due at the first points were made before them
    before = history.since(0, 700 - LEAST - 1 + longest)
    others = nothing(point(shape), 1, 4)[0]
    others["origin"] = 0
    history.add(np.arange(1, 5), others)
    assert history.all == LEAST
    assert history.since(0, -1)["origin"].tolist() == list(range(700 - LEAST, 700))
    after = history.since(0, 700 - LEAST - 1 + longest)
    np.testing.assert_array_equal(after, before)
    # what fell out of the finest ring is in the coarser ones
    assert history.whole(0)["origin"][0] < 700 - ALL
    feed(engine, watcher, ticks_of(700, 1_400, "a"), [burst] * -(-700 // burst))
    origins = history.since(0, -1)["origin"].tolist()
    assert origins == list(range(1_400 - LEAST, 1_400))
    assert history.nbytes <= 4 * size
