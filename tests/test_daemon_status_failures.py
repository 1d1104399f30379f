from __future__ import annotations

import asyncio
import gc
import io
import json
import threading

from sfm_stream.daemon.host.logs import logging_to
from sfm_stream.daemon.status.failures import LONGEST, Failures


async def broken(error):
    raise error


def test_failures_are_counted_by_part_and_the_last_one_is_told():
    failures = Failures()
    assert failures.alarms() == []
    failures.note("views", KeyError("mean"))
    failures.note("views", ValueError("expected 2, was 3"))
    failures.note("pulse", TimeoutError())
    assert failures.counts == {"views": 2, "pulse": 1}
    assert failures.alarms() == [
        "views: ValueError: expected 2, was 3 (failures so far: 2)",
        "pulse: TimeoutError (failures so far: 1)",
    ]


def test_a_long_error_is_cut_in_the_alarm():
    failures = Failures()
    failures.note("views", ValueError("x" * 10_000))
    assert len(failures.alarms()[0]) < LONGEST + 60


def test_of_a_group_of_errors_the_first_one_is_told():
    inner = ExceptionGroup("inner", [OSError("gone"), KeyError("x")])
    failures = Failures()
    failures.note("reload", ExceptionGroup("outer", [inner]))
    assert failures.alarms() == ["reload: OSError: gone (failures so far: 1)"]


def test_the_log_has_the_part_the_problem_and_the_trace():
    stream = io.StringIO()
    with logging_to(stream):
        try:
            {}["mean"]
        except KeyError as error:
            Failures().note("views", error)
    line = json.loads(stream.getvalue())
    assert (line["part"], line["problem"]) == ("views", "KeyError: 'mean'")
    assert line["level"] == "error"
    assert "Traceback" in line["trace"]


def test_a_watched_task_that_fails_is_a_failure_and_one_that_ends_is_none():
    failures = Failures()

    async def run():
        tasks = [
            failures.watch(asyncio.create_task(broken(OSError("gone"))), "watchdog"),
            failures.watch(asyncio.create_task(asyncio.sleep(0)), "fine"),
            failures.watch(asyncio.create_task(asyncio.sleep(60)), "cancelled"),
        ]
        await asyncio.wait(tasks[:2])
        tasks[2].cancel()
        await asyncio.wait(tasks)

    asyncio.run(run())
    assert failures.counts == {"watchdog": 1}


def test_callbacks_forgotten_tasks_and_threads_are_overheard_and_no_longer_than_asked():
    failures = Failures()
    printed = threading.excepthook

    def fail():
        raise ValueError("in a callback or a thread")

    async def run():
        loop = asyncio.get_running_loop()
        with failures.overheard():
            loop.call_soon(fail)
            task = loop.create_task(broken(KeyError("forgotten")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            del task
            gc.collect()
            thread = threading.Thread(target=fail, name="closing prices")
            thread.start()
            thread.join()
        assert loop.get_exception_handler() is None

    asyncio.run(run())
    assert failures.counts == {"loop": 2, "closing prices": 1}
    assert threading.excepthook is printed
