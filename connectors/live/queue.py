"""The bounded queue between who reads a feed and who works on it.

What happens when it is full has a name: `block` lets the reader wait, and TCP the
venue; `conflate` keeps the latest tick of each stream; `drop_oldest` forgets the oldest
quarter and says so in a `Gap`. Ticks alone are ever dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from typing import Literal

from sfm_stream.events import Event, Gap, Tick

DROPPED = 4
"""One part in so many is dropped at a time, so that gaps stay few."""


class Queue:
    """Events in order, and as many of them as fit.

    Args:
        capacity: most events that wait, a few gaps aside.
        overload: what to do when one more comes.

    Attributes:
        counters: ticks conflated and dropped, and the most that ever waited.
    """

    def __init__(
        self, capacity: int, overload: Literal["block", "conflate", "drop_oldest"]
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.closed = False
        self._capacity, self._overload = capacity, overload
        self._events: deque[Event] = deque()
        self._some, self._room = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def head(self) -> Event | None:
        """The event that has waited longest."""
        return self._events[0] if self._events else None

    @property
    def full(self) -> bool:
        """Whether a reader that can wait should."""
        return self._overload == "block" and len(self._events) >= self._capacity

    def put(self, event: Event) -> None:
        """Add an event; a reader that does not mind `full` makes it grow."""
        if len(self._events) >= self._capacity and self._overload != "block":
            if self._overload == "conflate":
                self._conflate()
            if len(self._events) >= self._capacity:
                self._drop_oldest()
        self._events.append(event)
        if len(self._events) == 1:
            self._some.set()

    async def take(self, most: int) -> list[Event]:
        """Take the oldest events, at most so many; none when there will be no more."""
        while not self._events:
            if self.closed:
                return []
            self._some.clear()
            await self._some.wait()
        waiting = len(self._events)
        taken = [self._events.popleft() for _ in range(min(most, waiting))]
        if len(self._events) * 2 < self._capacity:
            self._room.set()
        return taken

    async def room(self) -> None:
        """Wait until half of the queue is free."""
        self.counters["blocked"] += 1
        self._room.clear()
        await self._room.wait()

    def close(self) -> None:
        """Let whoever waits know that nothing more comes."""
        self.closed = True
        self._some.set()

    def _conflate(self) -> None:
        """Keep the latest tick of each stream, where it stands."""
        kept: list[Event] = []
        later: set[str] = set()
        for event in reversed(self._events):
            if isinstance(event, Tick) and event.stream in later:
                self.counters["conflated"] += 1
                continue
            if isinstance(event, Tick):
                later.add(event.stream)
            kept.append(event)
        self._events = deque(reversed(kept))

    def _drop_oldest(self) -> None:
        """Turn the oldest events into one gap per stream."""
        count = max(1, len(self._events) // DROPPED)
        oldest: list[Event] = []
        dropped = 0
        while self._events and dropped < count:
            oldest.append(self._events.popleft())
            dropped += isinstance(oldest[-1], Tick)
        self.counters["dropped"] += dropped
        self._events.extendleft(reversed(_gaps(oldest)))


def _gaps(events: Iterable[Event]) -> list[Event]:
    """Say in one gap per stream what events there were; others than ticks stay."""
    gaps: dict[str, Gap] = {}
    others: list[Event] = []
    for event in events:
        if not isinstance(event, Tick | Gap):
            others.append(event)
            continue
        before = gaps.get(event.stream)
        if isinstance(event, Tick):
            missed = 1 if before is None else before.missed and before.missed + 1
            gap = Gap(event.stream, event.received, "dropped under load", missed)
        elif before is None:
            gap = event
        else:
            both = before.missed is not None and event.missed is not None
            missed = (before.missed or 0) + (event.missed or 0) if both else None
            reason = before.reason if before.missed else event.reason
            gap = Gap(event.stream, event.time, reason, missed)
        gaps[event.stream] = gap
    return [*others, *gaps.values()]
