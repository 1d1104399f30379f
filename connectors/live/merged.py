"""Several live feeds as one, for a model that learns from all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from connectors.live.feed import BREATH, Live, one_by_one
from connectors.live.supervisor import Status
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import Event


class Merged:
    """The events of several feeds in the order in which they come.

    A feed that ends is left out from then on; its last status stays.

    Args:
        feeds: at least one, none of them alone.

    Attributes:
        fields: names of a tick's values, the same for all of them.

    Raises:
        ConfigError: if the fields differ, or two feeds have a stream of one name.
    """

    def __init__(self, feeds: Sequence[Live]) -> None:
        self._feeds = tuple(feeds)
        self._ready: asyncio.Queue[list[Event]] = asyncio.Queue(len(feeds))
        self._ends: list[FeedError] = []
        self.fields = feeds[0].fields
        owners: dict[str, int] = {}
        for i, feed in enumerate(feeds):
            if feed.fields != self.fields:
                raise ConfigError(
                    f"feed[{i}]",
                    f"expected the fields {list(self.fields)}, was {list(feed.fields)}",
                    "choose with stream.fields, rename with feed.columns",
                )
            for topic in feed.topics:
                if owners.setdefault(topic, i) != i:
                    problem = f"stream {topic!r} is of feed[{owners[topic]}] already"
                    raise ConfigError(f"feed[{i}]", problem, "give it a feed.prefix")

    @property
    def counters(self) -> Counter[str]:
        """What became of frames and connections, by reason."""
        return sum((feed.counters for feed in self._feeds), Counter())

    @property
    def waiting(self) -> int:
        """Events that wait in the queues."""
        return sum(feed.waiting for feed in self._feeds)

    def source(self) -> dict[str, Any]:
        """Give what each of the feeds is."""
        return {"feeds": [feed.source() for feed in self._feeds]}

    def total(self) -> int | None:
        """Give None: it has no end."""
        return None

    def status(self) -> list[Status]:
        """Give the state of each connection and topic of each feed."""
        return [status for feed in self._feeds for status in feed.status()]

    def events(self) -> AsyncGenerator[Event, None]:
        """Give the events as they come, as `batches` does, one by one."""
        return one_by_one(self.batches(BREATH))

    async def batches(self, most: int) -> AsyncGenerator[list[Event], None]:
        """Give the events as they come; closing the iterator closes the connections.

        Args:
            most: events given at once, all of one feed.

        Raises:
            FeedError: when no try of any feed can help any more.
        """
        tasks = [asyncio.create_task(self._follow(feed, most)) for feed in self._feeds]
        left = len(tasks)
        try:
            while left:
                if batch := await self._ready.get():
                    yield batch
                else:
                    left -= 1
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if len(self._ends) == len(tasks):
            raise self._ends[0]

    def stop(self) -> None:
        """Close the connections; what waits is still given, then the events end."""
        for feed in self._feeds:
            feed.stop()

    async def _follow(self, feed: Live, most: int) -> None:
        try:
            async with aclosing(feed.batches(most)) as batches:
                async for batch in batches:
                    await self._ready.put(batch)
        except FeedError as error:
            self._ends.append(error)
        await self._ready.put([])
