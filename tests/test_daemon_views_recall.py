"""After a restart the points of before are there again, from the run's own records."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.daemon.views import recall as recalling
from sfm_stream.daemon.views.history import ALL
from sfm_stream.daemon.views.recall import recall
from sfm_stream.daemon.views.watcher import Watcher
from sfm_stream.events import Block
from sfm_stream.sinks import ParquetSink
from tests.views_rig import feed, ticks_of, watcher_of

HORIZONS = [1, 5]


def lived(folder, total, names="ab"):
    """A watcher that has seen so many ticks, whose records lie in a folder."""
    engine, watcher = watcher_of(target={"horizons": HORIZONS})
    sink = ParquetSink(folder, {"experts": engine.experts})
    again, _ = watcher_of(target={"horizons": HORIZONS})
    events = ticks_of(0, total, names)
    feed(engine, watcher, events, [500] * -(-total // 500))
    for begin in range(0, total, 700):
        sink.write(again.run(Block.of(events[begin : begin + 700], 1)))
        sink.flush()
    return engine, watcher


def test_points_of_before_are_there_again(tmp_path):
    engine, before = lived(tmp_path, 2_600)
    after = Watcher(engine)
    recall(after, tmp_path, engine.streams)
    assert after.streams == before.streams
    for row in range(2):
        expected = before.history.since(row, 1_300 - ALL - 1)
        found = after.history.since(row, 1_300 - ALL - 1)
        settled = slice(0, -1)  # the last tick's value comes with the next one
        for name in ("time", "origin", "weights"):
            np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_array_equal(
            found["value"][settled], expected["value"][settled]
        )
        due = [p["value"][:, None] + p["forecast"][:, :, 0] for p in (found, expected)]
        np.testing.assert_allclose(due[0][:-6], due[1][:-6], atol=1e-5)
        assert (found["amplitude"] == expected["amplitude"]).mean() > 0.99
    assert after.figures.scored.sum() == 0


def test_a_live_process_goes_on_behind_what_was_recalled(tmp_path):
    engine, _ = lived(tmp_path, 600, "a")
    after = Watcher(engine)
    recall(after, tmp_path, engine.streams)
    feed(engine, after, ticks_of(600, 650, "a"))
    origins = after.history.since(0, 0)["origin"].tolist()
    assert origins == list(range(50, 650))


def test_streams_that_have_left_are_not_shown_and_numbers_are_those_of_now(tmp_path):
    engine, _ = lived(tmp_path, 400)
    after = Watcher(engine)
    recall(after, tmp_path, ("new", "b"))
    assert after.number("b") == 1
    assert len(after.history.whole(0)) == 0
    assert after.history.latest(1)["origin"].tolist() == [199]


def test_no_more_is_read_than_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(recalling, "MOST", 101)
    engine, _ = lived(tmp_path, 400, "a")
    after = Watcher(engine)
    recall(after, tmp_path, engine.streams)
    assert after.history.since(0, -1)["origin"].tolist() == list(range(350, 400))


@pytest.mark.parametrize("settled", [0, 3])
def test_a_run_that_has_said_little_is_recalled_too(tmp_path, settled):
    engine, _ = lived(tmp_path, settled + 1, "a")
    after = Watcher(engine)
    recall(after, tmp_path, engine.streams)
    values = after.history.since(0, -1)["value"]
    assert np.isnan(values).tolist() == [False] * settled + [True]


def test_a_run_that_has_said_nothing_is_no_error(tmp_path):
    engine, _ = watcher_of()
    tmp_path.joinpath("records").mkdir()
    after = Watcher(engine)
    recall(after, tmp_path / "records", engine.streams)
    assert after.streams == ()
