from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from sfm_stream.config import keys
from sfm_stream.daemon.status.model import (
    LONGEST,
    Checkpoint,
    Journal,
    Vitals,
    told,
    unready,
)
from sfm_stream.settings import Daemon
from sfm_stream.settings.units import Duration
from tests.vitals_rig import FEED, SINK, WELL, vitals

SETTINGS = Daemon(ready_lag=Duration("5s"), checkpoint_every=Duration("15s"))


def test_a_process_that_is_well_is_ready():
    assert unready(WELL, SETTINGS) == []
    assert unready(vitals(state="catching up"), SETTINGS) == []


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        ({"state": "recovering"}, "state: expected live or catching up, was recovering"),
        (
            {"state": "compiling"},
            "state: expected live or catching up, "
            "was compiling (the kernels, about a minute, once)",
        ),
        ({"state": "stopping"}, "state: expected live or catching up, was stopping"),
        ({"feeds": ()}, "feeds: expected a live connection, was none of 0"),
        (
            {"feeds": (replace(FEED, state="backoff"), replace(FEED, state="stale"))},
            "feeds: expected a live connection, was none of 2",
        ),
        (
            {"feeds": (replace(FEED, state="stale", age=451.0, usual=450.0),)},
            "feeds: expected a live connection, was none of 1",
        ),
        (
            {"feeds": (replace(FEED, state="backoff", age=1.0, usual=450.0),)},
            "feeds: expected a live connection, was none of 1",
        ),
        (
            {"feeds": (replace(FEED, state="subscribing", age=None, usual=450.0),)},
            "feeds: expected a live connection, was none of 1",
        ),
        (
            {"feeds": (replace(FEED, alarm="the reader has said nothing for 5 s"),)},
            "feeds: expected a live connection, was none of 1",
        ),
        ({"lag_s": 5.5}, "lag: expected at most 5 s, was 5.5 s"),
        (
            {"checkpoint": Checkpoint(1_400, 940.0, 0.2, waited_s=911.0)},
            "checkpoint: expected within 910 s, was 911 s",
        ),
        (
            {"checkpoint": Checkpoint(1_400, 41.0, 0.2, "disk full", 41.0)},
            "checkpoint: expected within 40 s, was 41 s: disk full",
        ),
        ({"journal": Journal(1, problem="disk full")}, "journal: disk full"),
        ({"journal": Journal(1, journalled=False)}, "journal: events are not journalled"),
        ({"finite": False}, "model: expected finite numbers, was non-finite"),
        ({"sinks": (replace(SINK, error="gone"),)}, "sink records: gone"),
        (
            {"sinks": (replace(SINK, blocked_s=10.5),)},
            "sink records: has been writing for 10.5 s",
        ),
    ],
)  # fmt: skip
def test_each_trouble_makes_it_unready_and_is_named(worse, reason):
    assert unready(vitals(**worse), SETTINGS) == [reason]


@pytest.mark.parametrize(
    "fine",
    [
        {"lag_s": 5.0},
        {"feeds": (replace(FEED, state="stale", age=290.0, usual=450.0),)},
        {"feeds": (replace(FEED, state="subscribing", age=290.0, usual=450.0),)},
        {"checkpoint": Checkpoint(1_400, 40.0, 0.2)},
        {"feeds": (replace(FEED, state="backoff"), FEED)},
        {"sinks": (replace(SINK, blocked_s=10.0, dropped=7, spilled=9),)},
        {"streams": {}, "waiting": 10_000},
    ],
)
def test_what_is_within_its_limit_is_no_trouble(fine):
    assert unready(vitals(**fine), SETTINGS) == []


def test_an_old_checkpoint_is_no_trouble_while_nothing_new_came():
    old = Checkpoint(WELL.seq, 3_600.0, 0.2)
    assert unready(vitals(checkpoint=old), SETTINGS) == []


def test_all_troubles_are_named_at_once():
    ill = vitals(state="starting", feeds=(), lag_s=9.0, finite=False)
    assert [reason.split(":")[0] for reason in unready(ill, SETTINGS)] == [
        "state", "feeds", "lag", "model",
    ]  # fmt: skip


def test_vitals_travel_as_json():
    assert msgspec.json.decode(msgspec.json.encode(WELL), type=Vitals) == WELL


def test_people_are_told_all_but_the_streams_with_the_limits_of_the_settings():
    settings = Daemon(checkpoint_every=Duration("30s"), catch_up_after=Duration("2s"))
    tree = told(WELL, settings, {"bounds": [1.0], "counts": [2.0, 3.0]})
    assert set(tree) == {
        *(set(WELL.__struct_fields__) - {"streams"}),
        "count", "unready", "limits", "latencies",
    }  # fmt: skip
    assert tree["limits"] == {
        "lag_s": settings.ready_lag.seconds,
        "catch_up_s": 2.0,
        "checkpoint_s": 60 * 30.0 + 10.0,
        "sink_s": 10.0,
    }
    assert (tree["count"], tree["unready"]) == (2, [])


def test_the_key_tells_after_which_multiple_of_it_a_checkpoint_is_due():
    told = {name: text for name, _, text in keys()}["daemon.checkpoint_every"]
    assert f"the longest is {LONGEST} times that" in told
