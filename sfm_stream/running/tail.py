"""A look at live events as they come, for so many or so long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sfm_stream.events import Event


class Live(Protocol):
    """A feed that is going on."""

    def events(self) -> AsyncGenerator[Event, None]:
        """Give the events as they come.

        Raises:
            FeedError: when no try can help any more.
        """


async def tail(
    feed: Live,
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
