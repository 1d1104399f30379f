from __future__ import annotations

from connectors.live.connection.history import KEPT, History
from sfm_stream.feeds import Happening


def test_the_latest_happenings_are_remembered():
    history = History()
    for i in range(KEPT + 5):
        history.note(i, "closed", f"for reason {i}")
    assert history.latest[0] == Happening(5, "closed", "for reason 5")
    assert len(history.latest) == KEPT


def test_a_reason_for_which_frames_are_not_taken_is_noted_when_it_is_new():
    history = History()
    history.count(1, {"garbage": 2, "heartbeats": 50}, {"garbage": "'{'"})
    history.count(2, {"garbage": 5, "heartbeats": 60}, {"garbage": "'{'"})
    history.count(3, {"garbage": 5, "absurd times": 1}, {})
    assert history.latest == (
        Happening(1, "not taken", "2 garbage, first '{'"),
        Happening(3, "not taken", "1 absurd times"),
    )
