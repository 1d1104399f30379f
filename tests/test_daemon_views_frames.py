from __future__ import annotations

import struct

import numpy as np
import pytest

from sfm_stream.daemon.views.frames import (
    FEW_SCORES,
    FINE,
    ROW,
    SHUT_OUT,
    SILENT,
    UNHEARD,
    OneStream,
    Overview,
    OverviewWish,
    StreamWish,
)
from sfm_stream.daemon.views.watcher import Watcher
from sfm_stream.events import Block, Control, Gap
from tests.daemon_rig import SECOND, START
from tests.views_rig import (
    feed,
    read_points,
    refuse,
    split,
    ticks_of,
    watched,
    watcher_of,
)


def test_the_overview_has_a_short_row_for_each_stream():
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 600))
    view = Overview(watcher, OverviewWish("overview"))
    told, (frame,) = split(view.beat({}))
    assert told["streams"] == ["a", "b"]
    assert told["row"]["size"] == ROW.itemsize <= 25
    assert struct.unpack_from("<2I", frame) == (1, 2)
    rows = np.frombuffer(frame, ROW, offset=16)
    assert rows["value"].tolist() == watcher.values.tolist()
    assert rows["skill"][0] == np.float32(watcher.figures.skill(lately=True)[0, 0])
    assert rows["state"].tolist() == [FINE, FINE]
    assert (rows["age"] > 0).all()


def test_the_overview_names_streams_once_and_those_that_come_later():
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 10, "ab"))
    view = Overview(watcher, OverviewWish("overview"))
    split(view.beat({}))
    assert split(view.beat({}))[0] == {}
    feed(engine, watcher, ticks_of(30, 40, "abc"))
    told, _ = split(view.beat({}))
    assert told == {"streams": ["c"], "from": 2}


def test_the_overview_says_who_is_silent_shut_out_or_new():
    engine, watcher = watcher_of()
    feed(engine, watcher, [*ticks_of(0, 900, "abc"), *ticks_of(0, 10, "d")])
    feed(engine, watcher, [Gap("b", START, "cut off")])
    _, (frame,) = split(Overview(watcher, OverviewWish("overview")).beat({"c": 9.0}))
    rows = np.frombuffer(frame, ROW, offset=16)
    assert rows["state"].tolist() == [FINE, SILENT, SHUT_OUT, FEW_SCORES]
    assert np.isnan(rows["skill"][3])


def test_streams_that_have_not_ticked_since_a_restart_have_the_age_of_their_last_tick():
    engine, _ = watcher_of()
    engine.run(Block.of([*ticks_of(0, 900, "ab"), Control("c", START, "freeze")], 1))
    born = START + 10**6 * SECOND
    watcher = Watcher(engine, failed=refuse, now=lambda: born)
    feed(engine, watcher, ticks_of(900, 902, "a"))
    view = Overview(watcher, OverviewWish("overview"))
    told, (frame,) = split(view.beat({}))
    assert told["streams"] == ["a", "b", "c"]
    rows = np.frombuffer(frame, ROW, offset=16)
    assert rows["state"].tolist() == [FEW_SCORES, UNHEARD, UNHEARD]
    assert "since the start" in told["states"][UNHEARD]
    last = ticks_of(0, 900, "ab")[-1].time
    assert watcher.received[1:].tolist() == [last, born]


def test_a_stream_begins_with_names_marks_and_history():
    watcher = watched(1_000)
    view = OneStream(watcher, StreamWish("stream", "b"))
    told, (frame,) = split(view.beat(0.0))
    assert told["experts"] == list(watcher.shape.experts)
    assert [h["name"] for h in told["horizons"]] == ["1", "5"]
    assert told["marks"] == []
    assert told["figures"][0]["scored"] == 499
    assert sum(told["figures"][0]["places"]) > 300
    head, ahead, points = read_points(frame, told)
    assert head == (2, 0, 1)
    assert points["origin"].tolist() == list(range(500))
    assert points["value"][-1] == ahead[1] == watcher.values[1]
    mean, lower, upper = ahead[2:5]
    assert lower < mean < upper


def test_then_it_tells_what_is_new_and_nothing_twice():
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 200, "a"))
    view = OneStream(watcher, StreamWish("stream", "a"))
    hello, _ = split(view.beat(0.0))
    assert split(view.beat(0.1)) == ({}, [])
    feed(engine, watcher, [Gap("", START, "cut off"), *ticks_of(200, 230, "a")])
    told, (frame,) = split(view.beat(0.2))
    assert [mark["what"] for mark in told["marks"]] == ["cut off"]
    assert "figures" not in told
    head, _, points = read_points(frame, hello)
    assert head == (2, 0, 0)
    assert points["origin"].tolist() == list(range(200, 230))
    assert "figures" in split(view.beat(1.5))[0]


def test_a_client_that_was_slow_is_told_how_much_it_missed():
    engine, watcher = watcher_of()
    feed(engine, watcher, ticks_of(0, 50, "a"))
    view = OneStream(watcher, StreamWish("stream", "a"))
    hello, _ = split(view.beat(0.0))
    feed(engine, watcher, ticks_of(50, 1_050, "a"))
    _, (frame,) = split(view.beat(0.1))
    (_, missed, begins), _, points = read_points(frame, hello)
    assert (len(points), missed, begins) == (600, 400, 0)


def test_horizons_are_those_that_were_wished_for():
    watcher = watched(300)
    both = OneStream(watcher, StreamWish("stream", "a"))
    one = OneStream(watcher, StreamWish("stream", "a", horizons=("5",)))
    hello, (whole,) = split(both.beat(0.0))
    told, (frame,) = split(one.beat(0.0))
    assert len(frame) < len(whole)
    assert [figure["horizon"] for figure in told["figures"]] == ["5"]
    _, ahead, points = read_points(frame, told)
    _, all_ahead, everything = read_points(whole, hello)
    np.testing.assert_array_equal(
        points["forecast"][:, 0], everything["forecast"][:, 1]
    )
    assert ahead[2:].tolist() == all_ahead[5:].tolist()


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"stream": "z"}, "stream: expected one of those there, was 'z'"),
        ({"stream": "a", "target": "y"}, "target: expected one of x, was 'y'"),
        (
            {"stream": "a", "horizons": ("7",)},
            "horizons: expected one of 1, 5, was '7'",
        ),
    ],
)
def test_what_is_not_there_is_named(wish, problem):
    with pytest.raises(ValueError, match=problem):
        OneStream(watched(20), StreamWish("stream", **wish))
