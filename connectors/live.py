"""A feed of live events from a venue, over as many connections as it takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connectors import recording
from connectors.backoff import End
from connectors.feed import chosen
from connectors.liveness import Liveness
from connectors.queue import Queue
from connectors.supervisor import Record, Status, Supervisor
from connectors.timing import Budget, Clock
from connectors.venue import open_venue
from connectors.websocket import Shard
from sfm_stream.config import duration_ns
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import Event, Tick

if TYPE_CHECKING:
    from sfm_stream.config import Config

SECOND = 10**9
CONNECTOR = "feed.connector"
BREATH = 64
"""Events after which other tasks get their turn, however fast the consumer is."""


class Live:
    """The events of a venue as they come.

    Args:
        config: feed and stream are used.
        records: are told of connections, frames and losses.
        clock: for stamps and durations.
        random: for jitter.
        budgets: connections per host; hand the same to feeds that share an address.

    Attributes:
        fields: names of a tick's values.

    Raises:
        ConfigError: if venue, channel or address cannot be meant, or no symbol is
            named.
        FeedError: if a field is not of the channel.
    """

    def __init__(
        self,
        config: Config,
        records: tuple[Record, ...] = (),
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        budgets: dict[str, Budget] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock or Clock()
        self._random = random or Random()  # noqa: S311 jitter hides nothing
        self._records, self._budgets = records, {} if budgets is None else budgets
        first = open_venue(config, config.feed.connector, CONNECTOR)
        self._url = recording.label(_address(first.url()), None)
        if not first.topics:
            problem = "expected what to subscribe to, was []"
            raise ConfigError("stream.symbols", problem, 'e.g. ["btcusdt"]')
        self._topics = first.topics
        self._chosen = chosen(first.fields, config.stream.fields, self._url)
        self._whole = len(self._chosen) == len(first.fields)
        self.fields = tuple(first.fields[i] for i in self._chosen)
        self._queue = Queue(config.feed.queue, config.feed.overload)
        self._supervisors = self._distributed(first.limits.topics)

    @property
    def counters(self) -> Counter[str]:
        """What became of frames and connections, by reason."""
        parts = [self._queue.counters, *(s.counters for s in self._supervisors)]
        return sum(parts, Counter())

    @property
    def waiting(self) -> int:
        """Events that wait in the queue."""
        return len(self._queue)

    def source(self) -> dict[str, Any]:
        """Give venue, channel, address and topics."""
        feed = self._config.feed
        return {
            "connector": feed.connector,
            "channel": feed.channel,
            "url": self._url,
            "topics": list(self._topics),
        }

    def total(self) -> int | None:
        """Give None: it has no end."""
        return None

    def status(self) -> list[Status]:
        """Give the state of each connection and topic."""
        return [supervisor.status() for supervisor in self._supervisors]

    async def events(self) -> AsyncGenerator[Event, None]:
        """Give the events as they come; closing the iterator closes the connections.

        Raises:
            FeedError: when no try can help any more.
        """
        running = asyncio.create_task(self._run())
        given = 0
        try:
            while (event := await self._queue.get()) is not None:
                yield self._narrowed(event)
                given += 1
                if not given % BREATH:
                    await asyncio.sleep(0)
        finally:
            running.cancel()
            await asyncio.wait([running])
        ends = await running
        reasons = "; ".join(dict.fromkeys(end.reason for end in ends))
        raise FeedError(self._url, reasons, "no further try can help")

    async def _run(self) -> list[End]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(s.run()) for s in self._supervisors]
        finally:
            self._queue.close()
        return [task.result() for task in tasks]

    def _narrowed(self, event: Event) -> Event:
        if self._whole or not isinstance(event, Tick):
            return event
        values = tuple(event.values[i] for i in self._chosen)
        return Tick(event.stream, event.time, values, event.received)

    def _distributed(self, most: int) -> list[Supervisor]:
        """Share the topics out among as few connections as may carry them."""
        parts = range(0, len(self._topics), most)
        several = len(parts) > 1
        return [
            self._supervisor(self._topics[at : at + most], i if several else None)
            for i, at in enumerate(parts, 1)
        ]

    def _supervisor(self, topics: tuple[str, ...], number: int | None) -> Supervisor:
        protocol = partial(
            open_venue, self._config, self._config.feed.connector, CONNECTOR
        )
        venue = protocol()
        quiet = venue.limits.quiet
        if self._config.feed.stale_after:
            given = self._config.feed.stale_after
            quiet = duration_ns("feed.stale_after", given) / SECOND
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
        )
        return Supervisor(shard, self._records, protocol, whole=number is None)

    def _budget(self, url: str, limit: tuple[int, float]) -> Budget:
        """Give the budget of connections to a host, the same for all of them."""
        host = urlsplit(url).netloc
        if host not in self._budgets:
            self._budgets[host] = Budget(self._clock, *limit)
        return self._budgets[host]


def _address(url: str) -> str:
    """Refuse what no websocket can be opened to."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        right = parts.scheme in ("ws", "wss") and bool(host)
        _ = parts.port
    except ValueError:
        right = False
    if not right:
        problem = f"expected an address, was {url!r}"
        raise ConfigError("feed.url", problem, "e.g. wss://host:443/path")
    return url
