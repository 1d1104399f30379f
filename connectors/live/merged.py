"""Merge several live feeds into one, for a model that learns from all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from connectors.live.endless import Endless
from connectors.live.queue import Queue
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import ALL_STREAMS, Block
from sfm_stream.feeds import Connection, LiveFeed

CAPACITY = 4_096
"""Most events in the common queue; further events stay in the feeds' own queues."""


class Named(LiveFeed, Protocol):
    """A live feed that knows the names of its streams."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the streams that the feed subscribes to."""


class Merged(Endless):
    """The events of several feeds in the order in which they arrive.

    When a feed ends, the others continue; its last status is kept.

    Args:
        feeds: at least one feed, each opened as one of several.
        source: description of the whole; by default the list of the feeds' own.

    Attributes:
        fields: names of a tick's values, the same for all feeds.

    Raises:
        ConfigError: if the fields differ, or two feeds have a stream of one name.
    """

    def __init__(
        self, feeds: Sequence[Named], source: Mapping[str, Any] | None = None
    ) -> None:
        self._feeds, self._source = tuple(feeds), source
        self._queue = Queue(len(feeds[0].fields), CAPACITY, "block")
        self._table = Table()
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
                    problem = (
                        f"expected streams of its own, was {topic!r} "
                        f"of feed[{owners[topic]}] too"
                    )
                    raise ConfigError(f"feed[{i}]", problem, "give it a feed.prefix")

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the streams that the feeds subscribe to."""
        return tuple(topic for feed in self._feeds for topic in feed.topics)

    @property
    def counters(self) -> Counter[str]:
        """Counts of frames and of what happened to the connections, by reason."""
        return sum((Counter(feed.counters) for feed in self._feeds), Counter())

    @property
    def waiting(self) -> int:
        """Number of events in the queues."""
        return len(self._queue) + sum(feed.waiting for feed in self._feeds)

    def source(self) -> dict[str, Any]:
        """Describe the source of each feed."""
        if self._source is not None:
            return dict(self._source)
        return {"feeds": [feed.source() for feed in self._feeds]}

    def status(self) -> list[Connection]:
        """Give the state of each connection and topic of each feed."""
        return [status for feed in self._feeds for status in feed.status()]

    async def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they arrive; closing the iterator closes the connections.

        Args:
            most: largest number of events in a block.

        Raises:
            FeedError: if all feeds have ended and none can connect any more.
        """
        following = asyncio.create_task(self._follow_all(most))
        try:
            async with aclosing(self._queue.batches(most)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            following.cancel()
            await asyncio.wait([following])
        if not following.cancelled():
            following.result()
        if len(self._ends) == len(self._feeds):
            raise self._ends[0]

    def stop(self) -> None:
        """Close the connections; give the queued events, then end the iteration."""
        for feed in self._feeds:
            feed.stop()

    async def _follow_all(self, most: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for i, feed in enumerate(self._feeds):
                    group.create_task(self._follow(i, feed, most))
        finally:
            self._queue.close()

    async def _follow(self, number: int, feed: Named, most: int) -> None:
        try:
            async with aclosing(feed.batches(most)) as batches:
                async for batch in batches:
                    self._queue.put_block(self._table.renumbered(number, batch))
                    if self._queue.full:
                        await self._queue.room()
        except FeedError as error:
            self._ends.append(error)


class Table:
    """A common table of stream names for the blocks of several feeds."""

    def __init__(self) -> None:
        self._streams: tuple[str, ...] = ()
        self._numbers: dict[str, int] = {}
        self._latest: dict[int, tuple[tuple[str, ...], NDArray[np.int32]]] = {}

    def renumbered(self, feed: int, block: Block) -> Block:
        """Convert a block of the feed with a number to the common table."""
        names, numbers = self._latest.get(feed, (None, None))
        if numbers is None or names is not block.streams:
            found = [self._number(name) for name in block.streams]
            numbers = np.array([*found, ALL_STREAMS], np.int32)
            self._latest[feed] = block.streams, numbers
        return replace(block, streams=self._streams, stream=numbers[block.stream])

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._streams)
            self._streams = (*self._streams, name)
        return self._numbers[name]
