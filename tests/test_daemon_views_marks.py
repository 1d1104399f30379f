from __future__ import annotations

from sfm_stream.daemon.views import marks
from sfm_stream.daemon.views.marks import Marks


def test_marks_after_a_number_are_those_of_the_stream_and_of_all():
    found = Marks()
    for stream in ("", "a", "b", "a"):
        found.add(1.0, "gap", "cut off", stream)
    assert [mark.number for mark in found.since(0, "a")] == [1, 2, 4]
    assert [mark.number for mark in found.since(2, "a")] == [4]


def test_of_many_marks_the_latest_are_kept():
    found = Marks()
    for number in range(marks.MOST + 5):
        found.add(float(number), "gap", "")
    kept = list(found.since(0, "a"))
    assert len(kept) == marks.MOST
    assert kept[-1].number == found.last == marks.MOST + 5
