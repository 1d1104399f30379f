"""Measures delays of the loop: how much later than requested a timer fires.

Sockets, pages and timers wait while a call blocks the loop. Look here first when a
process is slow and its processor is not busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np

from sfm_stream.daemon.status.latest import Latest

PAUSE = 0.01
"""Seconds between two measurements: shorter delays are seen only in part."""


class Pulse:
    """Measures delays of the loop with a repeated timer.

    Args:
        watch: takes each delay, seconds.
        sleep: sleeps for a number of seconds.
        elapsed: gives the seconds of a monotonic clock.

    Attributes:
        late: the latest delays, seconds.
    """

    def __init__(
        self,
        watch: Callable[[float], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        elapsed: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._watch, self._sleep, self._elapsed = watch, sleep, elapsed
        self.late = Latest()

    async def beat(self) -> None:
        """Measure until cancelled."""
        while True:
            asked = self._elapsed() + PAUSE
            await self._sleep(PAUSE)
            late = max(self._elapsed() - asked, 0.0)
            self._watch(late)
            self.late.add(np.array([late]))
