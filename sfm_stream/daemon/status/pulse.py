"""How long the loop is held: how much later than asked a timer fires.

Sockets, pages and timers wait while something holds the loop. Look here first when a
process is slow and its processor is not busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np

from sfm_stream.daemon.status.latest import Latest

PAUSE = 0.01
"""Seconds between two looks: what is held for less is seen in part."""


class Pulse:
    """Asks the loop again and again to come back soon.

    Args:
        watch: told of each look, seconds that the loop came back later than asked.
        sleep: waits so many seconds.
        elapsed: gives seconds that never run backwards.

    Attributes:
        late: the latest of these.
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
        """Look until cancelled."""
        while True:
            asked = self._elapsed() + PAUSE
            await self._sleep(PAUSE)
            late = max(self._elapsed() - asked, 0.0)
            self._watch(late)
            self.late.add(np.array([late]))
