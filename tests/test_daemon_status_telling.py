from __future__ import annotations

import io
import json
import logging

from msgspec.structs import replace

from sfm_stream.daemon.host.logs import BURST, logging_to
from sfm_stream.daemon.status.telling import Telling
from sfm_stream.feeds import Happening
from tests.vitals_rig import FEED


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
