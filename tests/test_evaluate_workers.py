from __future__ import annotations

import os
import signal

import pytest

from sfm_stream.errors import InvalidState
from sfm_stream.evaluate import workers


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_each_task_has_a_process_of_its_own():
    with workers.open_workers("", None) as (pool, most):
        assert most == 1
        running = {pool.submit(os.getpid): place for place in range(2)}
        found = dict(workers.finished(running))
    assert set(found) == {0, 1}
    assert len({*found.values(), os.getpid()}) == 3


def test_a_process_that_is_killed_is_told_in_words():
    with pytest.raises(InvalidState, match="one was ended from outside; perhaps for"):
        with workers.open_workers("", 1) as (pool, _):
            list(workers.finished({pool.submit(die): ""}))


def test_nothing_that_waits_is_begun_after_an_error():
    futures = []

    def interrupted():
        with workers.open_workers("", 1) as (pool, _):
            futures.extend(pool.submit(os.getpid) for _ in range(50))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert any(future.cancelled() for future in futures)
