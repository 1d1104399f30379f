"""The feed of a live process, which a reload may replace with another feed.

Counters run on over all feeds since the start.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sfm_stream.errors import ConfigError, InvalidState
from sfm_stream.events import Block, Gap
from sfm_stream.feeds import counted_on
from sfm_stream.notices import Say, info

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfm_stream.config import Config
    from sfm_stream.feeds import Connection, LiveFeed

MOST = 512
"""Most events per batch: many share the cost of a batch, and none waits for long."""
SOON = 1.0
"""Seconds that opening may take before the log names what it waits for."""
CHANGED = "the subscriptions were changed"


class Feeding:
    """Feeds that replace each other, as one feed.

    Args:
        open_feed: opens the feed of a configuration.
        say: takes a line for the log.
    """

    def __init__(self, open_feed: Callable[[Config], LiveFeed], say: Say) -> None:
        self._open, self._say = open_feed, say
        self._now: LiveFeed | None = None
        self._next: LiveFeed | None = None
        self._before: Counter[str] = Counter()
        self._connections: dict[str, Connection] = {}
        self._stopped = False

    @property
    def feed(self) -> LiveFeed:
        """The feed that is read now.

        Raises:
            InvalidState: if no feed is open yet.
        """
        if self._now is None:
            raise InvalidState("the feed: expected to be open, was not yet")
        return self._now

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""
        return self._now.waiting if self._now else 0

    @property
    def counters(self) -> Mapping[str, int]:
        """Numbers of frames and connections since the start, by outcome."""
        return self._before + Counter(self._now.counters if self._now else {})

    def status(self) -> list[Connection]:
        """Give the state of each connection, with its counts since the start.

        Feeds that share an address have connections with the same label: those after
        the first get a number, so that labels are unique.
        """
        found = self._now.status() if self._now else ()
        before = self._connections
        return [counted_on(before.get(one.label), one) for one in _numbered(found)]

    async def begin(self, config: Config) -> None:
        """Open the first feed; a thread waits for piped input.

        Raises:
            SFMStreamError: if it cannot be opened.
        """
        opening = asyncio.create_task(asyncio.to_thread(self._open, config))
        done, _ = await asyncio.wait([opening], timeout=SOON)
        if not done:
            self._say(info("waiting for the first line of what is piped in"))
        self._now = await opening

    def opened(self, config: Config) -> LiveFeed:
        """Open a feed that may replace this one.

        Raises:
            SFMStreamError: if it cannot be opened, or has other fields.
        """
        feed, fields = self._open(config), self.feed.fields
        if feed.fields != fields:
            problem = f"expected {fields}, was {feed.fields}"
            raise ConfigError("reload", problem, "a run keeps the fields it has")
        return feed

    def follow(self, feed: LiveFeed) -> None:
        """Stop this feed; another one replaces it once its events are taken."""
        self._next = feed
        self.feed.stop()

    def settle(self) -> None:
        """Let no other feed replace this one."""
        self._stopped = True

    def stop(self) -> None:
        """Stop the feed; waiting events are still taken, and no other feed follows."""
        self.settle()
        self.feed.stop()

    async def batches(self) -> AsyncGenerator[Block, None]:
        """Yield the events of the feed, and of the feeds that replace it."""
        while True:
            async with aclosing(self.feed.batches(MOST)) as batches:
                async for batch in batches:
                    yield batch
            if self._next is None or self._stopped:
                return
            self._replace(self._next)
            changed = Gap("", time.time_ns(), CHANGED)
            yield Block.of([changed], len(self.feed.fields))

    def _replace(self, feed: LiveFeed) -> None:
        self._before = Counter(self.counters)
        self._connections |= {one.label: one for one in self.status()}
        self._now, self._next = feed, None


def _numbered(connections: Iterable[Connection]) -> Iterator[Connection]:
    """Yield connections; repeated labels get a number: `x`, `x (2)`."""
    count = Counter[str]()
    for one in connections:
        count[one.label] += 1
        number = count[one.label]
        yield one if number == 1 else replace(one, label=f"{one.label} ({number})")
