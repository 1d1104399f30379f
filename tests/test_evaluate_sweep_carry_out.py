from __future__ import annotations

from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import InvalidState
from sfm_stream.evaluate.sweep import carry_out, part


class Here(Executor):
    """Carries out in this process, and counts; stops at a part if asked.

    Args:
        last: parts after which it breaks as a killed process would.
    """

    def __init__(self, last=99):
        self.parts, self._last = [], last

    def submit(self, call, configs, *rest):
        future = Future()
        if len(self.parts) == self._last:
            future.set_exception(BrokenProcessPool("killed"))
            return future
        self.parts.append(len(configs))
        future.set_result(call(configs, *rest))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        del wait, cancel_futures


def tried(out, rates, ticks=(300,)):
    configs = [
        from_tree({
            "feed": {"connector": "synthetic", "options": {"ticks": count}},
            "model": {"states": 4, "frequencies": 2},
            "learn": {"lr": rate},
        })
        for count in ticks for rate in rates
    ]  # fmt: skip
    return carry_out.points(configs, open_feed, out)


def test_points_of_the_same_ticks_go_through_them_together(tmp_path):
    points = tried(tmp_path, [1e-3, 2e-3, 3e-3, 4e-3], ticks=(200, 300))
    assert [len(some) for some in carry_out.divide(points, 1)] == [4, 4]
    assert [len(some) for some in carry_out.divide(points, 4)] == [2, 2, 2, 2]
    assert [len(some) for some in carry_out.divide(points * 3, 1)] == [8, 4, 8, 4]


def test_a_sweep_that_was_stopped_goes_on_where_it_was(tmp_path):
    points = tried(tmp_path, [1e-3, 2e-3, 3e-3])
    pool = Here(last=2)
    with pytest.raises(InvalidState, match="what is done is kept"):
        carry_out.carry_out(points, open_feed, pool, parts=3)
    again, counts = Here(), []
    found = carry_out.carry_out(points, open_feed, again, parts=3, done=counts.append)
    assert again.parts == [1]
    assert counts == [2, 3]
    assert (
        found[2]["cells"] == part.measure([points[2].settings], open_feed)[0]["cells"]
    )
    third = Here()
    assert carry_out.carry_out(points, open_feed, third, parts=3) == found
    assert third.parts == []


def test_another_source_or_setting_is_measured_anew(tmp_path):
    before = {point.key for point in tried(tmp_path, [1e-3])}
    assert before.isdisjoint(point.key for point in tried(tmp_path, [2e-3]))
    assert before.isdisjoint(point.key for point in tried(tmp_path, [1e-3], (301,)))
    assert before == {point.key for point in tried(tmp_path, [1e-3])}
