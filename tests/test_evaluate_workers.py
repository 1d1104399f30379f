from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sfm_stream.errors import ConfigError, InvalidState
from sfm_stream.evaluate import workers

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def never_done():
    """Say on standard output which process this is, and go on for ever."""
    print(os.getpid(), flush=True)  # noqa: T201 the test reads it
    threading.Event().wait()


def wait_for_ever():
    """Wait for a task in another process that is never done."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with workers.processes(1) as pool:
        pool.submit(never_done).result()


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
    begun = [one for one in futures if not one.cancelled() and not one.exception()]
    assert len(begun) < len(futures)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_process_ends_when_its_parent_is_ended(how):
    program = f"from {__name__} import wait_for_ever; wait_for_ever()"
    with subprocess.Popen(  # noqa: S603 our own program
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:  # fmt: skip
        worker = int(parent.stdout.readline())
        parent.send_signal(how)
        try:
            # It is read to its end when the last process that could write has ended.
            parent.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            pytest.fail("the process goes on")
    assert parent.returncode != 0


def test_what_runs_is_ended_by_an_error():
    def fail():
        with workers.processes(1) as pool:
            pool.submit(never_done)
            raise ConfigError("here", "expected an error")

    with pytest.raises(ConfigError):
        fail()
