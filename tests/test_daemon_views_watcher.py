from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.daemon.views import watcher as watching
from sfm_stream.daemon.views.watcher import Watcher
from sfm_stream.events import Block, Control, Gap
from sfm_stream.records import Records
from tests.daemon_rig import START
from tests.views_rig import DELAY, feed, ticks_of, value_of, watched, watcher_of


def test_streams_are_known_by_name_with_their_latest_tick():
    watcher = watched(300)
    assert watcher.streams == ("a", "b")
    assert watcher.number("b") == 1
    assert watcher.number("c") is None
    last = ticks_of(298, 300)
    assert watcher.values.tolist() == [tick.values[0] for tick in last]
    assert watcher.received.tolist() == [tick.time + DELAY for tick in last]


def test_however_events_come_together_the_same_is_kept():
    events = ticks_of(0, 500)
    found = []
    for sizes in ([1] * 500, [7] * 72, [500]):
        engine, watcher = watcher_of()
        feed(engine, watcher, events, sizes)
        found.append((watcher.history.whole(0), watcher.figures))
    for points, figures in found[1:]:
        for name in ("time", "value", "forecast", "lag", "origin", "weights"):
            np.testing.assert_array_equal(points[name], found[0][0][name])
        np.testing.assert_allclose(figures.skill(), found[0][1].skill())


def test_figures_are_those_of_the_records():
    engine, watcher = watcher_of()
    events = ticks_of(0, 600, "a")
    feed(engine, watcher, events)
    other, _ = watcher_of()
    scores = other.run(Block.of(events, 1)).columns["scores"]
    first = scores["horizon"] == 0
    missed = np.square(scores["truth"] - scores["mean"])[first].sum()
    moved = np.square(scores["truth"] - scores["naive"])[first].sum()
    assert watcher.figures.skill()[0, 0] == pytest.approx(1 - missed / moved)
    covered = scores["covered"][first]
    told = (covered > 0).sum() / (covered >= 0).sum()
    assert watcher.figures.coverage()[0, 0] == pytest.approx(told)
    judged = watcher.judged()["a"]
    assert judged["scored"] == 599
    assert judged["skill"] == pytest.approx(1 - missed / moved)


def test_gaps_and_decisions_are_marked():
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 20))
    events = [Gap("", START, "cut off"), Gap("b", START, "a frame was missed"),
              Control("", START, "catch-up")]  # fmt: skip
    feed(engine, watcher, events)
    marks = list(watcher.marks.since(0, "b"))
    assert [(m.kind, m.what, m.stream) for m in marks] == [
        ("gap", "cut off", ""), ("gap", "a frame was missed", "b"),
        ("decision", "learning paused: late", ""),
    ]  # fmt: skip
    assert marks[0].time == START / 1e6
    assert len(list(watcher.marks.since(0, "a"))) == 2
    assert watcher.in_gap().tolist() == [True, True]
    feed(engine, watcher, ticks_of(20, 21))
    assert watcher.in_gap().tolist() == [False, True]


def test_what_waits_is_bounded_and_what_found_no_room_is_told_once(monkeypatch):
    monkeypatch.setattr(watching, "MOST_WAITING", 3)
    told = []
    engine, _ = watcher_of()
    watcher = Watcher(engine, failed=told.append)
    for _ in range(5):
        watcher.see(0, Block.of(ticks_of(0, 1), 1))
    watcher.fold()
    watcher.see(0, Block.of(ticks_of(0, 1), 1))
    watcher.fold()
    assert list(map(str, told)) == [
        "views: expected at most 3 blocks in the queue, was 5; "
        "the newest 2 are not shown"
    ]


def test_many_events_have_it_folded_soon():
    woken = []
    engine, _ = watcher_of()
    watcher = Watcher(engine, lambda: woken.append(1))
    for i in range(20):
        watcher.see(64 * i, Block.of(ticks_of(0, 64), 1))
    assert len(woken) == 2


def test_forecasts_of_unknown_events_are_kept_without_their_values():
    engine, watcher = watcher_of()
    said = engine.run(Block.of(ticks_of(0, 50, "a"), 1))
    watcher.hear(said)  # a block that found no room
    watcher.hear(Records({}, {}))
    watcher.fold()
    found = watcher.history.whole(0)
    assert len(found) == 50
    # scores tell the values of all ticks but the last
    assert found["value"][:-1].tolist() == [value_of(i) for i in range(49)]
    assert np.isnan(found["value"][-1])


def test_what_lies_here_is_folded_in_pieces_or_at_once():
    engine, watcher = watcher_of()
    other_engine, other = watcher_of()
    for start in range(0, 1_600, 400):
        for one, into in ((engine, watcher), (other_engine, other)):
            block = Block.of(ticks_of(start, start + 400, "a"), 1)
            into.see(one.seq, block)
            into.hear(one.run(block))
    pieces = 1
    while watcher.fold_some():
        pieces += 1
    assert pieces >= 4
    other.fold()
    assert watcher.received.tolist() == other.received.tolist()
    np.testing.assert_array_equal(watcher.figures.scored, other.figures.scored)
    assert not watcher.fold_some()


def torn(records):
    """Give records of which a column is missing."""
    forecasts = dict(records.columns["forecasts"])
    del forecasts["mean"]
    return Records({**records.columns, "forecasts": forecasts}, records.tables)


@pytest.mark.parametrize("value", [1e300, -1.7e308, 1e30])
@pytest.mark.parametrize("size", [1, 64])
def test_an_absurd_value_is_shown_and_leaves_no_trace_in_what_follows(value, size):
    spoilt = lambda number: value if number == 300 else value_of(number)  # noqa: E731
    engine, watcher = watcher_of()
    events = ticks_of(0, 1_200, "a", spoilt)
    feed(engine, watcher, events, [size] * -(-1_200 // size))
    shown = watcher.history.since(0, 610)
    assert np.isfinite(shown["forecast"]).all()
    assert np.isfinite(shown["skill"]).all()
    assert value in watcher.history.whole(0)["value"]
    figures = watcher.figures
    assert figures.absurd[0].tolist() == [2, 2]
    assert figures.scored[0].tolist() == [1_197, 1_193]
    # the model has something to unlearn, which is its own affair
    assert (np.abs(figures.skill()[0]) < 5).all()
    assert (figures.since_start("absolute")[0] < 1_200).all()


def test_what_cannot_be_folded_is_told_and_what_follows_is_shown():
    told = []
    engine, _ = watcher_of()
    watcher = Watcher(engine, failed=told.append)
    feed(engine, watcher, ticks_of(0, 100, "a"))
    watcher.hear(torn(engine.run(Block.of(ticks_of(100, 110, "a"), 1))))
    watcher.fold()
    assert [type(error) for error in told] == [KeyError]
    feed(engine, watcher, ticks_of(110, 120, "a"))
    shown = watcher.history.since(0, 0)["origin"].tolist()
    assert shown == [*range(1, 100), *range(110, 120)]
    assert len(told) == 1


def test_a_bucket_that_cannot_be_closed_does_not_stop_the_others(monkeypatch):
    told = []
    engine, _ = watcher_of()
    watcher = Watcher(engine, failed=told.append)
    close, first = watcher.history._close, []

    def close_all_but_one(place, last):
        if not first:
            first.append(last)
            raise MemoryError
        close(place, last)

    monkeypatch.setattr(watcher.history, "_close", close_all_but_one)
    feed(engine, watcher, ticks_of(0, 200, "a"))
    assert [type(error) for error in told] == [MemoryError]
    assert not watcher.history.is_open
    assert not watcher.fold_some()
