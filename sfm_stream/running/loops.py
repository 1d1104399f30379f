"""The loops that feed the engine: the only ones.

Single events are observed, their records written, and only then learned from, so a
forecast leaves before any back-propagation. Blocks go through the same compiled tick
and say the same records.
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
        events: in order.
        engine: observes and learns them.
        write: takes the records of each event, first what was said, then what was
            learned.
    """
    for event in events:
        write(engine.observe(event))
        write(engine.learn())


def step(block: Block, engine: Engine, write: Callable[[Records], None]) -> None:
    """Feed what came together to the engine; the last event's answer leaves first.

    Args:
        block: in order.
        engine: observes and learns it.
        write: takes records as columns, first what was said, then what was learned
            from the last event.
    """
    write(engine.observe_block(block))
    write(engine.learn_block())


async def arun(
    batches: AsyncGenerator[Block, None],
    take: Callable[[Block], Awaitable[None]],
) -> None:
    """Hand over batches of live events, one after the other.

    Args:
        batches: in order, none of them empty; closed in the end.
        take: called with each of them.
    """
    async with aclosing(batches):
        async for batch in batches:
            await take(batch)


async def in_rounds(
    batches: AsyncGenerator[Block, None], seconds: float
) -> AsyncGenerator[Block, None]:
    """Join the batches that come within so long of the first one.

    Thousands of streams that tick one after another then take one step together. No
    event waits longer for its step than that.

    Args:
        batches: in order, none of them empty; closed in the end.
        seconds: that a round's first event waits for others; 0 for not at all.
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
    """Give what has come; None for an end or an error, which the next turn meets."""
    failed = coming.cancelled() or coming.exception() is not None
    return None if failed else coming.result()


async def _comes(coming: asyncio.Future[Block | None], seconds: float) -> bool:
    """Say whether it is there within so many seconds."""
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
        blocks: in order.
        engine: observes and learns every event of a block.
        write: takes the records of a block as columns.
        after_block: called when a block's records are written; the engine stands
            still meanwhile, so this is the moment for a checkpoint.
    """
    for block in blocks:
        write(engine.run(block))
        after_block()


def cut(blocks: Iterable[Block], seq: int, every: int) -> Iterator[Block]:
    """Cut blocks so that one ends at each multiple of `every` events.

    Args:
        blocks: in order.
        seq: number of events before them.
        every: events between cuts.
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
        feed: closed in the end.
        show: called with each event.
        count: events after which to end.
        seconds: after which to end.

    Returns:
        the number of events.

    Raises:
        FeedError: when no try can help any more.
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
