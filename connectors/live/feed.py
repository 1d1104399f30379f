"""A feed of live events from a venue, over as many connections as its topics need."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from connectors.capture import format as recording
from connectors.live.connection.backoff import End
from connectors.live.connection.frames import PAUSE
from connectors.live.connection.liveness import Liveness
from connectors.live.connection.supervisor import Record, Supervisor
from connectors.live.connection.websocket import SUBSCRIBE, Shard
from connectors.live.endless import Endless
from connectors.live.queue import GATHER, Queue
from connectors.live.secrets import reveal, reveal_frame
from connectors.live.timing import Budget, Clock
from connectors.venues.options import URL
from connectors.venues.protocol import Limits, open_venue
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import Block
from sfm_stream.feeds import Connection, chosen

if TYPE_CHECKING:
    from sfm_stream.config import Config

CONNECTOR = "feed.connector"


class Live(Endless):
    """The events of a venue as they arrive.

    Args:
        config: feed and stream are used.
        records: observers of connections, frames and losses.
        clock: the clock for stamps and durations.
        random: the generator for jitter.
        budgets: budgets of connections by host; pass the same dict to all feeds that
            share an address.
        sharers: number of processes that share the limits of the same hosts.
        alone: whether this is the model's only feed, so that a loss of all its streams
            is a gap in all streams.
        gather: least seconds between batches of few events.
        pause: seconds between reads of a busy socket, if frames are not recorded.

    Attributes:
        fields: names of a tick's values.

    Raises:
        ConfigError: if venue, channel or address is invalid, or no symbol is
            named.
        FeedError: if the channel lacks a wanted field.
    """

    def __init__(
        self,
        config: Config,
        records: tuple[Record, ...] = (),
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        budgets: dict[str, Budget] | None = None,
        sharers: int = 1,
        alone: bool = True,
        gather: float = GATHER,
        pause: float = PAUSE,
    ) -> None:
        self._config, self._alone, self._gather = config, alone, gather
        self._sharers, self._pause = sharers, pause
        self._clock = clock or Clock()
        self._random = random or Random()  # noqa: S311 jitter hides nothing
        self._records, self._budgets = records, {} if budgets is None else budgets
        first = open_venue(config, config.feed.connector, CONNECTOR)
        _expect_address(reveal(first.url(), URL))
        self._url = recording.label(first.url(), None)
        if not first.topics:
            problem = "expected symbols to subscribe to, was none"
            raise ConfigError("stream.symbols", problem, 'e.g. ["btcusdt"]')
        self._topics = first.topics
        for frame in first.subscribe(first.topics):
            reveal_frame(frame, SUBSCRIBE)  # a missing secret is reported now
        there = _renamed(first.fields, config.feed.columns)
        self._chosen = chosen(there, config.stream.fields, self._url)
        self._whole = len(self._chosen) == len(there)
        self.fields = tuple(there[i] for i in self._chosen)
        self._running: asyncio.Task[list[End]] | None = None
        self._stopped = False
        self._queue = Queue(len(there), config.feed.queue, config.feed.overload)
        self._names: tuple[tuple[str, ...], tuple[str, ...]] = (), ()
        self._supervisors = self._distributed(first.limits)

    @property
    def counters(self) -> Counter[str]:
        """Counts of frames and of what happened to the connections, by reason."""
        parts = [self._queue.counters, *(s.counters for s in self._supervisors)]
        return sum(parts, Counter())

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the streams that the feed subscribes to."""
        return tuple(self._config.feed.prefix + topic for topic in self._topics)

    @property
    def waiting(self) -> int:
        """Number of events in the queue."""
        return len(self._queue)

    def source(self) -> dict[str, Any]:
        """Give the venue, the channel, the address and the topics."""
        feed = self._config.feed
        return {
            "connector": feed.connector,
            "channel": feed.options.get("channel", ""),
            "url": self._url,
            "topics": list(self._topics),
        }

    def status(self) -> list[Connection]:
        """Give the state of each connection and topic."""
        return [supervisor.status() for supervisor in self._supervisors]

    async def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they arrive; closing the iterator closes the connections.

        Args:
            most: largest number of events in a block.

        Raises:
            FeedError: if no further attempt to connect can succeed.
        """
        if self._stopped:
            return
        self._running = asyncio.create_task(self._run())
        # also if it is stopped before its first turn
        self._running.add_done_callback(lambda _: self._queue.close())
        try:
            async with aclosing(self._queue.batches(most, self._gather)) as batches:
                async for batch in batches:
                    yield self._told(batch)
        finally:
            self.stop()
            await asyncio.wait([self._running])
        if not self._running.cancelled():
            ends = self._running.result()
            reasons = "; ".join(dict.fromkeys(end.reason for end in ends))
            raise FeedError(self._url, reasons, "no further try can help")

    def stop(self) -> None:
        """Close the connections; give the queued events, then end the iteration."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> list[End]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(s.run()) for s in self._supervisors]
        return [task.result() for task in tasks]

    def _told(self, block: Block) -> Block:
        """Select the wanted fields, and add the prefix to the streams' names."""
        if not self._whole:
            values = np.ascontiguousarray(block.values[:, self._chosen])
            block = replace(block, values=values)
        prefix = self._config.feed.prefix
        if not prefix:
            return block
        if self._names[0] is not block.streams:
            told = tuple(prefix + name for name in block.streams)
            self._names = block.streams, told
        return replace(block, streams=self._names[1])

    def _distributed(self, limits: Limits) -> list[Supervisor]:
        """Distribute the topics over as few connections as the venue's limits allow."""
        parts = shared_out(self._topics, limits)
        several = len(parts) > 1
        return [
            self._supervisor(part, i if several else None)
            for i, part in enumerate(parts, 1)
        ]

    def _supervisor(self, topics: tuple[str, ...], number: int | None) -> Supervisor:
        protocol = partial(
            open_venue, self._config, self._config.feed.connector, CONNECTOR
        )
        venue = protocol()
        quiet = venue.limits.quiet
        if self._config.feed.stale_after:
            quiet = self._config.feed.stale_after.seconds
        shard = Shard(
            label=recording.label(venue.url(), number),
            venue=venue,
            topics=topics,
            clock=self._clock,
            random=self._random,
            connects=self._budget(venue.url(), venue.limits.connects),
            queue=self._queue,
            liveness=Liveness(topics, quiet),
            logs=self._records,
            wanted=self._wanted(),
            # a recording needs the exact time of each frame
            pause=0.0 if self._records else self._pause,
        )
        whole = number is None and self._alone
        return Supervisor(shard, self._records, protocol, whole=whole)

    def _wanted(self) -> frozenset[str] | None:
        """Give the streams whose ticks are handed on, or None for all streams."""
        stream = self._config.stream
        return frozenset((*self._topics, stream.name)) if stream.symbols else None

    def _budget(self, url: str, limit: tuple[int, float]) -> Budget:
        """Give the budget of connections to a host, shared by all connections to it."""
        host = urlsplit(url).netloc
        if host not in self._budgets:
            count, seconds = limit
            most = max(count // self._sharers, 1)
            self._budgets[host] = Budget(self._clock, most, seconds)
        return self._budgets[host]


def shared_out(topics: Sequence[str], limits: Limits) -> list[tuple[str, ...]]:
    """Divide topics into parts, each within the limits of one connection."""
    most, besides = limits.characters or (0, 0)
    parts: list[tuple[str, ...]] = []
    part: list[str] = []
    size = 0
    for topic in topics:
        size += len(topic) + besides
        if part and (len(part) == limits.topics or (most and size > most)):
            parts.append(tuple(part))
            part, size = [], len(topic) + besides
        part.append(topic)
    return [*parts, tuple(part)]


def _renamed(fields: tuple[str, ...], columns: Mapping[str, str]) -> list[str]:
    """Rename the fields of a venue as `feed.columns` says."""
    if set(columns) <= set(fields):
        return list(fields)  # the protocol uses these names already
    names = {column: field for field, column in columns.items()}
    return [names.get(field, field) for field in fields]


def _expect_address(url: str) -> None:
    """Refuse an address that is not valid for a websocket."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        right = parts.scheme in ("ws", "wss") and bool(host)
        _ = parts.port
    except ValueError:
        right = False
    if not right:
        problem = f"expected an address, was {url!r}"
        raise ConfigError(URL, problem, "e.g. wss://host:443/path")
