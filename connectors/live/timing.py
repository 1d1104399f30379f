"""Clock, budgets and waiting: the only place of the feeds that reads the time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any


class Clock:
    """The machine's clock; a test brings its own."""

    def now(self) -> int:
        """Give the time of day, ns since the epoch; it may step."""
        return time.time_ns()

    def elapsed(self) -> float:
        """Give seconds since some moment; they never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let other tasks go on meanwhile."""
        await asyncio.sleep(seconds)


class Budget:
    """At most so many in any stretch of that length: the next one waits.

    Args:
        clock: measures, and waits.
        count: most of them.
        seconds: length of the stretch.
    """

    def __init__(self, clock: Clock, count: int, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._times: deque[float] = deque(maxlen=count)

    async def take(self) -> None:
        """Take one, when there is one."""
        now = self._clock.elapsed()
        full = len(self._times) == self._times.maxlen
        at = max(now, self._times[0] + self._seconds) if full else now
        # It is taken before the wait, so that whoever asks meanwhile comes after.
        self._times.append(at)
        if at > now:
            await self._clock.sleep(at - now)


class Pace:
    """So many in a busy second, and those after a quiet moment without a wait.

    Args:
        pause: seconds from one to the next on the average of a busy moment.
        ahead: seconds by which one may come too early, after as long a quiet.
    """

    def __init__(self, pause: float, ahead: float) -> None:
        self._pause, self._ahead, self._next = pause, ahead, 0.0

    def note(self, now: float) -> None:
        """Count one."""
        self._next = max(self._next, now - self._ahead) + self._pause

    def wait(self, now: float) -> float:
        """Give the seconds until the next one; 0 or less: it is time."""
        return self._next - now


async def first_of(*waited: asyncio.Task[Any] | Coroutine[Any, Any, Any]) -> None:
    """Wait for the first to be done; tasks go on, coroutines are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, one in zip(tasks, waited, strict=True):
            if task is not one:
                task.cancel()
