from __future__ import annotations

import logging

import pytest
from msgspec.structs import replace

from sfm_stream.daemon.status.model import Refused
from sfm_stream.daemon.status.refusals import (
    FEW,
    WINDOW_S,
    Refusals,
    account,
    listed,
    notices_of,
)
from sfm_stream.notices import Level
from tests.vitals_rig import FEED, WELL, vitals

INFO, WARNING = Level.INFO, Level.WARNING
MISSING = "value is missing"


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def elapsed(self):
        return self.seconds


def looked(*looks):
    """Give the alarm after each look: seconds, taken, refused ticks, garbage."""
    clock = Clock()
    refusals = Refusals(clock.elapsed)
    for seconds, taken, refused, garbage in looks:
        clock.seconds = seconds
        frames = {"garbage": garbage, "heartbeats": 9_999}
        refusals.look(taken, {MISSING: refused}, frames)
        yield refusals.alarm


def test_most_refused_is_an_alarm_with_the_reasons_the_most_frequent_first():
    (alarm,) = looked((1, 40, 5, 36))
    assert alarm == (
        "most of what arrived in the last minute was refused: garbage, value is missing"
    )


@pytest.mark.parametrize(
    ("taken", "refused", "is_up"),
    [(50, 50, False), (50, 51, True), (0, FEW - 1, False), (0, FEW, True)],
)
def test_half_is_not_most_and_a_few_are_not_told_of(taken, refused, is_up):
    (alarm,) = looked((1, taken, refused, 0))
    assert bool(alarm) == is_up


def test_the_alarm_goes_when_the_last_minute_was_better():
    alarms = list(looked(
        (1, 0, 100, 0), (30, 0, 100, 0), (WINDOW_S, 20, 100, 0),
        (WINDOW_S + 1, 20, 100, 0), (2 * WINDOW_S + 2, 20, 100, 0),
    ))  # fmt: skip
    assert [bool(alarm) for alarm in alarms] == [True, True, True, False, False]


def test_what_was_long_ago_does_not_hide_what_is_refused_now():
    alarms = list(looked((1, 10**6, 0, 0), (90, 10**6, 0, 0), (91, 10**6, 0, 50)))
    assert [bool(alarm) for alarm in alarms] == [False, False, True]


def test_beginning_and_end_are_logged_once(caplog):
    caplog.set_level(logging.INFO, "sfm_stream")
    list(looked((1, 0, 99, 0), (2, 0, 100, 0), (70, 50, 100, 0), (71, 60, 100, 0)))
    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [
        ("ERROR", "most of what arrives is refused"),
        ("INFO", "most of what arrives is taken again"),
    ]


def test_what_was_refused_is_listed_by_reason_and_by_connection():
    found = listed(WELL)
    assert (found["count"], found["of"], found["loud"]) == (5, 1_003, False)
    assert found["reasons"] == [
        {"where": "", "why": MISSING, "count": 2, "first": "stream 'ethusdt' event 7"},
        {"where": "wss://venue", "why": "garbage", "count": 3, "first": ""},
    ]


@pytest.mark.parametrize(("ticks", "level"), [(950, INFO), (9, WARNING)])
def test_a_run_is_told_as_a_warning_if_it_took_too_little(ticks, level):
    told = notices_of(account(vitals(ticks=ticks)))
    assert {notice.level for notice in told} == {level}
    assert "5 of" in told[0]


def test_a_run_that_took_little_is_loud_and_one_that_took_all_lists_nothing():
    bad = vitals(rejections={MISSING: Refused(900, "")}, ticks=1_000)
    assert listed(bad)["loud"]
    assert account(bad)["not_taken"] == 903
    clean = vitals(rejections={}, counters={}, feeds=(replace(FEED, counters={}),))
    assert listed(clean) == {"count": 0, "of": 1_000, "loud": False, "reasons": []}
