"""The clock of live feeds, budgets and paces of actions, and waiting for tasks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any


class Clock:
    """The machine's clock; tests use their own."""

    def now(self) -> int:
        """Give the wall-clock time, ns since the epoch; it may step."""
        return time.time_ns()

    def elapsed(self) -> float:
        """Give the seconds since a fixed moment; they never decrease."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds; other tasks run meanwhile."""
        await asyncio.sleep(seconds)


class Budget:
    """Allows at most `count` actions in any period of `seconds`; more have to wait.

    Args:
        clock: the clock that measures and waits.
        count: most actions in a period.
        seconds: length of the period.
    """

    def __init__(self, clock: Clock, count: int, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._times: deque[float] = deque(maxlen=count)

    async def take(self) -> None:
        """Wait until one more action is allowed."""
        now = self._clock.elapsed()
        full = len(self._times) == self._times.maxlen
        at = max(now, self._times[0] + self._seconds) if full else now
        # Note the action before the wait, so that later calls queue behind it.
        self._times.append(at)
        if at > now:
            await self._clock.sleep(at - now)


class Pace:
    """Limits the average rate of actions; after a quiet period some need not wait.

    Args:
        pause: average seconds between actions while busy.
        ahead: seconds of quiet that can be saved up for actions without a wait.
    """

    def __init__(self, pause: float, ahead: float) -> None:
        self._pause, self._ahead, self._next = pause, ahead, 0.0

    def note(self, now: float) -> None:
        """Note one action."""
        self._next = max(self._next, now - self._ahead) + self._pause

    def wait(self, now: float) -> float:
        """Give the seconds until the next action; 0 or less if it is due."""
        return self._next - now


async def first_of(*waited: asyncio.Task[Any] | Coroutine[Any, Any, Any]) -> None:
    """Wait until one is done; other tasks go on, other coroutines are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, one in zip(tasks, waited, strict=True):
            if task is not one:
                task.cancel()
