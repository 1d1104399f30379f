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


def test_that_no_connection_comes_to_be_is_noted_once_per_reason_until_one_is_live():
    history = History()
    for time, reason in enumerate(("refused", "refused", "timed out", "refused")):
        history.note_failed(time, reason)
    history.note(4, "live")
    history.note_failed(5, "refused")
    assert history.latest == (
        Happening(0, "not opened", "refused"),
        Happening(2, "not opened", "timed out"),
        Happening(4, "live"),
        Happening(5, "not opened", "refused"),
    )
