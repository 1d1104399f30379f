"""Failures of parts other than the model: counted, logged and shown as alarms.

A live process has tasks, callbacks and threads that no other code waits for. An error
raised there is counted for its part, and logged with its trace. The alarm stays: the
part may go on, but something is missing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

LONGEST = 200
"""Most characters of an error in an alarm; the log has the whole error."""
LOOP = "loop"


class Failures:
    """Counts failures by part; any thread may report one.

    Attributes:
        counts: number of failures, by part.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._latest: dict[str, str] = {}
        self._lock = threading.Lock()

    def note(self, part: str, error: BaseException) -> None:
        """Count a failure of a part, and log it."""
        told = words(error)
        with self._lock:
            self.counts[part] += 1
            self._latest[part] = told
        extra = {"part": part, "problem": told}
        log.error("a part of the process failed", exc_info=error, extra=extra)

    def alarms(self) -> list[str]:
        """Give for each part its last error and the number of failures."""
        with self._lock:
            return [
                f"{part}: {self._latest[part]} (failures so far: {count})"
                for part, count in self.counts.items()
            ]

    def watch(self, task: asyncio.Task[Any], part: str) -> asyncio.Task[Any]:
        """Note the error of a task when it ends; give the task."""

        def look(ended: asyncio.Task[Any]) -> None:
            error = None if ended.cancelled() else ended.exception()
            if error is not None:
                self.note(part, error)

        task.add_done_callback(look)
        return task

    @contextmanager
    def overheard(self) -> Iterator[None]:
        """Note unhandled errors of the loop and of threads within a `with` block."""
        loop = asyncio.get_running_loop()
        handled, printed = loop.get_exception_handler(), threading.excepthook

        def of_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception") or RuntimeError(context["message"])
            self.note(LOOP, error)

        def of_thread(what: threading.ExceptHookArgs) -> None:
            if what.exc_value is not None:
                self.note(what.thread.name if what.thread else "", what.exc_value)

        loop.set_exception_handler(of_loop)
        threading.excepthook = of_thread
        try:
            yield
        finally:
            loop.set_exception_handler(handled)
            threading.excepthook = printed


def words(error: BaseException) -> str:
    """Write an error as one line; of a group of errors, the first error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    told = f"{type(error).__name__}: {error}".rstrip(": ")
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}..."
