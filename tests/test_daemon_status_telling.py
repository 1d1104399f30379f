from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest
from msgspec.structs import replace

from sfm_stream.daemon.host.logs import BURST, logging_to
from sfm_stream.daemon.status.model import Checkpoint
from sfm_stream.daemon.status.telling import Telling, ending, stopped
from sfm_stream.errors import JournalError
from sfm_stream.feeds import Happening
from sfm_stream.notices import Level
from tests.vitals_rig import FEED, vitals


def ended(feeding, beating, *reasons):
    """Say why a process ended, whose two tasks end so; None: goes on."""

    async def live(error):
        if error is None:
            await asyncio.Event().wait()
        elif error:
            raise error

    async def run():
        tasks = [asyncio.create_task(live(error)) for error in (feeding, beating)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        feeds = [replace(FEED, reason=reason) for reason in reasons]
        found = ending(tasks, tasks[0].done(), feeds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found and (found.level, found)

    return asyncio.run(run())


FULL = JournalError("journal", "the disk is full")


@pytest.mark.parametrize(
    ("feeding", "beating", "reasons", "wanted"),
    [
        ("", None, ["the input has ended", "", "the input has ended"],
         (Level.INFO, "the feed has ended: the input has ended")),
        ("", None, [""], (Level.INFO, "the feed has ended: nothing more comes")),
        (FULL, None, [""],
         (Level.ERROR, "it cannot go on: JournalError: journal: the disk is full")),
        (None, FULL, [""],
         (Level.ERROR, "it cannot go on: JournalError: journal: the disk is full")),
        (KeyError("x"), None, [""], (Level.ERROR, "it cannot go on: KeyError: 'x'")),
    ],
)  # fmt: skip
def test_why_a_process_ends_is_told_with_the_reason(feeding, beating, reasons, wanted):
    assert ended(feeding, beating, *reasons) == wanted


def test_a_process_that_is_told_to_stop_says_nothing_of_its_feed():
    assert ending((), is_at_end=False, connections=[]) is None


def test_the_end_says_how_far_it_came_and_what_is_saved():
    saved = Checkpoint(5, 0.0, 0.0)
    well = stopped(vitals(seq=5, checkpoint=saved))
    assert (well.level, well) == (Level.INFO, "stopped at event 5, saved")
    ill = stopped(vitals(seq=7, checkpoint=replace(saved, problem="disk full")))
    told = "stopped at event 7, saved up to event 5: disk full"
    assert (ill.level, ill) == (Level.WARNING, told)


def test_what_happens_to_connections_is_logged_once(caplog):
    caplog.set_level(logging.INFO)
    telling, happened = Telling(), ()
    kinds = ("live", "closed", "gap", "live", "not opened", "given up")
    for i, kind in enumerate(kinds):
        happened = (*happened, Happening(i + 1, kind, "why"))
        telling.tell([replace(FEED, happened=happened, counters={})])
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("INFO", "connection: live"), ("WARNING", "connection: closed"),
        ("WARNING", "connection: gap"), ("INFO", "connection: live"),
        ("WARNING", "connection: not opened"), ("ERROR", "connection: given up"),
    ]  # fmt: skip
    assert {record.connection for record in caplog.records} == {"wss://venue"}


def test_a_clock_that_is_set_back_mutes_nothing(caplog):
    telling, live = Telling(), Happening(3_600, "live")
    telling.tell([replace(FEED, happened=(live,), counters={})])
    closed = Happening(5, "closed", "why")
    for _ in range(2):
        telling.tell([replace(FEED, happened=(live, closed), counters={})])
    assert [r.getMessage() for r in caplog.records] == ["connection: closed"]


def test_frames_that_were_not_taken_are_logged_by_reason_and_not_without_end():
    stream, telling = io.StringIO(), Telling()
    with logging_to(stream):
        for i in range(1, 100):
            counters = {"garbage": 2 * i, "heartbeats": i}
            first = {"garbage": "'{'"}
            one = replace(FEED, happened=(), counters=counters, examples=first)
            telling.tell([one])
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == BURST + 1
    assert lines[0]["garbage"] == 2
    assert lines[0]["first garbage"] == "'{'"
    assert "heartbeats" not in lines[0]
    assert lines[-1]["suppressed"] == 99 - BURST


def test_connections_are_told_of_one_by_one(caplog):
    late, early = Happening(2, "closed", "late"), Happening(1, "closed", "early")
    one, other = (
        replace(FEED, label=label, happened=(what,), counters={})
        for label, what in (("x", late), ("x (2)", early))
    )
    assert Telling().tell([one, other]) == [("x", late), ("x (2)", early)]
    assert [record.detail for record in caplog.records] == ["late", "early"]
