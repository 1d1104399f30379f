"""Live feeds that are read in processes of their own.

Sockets, TLS, decompression and decoding are the reader's; what comes out of its pipe is
put into a short queue. A reader that dies is started again, and what it held is a
`Gap`. While the model is slow nothing is taken from the pipe.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from random import Random
from socket import socket, socketpair
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.live.connection.backoff import Backoff
from connectors.live.connection.states import State
from connectors.live.endless import Endless
from connectors.live.merged import CAPACITY, Named
from connectors.live.queue import Queue
from connectors.live.readers import process as reading
from connectors.live.readers.process import HEAD, Kind, Report
from connectors.live.timing import Clock
from sfm_stream.errors import FeedError
from sfm_stream.events import Block, Event, Gap
from sfm_stream.events.blocks import unpack
from sfm_stream.feeds import Connection

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from sfm_stream.config import Config

LOST = "readers lost"


class Remote(Endless):
    """A live feed that another process reads.

    Args:
        config: of the feed; it goes to the process.
        open_feed: opens the feed; called in the process, so it must be importable.
        feed: the same feed, opened here to be asked for its names; never read.
        alone: whether no other feed speaks to the same model, so that a loss of all
            its streams is a loss of everything.
        clock: for stamps and waits.
        random: for jitter.

    Attributes:
        fields: names of a tick's values.
        topics: names of the streams asked for.
    """

    def __init__(
        self,
        config: Config,
        open_feed: Callable[[Config], Named],
        feed: Named,
        *,
        alone: bool = True,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.fields, self.topics = feed.fields, feed.topics
        self._config, self._open, self._source = config, open_feed, feed.source()
        self._clock = clock or Clock()
        self._random = random or Random()  # noqa: S311 jitter hides nothing
        self._lost = ("",) if alone else feed.topics
        self._queue = Queue(len(feed.fields), CAPACITY, "block")
        self._report = Report(list(feed.status()))
        self._before: Counter[str] = Counter()
        self._running: asyncio.Task[None] | None = None
        self._mouth: asyncio.StreamWriter | None = None
        self._told_to_stop = False

    @property
    def counters(self) -> Counter[str]:
        """What became of frames, connections and readers, by reason."""
        return self._before + Counter(self._report.counters)

    @property
    def waiting(self) -> int:
        """Events that wait, here or in the process that reads."""
        return len(self._queue) + self._report.waiting

    def source(self) -> dict[str, Any]:
        """Give what the feed is, wherever it is read."""
        return self._source

    def status(self) -> list[Connection]:
        """Give the state of each connection and topic, as last reported."""
        return list(self._report.status)

    async def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they come; closing the iterator ends the process.

        Args:
            most: events given at once, of those that wait.

        Raises:
            FeedError: when no try can help any more.
        """
        self._running = asyncio.create_task(self._keep())
        try:
            # the reader has gathered them already
            async with aclosing(self._queue.batches(most, gather=0.0)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self._running.cancel()
            await asyncio.wait([self._running])
        if not self._running.cancelled():
            self._running.result()

    def stop(self) -> None:
        """Have the connections closed; what waits is still given, then it ends."""
        self._told_to_stop = True
        if self._mouth is not None:
            self._mouth.write(reading.STOP)

    async def _keep(self) -> None:
        """Keep a process reading until told to stop, or no try can help."""
        backoff = Backoff(self._random)
        try:
            while not self._told_to_stop:
                heard = await self._once()
                if self._told_to_stop:
                    break
                if heard:
                    backoff.reset()
                await self._clock.sleep(backoff.delay())
        finally:
            self._queue.close()

    async def _once(self) -> bool:
        """Start a process and take what it says; say whether it had any data.

        Raises:
            FeedError: if no try can help, in the process's words.
        """
        process, ear, self._mouth = await self._started()
        if self._told_to_stop:
            self.stop()
        try:
            heard = await self._listen(ear)
            await asyncio.to_thread(process.join)
        finally:
            self._mouth.close()
            self._mouth = None
            process.kill()  # it may hang, or not know yet that nobody listens
            process.join()
        if not self._told_to_stop:
            self._note_lost(_ending(process.exitcode))
        return heard

    async def _started(
        self,
    ) -> tuple[SpawnProcess, asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socketpair()
        with theirs:
            process = _process(self._open, self._config, theirs)
            # to start a process takes longer than the loop may be held
            await asyncio.to_thread(process.start)
        return process, *(await asyncio.open_connection(sock=ours))

    async def _listen(self, ear: asyncio.StreamReader) -> bool:
        """Take messages until the other end is closed; say whether data came."""
        names: tuple[str, ...] = ()
        heard = False
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size, kind = HEAD.unpack(await ear.readexactly(HEAD.size))
                message = await ear.readexactly(size)
                match kind:
                    case Kind.BLOCK:
                        heard = True
                        self._queue.put_block(replace(unpack(message), streams=names))
                        if self._queue.full:
                            await self._queue.room()
                    case Kind.NAMES:
                        names = msgspec.msgpack.decode(message, type=tuple[str, ...])
                    case Kind.REPORT:
                        self._report = msgspec.msgpack.decode(message, type=Report)
                    case Kind.END:
                        end = msgspec.msgpack.decode(message, type=reading.End)
                        raise FeedError(end.where, end.problem, end.hint)
        return heard

    def _note_lost(self, reason: str) -> None:
        """Say that what the process held is lost."""
        time = self._clock.now()
        gaps: list[Event] = [Gap(stream, time, reason) for stream in self._lost]
        self._queue.put_block(Block.of(gaps, len(self.fields)))
        self._before = self.counters + Counter({LOST: 1})
        status = [
            msgspec.structs.replace(one, state=State.BACKOFF.value, reason=reason)
            for one in self._report.status
        ]
        self._report = Report(status)


def divided(config: Config, processes: int) -> list[Config]:
    """Divide the symbols of each feed among processes; give what each one reads.

    Args:
        config: with at least one feed.
        processes: most of them; none is left without a symbol.
    """
    feeds = (config.feed, *config.more_feeds)
    shares = []
    for number in range(processes):
        mine = [
            msgspec.structs.replace(feed, symbols=part)
            for place, feed in enumerate(feeds)
            if (part := _part(config, place, processes, number)) is not None
        ]
        if mine:
            first, *rest = mine
            shares.append(
                msgspec.structs.replace(config, feed=first, more_feeds=tuple(rest))
            )
    return shares


def _part(
    config: Config, place: int, processes: int, number: int
) -> tuple[str, ...] | None:
    """Give the symbols of a feed that one of the processes reads; None if it has none.

    A feed without symbols is read whole, by one of them.
    """
    feed = (config.feed, *config.more_feeds)[place]
    symbols = feed.symbols or config.stream.symbols
    first = (number - place) % processes
    if not symbols:
        return () if first == 0 else None
    return symbols[first::processes] or None


def _process(
    open_feed: Callable[[Config], Named], config: Config, end: socket
) -> SpawnProcess:
    spawned = multiprocessing.get_context("spawn")
    return spawned.Process(
        target=reading.read, args=(open_feed, config, end), name="reader", daemon=True
    )


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the reader was ended by {signal.Signals(-code).name}"
    return f"the reader ended with exit code {code}"
