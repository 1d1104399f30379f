"""The loops that feed events to the engine; there are no others.

A single event is observed, its records are written, and only then is it learned from,
so a forecast leaves before any back-propagation. Blocks go through the same compiled
tick and give the same records.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, TypeAlias

from sfm_stream.events.blocks import concatenate

if TYPE_CHECKING:
    from sfm_stream.engine import Engine
    from sfm_stream.events import Block, Event
    from sfm_stream.feeds import LiveFeed
    from sfm_stream.records import Record, Records

    WriteRecords: TypeAlias = Callable[[Sequence[Record]], None]


def run(events: Iterable[Event], engine: Engine, write: WriteRecords) -> None:
    """Feed single events to the engine.

    Args:
        events: the events, in order.
        engine: observes and learns them.
        write: takes the records of each event, first those of `observe`, then those of
            `learn`.
    """
    for event in events:
        write(engine.observe(event))
        write(engine.learn())


def step(
    block: Block,
    engine: Engine,
    answer: Callable[[Records], None],
    learned: Callable[[Records], None],
) -> None:
    """Feed a batch to the engine; write its forecasts before learning the last event.

    Args:
        block: the events, in order.
        engine: observes and learns them.
        answer: takes the records of the batch as columns.
        learned: takes the records of learning from its last event.
    """
    answer(engine.observe_block(block))
    learned(engine.learn_block())


async def arun(
    batches: AsyncGenerator[Block, None],
    take: Callable[[Block], Awaitable[None]],
) -> None:
    """Pass batches of live events on, one after the other.

    Args:
        batches: non-empty batches in order; closed at the end.
        take: called with each batch.
    """
    async with aclosing(batches):
        async for batch in batches:
            await take(batch)


async def in_rounds(
    batches: AsyncGenerator[Block, None], seconds: float
) -> AsyncGenerator[Block, None]:
    """Join the batches that come within a time after the first one.

    Thousands of streams that tick one after another then take one step together. No
    event waits longer than `seconds` for its step.

    Args:
        batches: non-empty batches in order; closed at the end.
        seconds: time that the first event of a round waits for others; 0: none.
    """
    clock = asyncio.get_running_loop().time
    async with aclosing(batches):
        coming = asyncio.ensure_future(anext(batches, None))
        try:
            while (first := await coming) is not None:
                ends, parts = clock() + seconds, [first]
                coming = asyncio.ensure_future(anext(batches, None))
                while await _comes(coming, ends - clock()):
                    more = _more(coming)
                    if more is None:
                        break
                    parts.append(more)
                    coming = asyncio.ensure_future(anext(batches, None))
                yield concatenate(parts) if len(parts) > 1 else first
        finally:
            coming.cancel()
            await asyncio.wait([coming])


def _more(coming: asyncio.Future[Block | None]) -> Block | None:
    """Give the batch that came; None for an end or error: the next turn handles it."""
    failed = coming.cancelled() or coming.exception() is not None
    return None if failed else coming.result()


async def _comes(coming: asyncio.Future[Block | None], seconds: float) -> bool:
    """Wait at most this many seconds for a batch; say whether it came."""
    if seconds > 0:
        await asyncio.wait([coming], timeout=seconds)
    return seconds > 0 and coming.done()


def run_blocks(
    blocks: Iterable[Block],
    engine: Engine,
    write: Callable[[Records], None],
    after_block: Callable[[], None],
) -> None:
    """Feed blocks of events to the engine.

    Args:
        blocks: blocks of events, in order.
        engine: observes and learns every event of a block.
        write: takes the records of a block as columns.
        after_block: called when a block's records are written; the engine does not
            change meanwhile, so a checkpoint can be taken.
    """
    for block in blocks:
        write(engine.run(block))
        after_block()


def cut(blocks: Iterable[Block], seq: int, every: int) -> Iterator[Block]:
    """Cut blocks so that one ends at each multiple of `every` events.

    Args:
        blocks: blocks of events, in order.
        seq: number of events before the first block.
        every: number of events between cuts.
    """
    for block in blocks:
        start = 0
        while start < len(block):
            stop = min(len(block), start + every - seq % every)
            yield block[start:stop]
            seq += stop - start
            start = stop


async def show_live(
    feed: LiveFeed,
    show: Callable[[Event], None],
    *,
    count: int | None = None,
    seconds: float | None = None,
) -> int:
    """Show live events.

    Args:
        feed: the feed; closed at the end.
        show: called with each event.
        count: number of events after which to end.
        seconds: time after which to end.

    Returns:
        Number of events.

    Raises:
        FeedError: if the feed gives up.
    """
    shown = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(feed.events()) as events:
            async for event in events:
                show(event)
                shown += 1
                if shown == count:
                    break
    return shown
