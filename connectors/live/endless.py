"""The base of live feeds: the end is not known; events come in blocks or one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sfm_stream.events import Block, Event

BREATH = 64
"""Number of events after which other tasks run, however fast the consumer is."""


class Endless:
    """A live feed that gives its events as blocks."""

    def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they arrive, in blocks of at most `most` events."""
        raise NotImplementedError

    def events(self) -> AsyncGenerator[Event, None]:
        """Give the events as they arrive, one by one."""
        return _one_by_one(self.batches(BREATH))

    def total(self) -> int | None:
        """Give None: the number of events is not known."""
        return None


async def _one_by_one(
    batches: AsyncGenerator[Block, None],
) -> AsyncGenerator[Event, None]:
    """Give the events of batches one by one; closing this iterator closes `batches`."""
    async with aclosing(batches):
        async for batch in batches:
            for event in batch.events():
                yield event
