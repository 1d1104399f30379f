"""What live feeds have in common: no end that is known, and events one by one too."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sfm_stream.events import Block, Event

BREATH = 64
"""Events after which other tasks get their turn, however fast the consumer is."""


class Endless:
    """A live feed that gives its events as blocks."""

    def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they come, as blocks of at most so many."""
        raise NotImplementedError

    def events(self) -> AsyncGenerator[Event, None]:
        """Give the events as they come, as `batches` does, one by one."""
        return _one_by_one(self.batches(BREATH))

    def total(self) -> int | None:
        """Give None: nobody knows when it ends."""
        return None


async def _one_by_one(
    batches: AsyncGenerator[Block, None],
) -> AsyncGenerator[Event, None]:
    """Give the events of batches; closing the iterator closes them."""
    async with aclosing(batches):
        async for batch in batches:
            for event in batch.events():
                yield event
