from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, contextmanager

import pytest

from connectors import open_live
from sfm_stream.config import parse
from sfm_stream.errors import InvalidState
from sfm_stream.evaluate.pace import live
from sfm_stream.evaluate.pace.venue import KINDS

PAGE = """# HELP sfm_stream_events_total the engine has seen
sfm_stream_events_total 120.0
sfm_stream_gaps_total 1.0
sfm_stream_learning 1.0
sfm_stream_ticks_total{stream="a"} 7.0
sfm_stream_latency_seconds_bucket{le="0.02"} 90.0
sfm_stream_latency_seconds_bucket{le="0.05"} 99.0
sfm_stream_latency_seconds_count 100.0
sfm_stream_loop_held_seconds_bucket{le="0.01"} 398.0
sfm_stream_loop_held_seconds_count 400.0
"""


@pytest.fixture
def searched(monkeypatch):
    """Search the pace of a process that bears so much; give it and what was tried."""

    def search(limit, **size):
        tried = []

        @contextmanager
        def nothing(*_):
            yield None

        def trying(_venue, _pages, pace, _seconds):
            tried.append(pace)
            return pace / 1e6 if pace <= limit else None

        monkeypatch.setattr(live, "_venue", nothing)
        monkeypatch.setattr(live, "_daemon", nothing)
        monkeypatch.setattr(live, "_settle", lambda *_: None)
        monkeypatch.setattr(live, "_tried", trying)
        best, held = live._live(None, "json", 1, live.Size(**size))
        assert held == best / 1e6  # of the pace that is given
        return best, tried

    return search


def test_the_search_ends_below_the_limit_and_near_it(searched):
    best, tried = searched(10_000, first=1_000, growth=2.0, halvings=3)
    assert 9_000 <= best <= 10_000
    assert tried[:5] == [1_000, 2_000, 4_000, 8_000, 16_000]
    assert len(tried) == 8


def test_a_first_pace_that_is_too_high_is_halved(searched):
    best, _ = searched(300, first=1_000, growth=2.0, halvings=4)
    assert 200 <= best <= 300


def test_a_process_that_holds_nothing_has_no_pace(searched):
    assert searched(0, halvings=3)[0] == 0.0


def test_a_page_is_read_for_what_has_no_labels(monkeypatch):
    monkeypatch.setattr(live, "_page", lambda _: PAGE)
    assert live._sample("") == {
        "events_total": 120.0, "gaps_total": 1.0, "learning": 1.0, "in_time": 99.0,
        "latency_seconds_count": 100.0, "free": 398.0, "loop_held_seconds_count": 400.0,
    }  # fmt: skip


SAMPLE = {
    "events_total": 0.0, "gaps_total": 0.0, "learning": 1.0, "in_time": 0.0,
    "latency_seconds_count": 0.0, "free": 10.0, "loop_held_seconds_count": 10.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("after", "held"),
    [
        ({}, 0.25),
        ({"events_total": 90.0}, None),
        ({"in_time": 98.0}, None),
        ({"gaps_total": 1.0}, None),
        ({"learning": 0.0}, None),
    ],
)
def test_a_pace_holds_if_all_is_taken_in_time_and_learned(monkeypatch, after, held):
    good = {**SAMPLE, "events_total": 100.0, "in_time": 99.5,
            "free": 310.0, "loop_held_seconds_count": 410.0}  # fmt: skip
    samples = iter([SAMPLE, {**good, "latency_seconds_count": 100.0, **after}])
    clock = iter([0.0, 1.0])
    monkeypatch.setattr(live, "_sample", lambda _: next(samples))
    monkeypatch.setattr(live, "_drain", lambda *_: None)
    monkeypatch.setattr(live.time, "sleep", lambda _: None)
    monkeypatch.setattr(live.time, "perf_counter", lambda: next(clock))
    venue = live.Sender(type("Mute", (), {"stdin": None})(), "")
    assert live._tried_once(venue, "", 100.0, 1.0) == held


@pytest.mark.parametrize(
    ("looks", "found"),
    [([0.1], 0.1), ([None, 0.2], 0.2), ([None, None], None)],
    ids=["holds", "holds the second time", "fails twice"],
)
def test_a_pace_that_fails_is_tried_once_more(monkeypatch, looks, found):
    left = iter(looks)
    monkeypatch.setattr(live, "_tried_once", lambda *_: next(left))
    assert live._tried(None, "", 100.0, 1.0) == found
    assert next(left, "none left") == "none left"


def test_the_search_waits_until_a_whole_second_is_in_time(monkeypatch):
    counts = [(0, 0), (0, 0), (50, 10), (150, 105), (250, 205), (999, 0)]
    samples = iter(
        {"latency_seconds_count": float(all_), "in_time": float(timely)}
        for all_, timely in counts
    )
    monkeypatch.setattr(live, "_sample", lambda _: next(samples))
    monkeypatch.setattr(live.time, "sleep", lambda _: None)
    venue = live.Sender(type("Mute", (), {"stdin": None})(), "")
    live._settle(venue, "", 100.0)
    assert next(samples)["latency_seconds_count"] == 999.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_made_up_venue_is_read_as_a_real_one(kind):
    async def run():
        with live._venue(kind, 3) as venue:
            venue.go(300.0)
            config = parse(live._config(kind, 3, venue.url))
            found = []
            async with aclosing(open_live(config).batches(64)) as batches:
                async with asyncio.timeout(60):
                    while len(found) < 60:
                        found += (await anext(batches)).events()
            return found

    found = asyncio.run(run())
    assert {event.stream for event in found} == {"s0", "s1", "s2"}
    assert all(len(event.values) == (1 if kind == "json" else 4) for event in found)


def test_a_venue_that_does_not_start_is_told():
    with pytest.raises(InvalidState, match="expected a venue's address"):
        with live._venue("no such kind", 1):
            pass


def test_the_shape_of_what_is_printed(monkeypatch):
    monkeypatch.setattr(live, "_replay", lambda *_: 200.0)
    monkeypatch.setattr(live, "_live", lambda *_: (100.0, 0.002))
    monkeypatch.setattr(live, "_reading", lambda *_: 300.0)
    size = live.Size(kinds=("json",), streams=(1, 20))
    found = live.measure(lambda _: None, open_live, size)
    each = {
        "live": 100.0, "reading": 300.0, "replay": 200.0, "ratio": 0.5, "held": 0.002,
    }  # fmt: skip
    assert json.loads(json.dumps(found)) == {
        "json, 1 streams": each,
        "json, 20 streams": each,
    }
