from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.cells import zones
from sfm_stream.errors import ConfigError
from sfm_stream.events import NO_TIME

SECOND = 10**9
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo")


def ns(*moments):
    return np.array([np.datetime64(m, "ns").astype(np.int64) for m in moments])


def local(utc, zone):
    """Give local times as a naive logger writes them, by the standard library."""
    there = [
        datetime.fromtimestamp(t, ZoneInfo(zone)).replace(tzinfo=None) for t in utc
    ]
    return ns(*there)


def test_the_hour_that_comes_twice_is_read_twice():
    times = ns(
        "2024-10-27T01:30", "2024-10-27T02:00", "2024-10-27T02:30", "2024-10-27T02:00",
        "2024-10-27T02:30", "2024-10-27T03:00",
    )  # fmt: skip
    found = zones.Local("Europe/Berlin").utc(times)
    assert (np.diff(found) == 1800 * SECOND).all()


def test_an_hour_that_is_left_out_is_no_time():
    found = zones.Local("Europe/Berlin").utc(ns("2024-03-31T02:30", "2024-03-31T03:30"))
    assert found.tolist() == [NO_TIME, *ns("2024-03-31T01:30")]


@settings(max_examples=40)
@given(
    zone=st.sampled_from(ZONES),
    step=st.sampled_from([60, 600, 1800, 3600]),
    change=st.sampled_from(["2024-04-06", "2024-10-26", "2024-11-03", "2024-03-10"]),
    cut=st.integers(0, 400),
)
def test_local_times_of_a_steady_feed_come_back_however_they_are_cut(
    zone, step, change, cut
):
    # half an hour back is told from half an hour on by smaller steps alone
    assume(zone != "Australia/Lord_Howe" or step < 1800)
    begin = int(datetime.fromisoformat(f"{change}T00:00+00:00").timestamp())
    utc = list(range(begin - 43_200, begin + 2 * 86_400, step))
    times = local(utc, zone)
    reading = zones.Local(zone)
    found = np.concatenate([reading.utc(times[:cut]), reading.utc(times[cut:])])
    assert found.tolist() == [t * SECOND for t in utc]


def test_an_unread_time_does_not_move_those_behind_it_an_hour():
    times = ns("2024-10-27T02:30", "2024-10-27T02:00", "2024-10-27T02:45")
    reading = zones.Local("Europe/Berlin")
    found = reading.utc(np.insert(times, 2, NO_TIME))
    assert found.tolist() == [
        *ns("2024-10-27T00:30", "2024-10-27T01:00"), NO_TIME, *ns("2024-10-27T01:45"),
    ]  # fmt: skip
    assert reading.utc(np.array([NO_TIME])).tolist() == [NO_TIME]
    assert reading.utc(ns("2024-10-27T02:50")).tolist() == [*ns("2024-10-27T01:50")]


@settings(max_examples=40)
@given(
    lost=st.sets(st.integers(0, 107), max_size=60),
    cuts=st.sets(st.integers(0, 108), max_size=4),
)
def test_rows_without_a_time_change_nothing_of_the_others(lost, cuts):
    begin = int(datetime.fromisoformat("2024-10-26T20:00+00:00").timestamp())
    times = local(range(begin, begin + 9 * 3600, 300), "Europe/Berlin")
    times[sorted(lost)] = NO_TIME
    whole, alone = zones.Local("Europe/Berlin"), zones.Local("Europe/Berlin")
    for piece in np.split(times, sorted(cuts)):
        there = piece != NO_TIME
        found = whole.utc(piece)
        assert found[there].tolist() == alone.utc(piece[there]).tolist()
        assert (found[~there] == NO_TIME).all()


@pytest.mark.parametrize("zone", ["Europe/Berlim", "nowhere", "../etc"])
def test_a_zone_that_nobody_knows_is_refused(zone):
    with pytest.raises(ConfigError, match=r"feed\.options\.zone: expected a zone like"):
        zones.expect(zone)


def test_names_beside_times_are_read():
    times = ns(*["2024-05-01T00:00"] * 4)
    names = pl.Series(["EDT", "UTC", "Europe/Berlin", "XYZ"])
    hours = [(t - times[0]) / 3600 / SECOND for t in zones.named(times, names)[:3]]
    assert hours == [4, 0, -2]
    assert zones.named(times, names)[3] == NO_TIME
    assert zones.is_known("EDT")
    assert not zones.is_known("XYZ")
