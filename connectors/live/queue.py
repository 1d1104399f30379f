"""The bounded queue between the reader of a feed and the model.

Events are added one by one and leave as blocks of columns. A setting decides what
happens when the queue is full: `block` lets the reader wait, and through TCP the venue;
`conflate` keeps the latest tick of each stream; `drop_oldest` drops the oldest quarter
and reports it in a `Gap`. Only ticks are ever dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from typing import Literal

import numpy as np

from sfm_stream.events import TICK, Block, Event, Gap, Tick
from sfm_stream.events.blocks import concatenate, select
from sfm_stream.events.columns import Growing

GATHER = 0.001
"""Least seconds between batches of few events."""
DROPPED = 4
"""One part out of this number is dropped at a time, so that there are few gaps."""


class Queue:
    """A bounded queue of events.

    Args:
        width: number of values of a tick.
        capacity: most events in the queue, not counting a few gaps.
        overload: what to do with a further event when the queue is full.

    Attributes:
        counters: numbers of ticks conflated and dropped, and of waits of a reader.
    """

    def __init__(
        self,
        width: int,
        capacity: int,
        overload: Literal["block", "conflate", "drop_oldest"],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.closed = False
        self._capacity, self._overload, self._width = capacity, overload, width
        self._growing = Growing(width)
        self._blocks: deque[Block] = deque()
        self._count = 0
        self._some, self._room = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        """Whether a reader that is able to wait should wait."""
        return self._overload == "block" and self._count >= self._capacity

    def put(self, event: Event) -> None:
        """Add an event; with `block` the queue grows if the reader ignores `full`."""
        if self._count >= self._capacity and self._overload != "block":
            self._make_room()
        self._growing.add(event)
        self._count += 1
        if self._count == 1:
            self._some.set()

    def put_block(self, block: Block) -> None:
        """Add events that came together; with `block` the reader should heed `full`."""
        self._gather()
        self._blocks.append(block)
        self._count += len(block)
        if self._count > self._capacity and self._overload != "block":
            self._make_room()
        self._some.set()

    async def take(self, most: int) -> Block:
        """Wait for events, and take the oldest; give an empty block after the end.

        Args:
            most: largest number of events to take.
        """
        await self._coming()
        self._gather()
        taken = self._first(most)
        self._count -= len(taken)
        if self._count * 2 < self._capacity:
            self._room.set()
        return taken

    async def batches(
        self, most: int, gather: float = GATHER
    ) -> AsyncGenerator[Block, None]:
        """Give the queued events in batches until the queue is closed and empty.

        Events that come soon after a batch are gathered for the next batch, so that
        many ticks share the cost of a batch; a single tick after a pause is given at
        once. Other tasks run between batches.

        Args:
            most: largest number of events in a batch.
            gather: least seconds between batches, unless the next one is full already.
        """
        now = asyncio.get_running_loop().time
        while batch := await self.take(most):
            given = now()
            yield batch
            if len(self):
                await asyncio.sleep(0)
            await self._coming()
            rest = given + gather - now()
            if rest > 0 and len(self) < most and not self.closed:
                await asyncio.sleep(rest)

    async def room(self) -> None:
        """Wait until half of the queue is free, or the queue is closed."""
        if self.closed:
            return
        self.counters["blocked"] += 1
        self._room.clear()
        await self._room.wait()

    def close(self) -> None:
        """Release all waiting tasks: no more events are added, or nobody takes them."""
        self.closed = True
        self._some.set()
        self._room.set()

    async def _coming(self) -> None:
        """Wait until there is an event, or the queue is closed."""
        while not self._count and not self.closed:
            self._some.clear()
            await self._some.wait()

    def _gather(self) -> None:
        """Turn the events that were added one by one into a block."""
        if len(self._growing):
            self._blocks.append(self._growing.take())

    def _first(self, most: int) -> Block:
        """Take the first `most` events as one block."""
        taken: list[Block] = []
        count = 0
        while self._blocks and count < most:
            block = self._blocks.popleft()
            if count + len(block) > most:
                self._blocks.appendleft(block[most - count :])
                block = block[: most - count]
            taken.append(block)
            count += len(block)
        return concatenate(taken) if taken else Block.of([], self._width)

    def _make_room(self) -> None:
        self._gather()
        if self._overload == "conflate":
            self._conflate()
        if self._count >= self._capacity:
            self._drop_oldest()

    def _conflate(self) -> None:
        """Keep the latest tick of each stream in its place; drop the other ticks."""
        block = concatenate(self._blocks)
        ticks = np.flatnonzero(block.kind == TICK)
        latest = np.full(len(block.streams), -1)
        latest[block.stream[ticks]] = ticks  # the last tick of a stream wins
        keep = block.kind != TICK
        keep[latest[latest >= 0]] = True
        self._become(select(block, keep))
        self.counters["conflated"] += int(len(keep) - keep.sum())

    def _drop_oldest(self) -> None:
        """Replace the oldest ticks and gaps by one gap per stream."""
        block = concatenate(self._blocks)
        count = max(1, len(block) // DROPPED)
        ticks = np.flatnonzero(block.kind == TICK)[:count]
        cut = int(ticks[-1]) + 1 if len(ticks) == count else len(block)
        self.counters["dropped"] += len(ticks)
        gaps = Block.of(_gaps(block[:cut]), self._width)
        self._become(gaps, block[cut:])

    def _become(self, *blocks: Block) -> None:
        """Replace the content of the queue by these blocks."""
        self._blocks = deque(blocks)
        self._count = sum(map(len, blocks))


def _gaps(block: Block) -> list[Event]:
    """Join the ticks and gaps of a block into one gap per stream; keep other events."""
    gaps: dict[str, Gap] = {}
    others: list[Event] = []
    for event in block.events():
        if not isinstance(event, Tick | Gap):
            others.append(event)
            continue
        before = gaps.get(event.stream)
        if isinstance(event, Tick):
            missed = 0 if before is None else before.missed
            missed = None if missed is None else missed + 1
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
