"""Live feeds that are read in processes of their own.

The reader process does the work of sockets, TLS, decompression and decoding. Here its
blocks are received and put into a short queue. A reader that dies or hangs is started
again, and the loss of its events is a `Gap`. While the queue is full, no blocks are
received.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import chain, repeat
from random import Random
from socket import socket, socketpair
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.live.connection.backoff import Backoff
from connectors.live.connection.history import KEPT
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
from sfm_stream.feeds import Connection, Happening, counted_on

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from sfm_stream.config import Config

LOST = "readers lost"
LOOK = 1.0
"""Seconds between checks whether a reader has sent a message. It sends a report four
times as often, whatever its venue does."""
LATE = 5
"""Number of checks without a message after which a reader's last report is outdated."""
HUNG = 30
"""Number of checks without a message after which a reader is replaced. Checks are
counted, not timed: a suspended machine misses only one, and on a busy machine this
process must have run 30 times while the reader did not. A reader starts much faster."""


class Remote(Endless):
    """A live feed that another process reads.

    Args:
        config: configuration of the feed; it is sent to the process.
        open_feed: opens the feed in the process, so it must be importable.
        feed: the same feed, opened here for its names, and for its status until a
            process reports; it is never read.
        alone: whether this is the model's only feed, so that a loss of all its streams
            is a gap in all streams.
        clock: the clock for stamps and waits.
        random: the generator for jitter.

    Attributes:
        fields: names of a tick's values.
        topics: names of the streams that the feed subscribes to.
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
        self._feed, self._report = feed, Report([])
        self._happened: list[Happening] = []
        self._before: Counter[str] = Counter()
        self._earlier: list[Connection] = []
        self._running: asyncio.Task[None] | None = None
        self._mouth: asyncio.StreamWriter | None = None
        self._missed, self._listening = 0, True
        self._told_to_stop = False

    @property
    def counters(self) -> Counter[str]:
        """Counts of frames, and of what happened to connections and readers."""
        return self._before + Counter(self._report.counters)

    @property
    def waiting(self) -> int:
        """Number of events queued here and in the reader process."""
        return len(self._queue) + self._report.waiting

    def source(self) -> dict[str, Any]:
        """Describe the source, in the same way as a feed read in this process."""
        return self._source

    def status(self) -> list[Connection]:
        """Give the state of each connection and topic, as last reported.

        If the reader is silent for too long, each status has an alarm, and its age
        includes the silence.
        """
        found = self._connections()
        if self._missed < LATE:
            return found
        silence = self._missed * LOOK
        return [_silent(one, silence) for one in found]

    def _connections(self) -> list[Connection]:
        """Give the last report; add the reader's history to the first connection's."""
        found = self._counted()
        if not self._happened:
            return found
        first, *others = found
        happened = sorted((*first.happened, *self._happened), key=lambda one: one.time)
        return [msgspec.structs.replace(first, happened=tuple(happened)), *others]

    def _counted(self) -> list[Connection]:
        """Give the last report, with the counts of earlier readers."""
        found = self._report.status or self._feed.status()
        earlier = chain(self._earlier, repeat(None))
        return [counted_on(b, one) for b, one in zip(earlier, found, strict=False)]

    async def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they arrive; closing the iterator ends the process.

        Args:
            most: largest number of events in a block.

        Raises:
            FeedError: if no further attempt to connect can succeed.
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
        """Have the connections closed; give queued events, then end the iteration."""
        self._told_to_stop = True
        if self._mouth is not None:
            self._mouth.write(reading.STOP)

    async def _keep(self) -> None:
        """Keep a reader process running until told to stop or a final error."""
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
        """Start a process and receive its messages; say whether there were any events.

        Raises:
            FeedError: the process's own, if it reports a final error.
        """
        process, ear, self._mouth = await self._started()
        if self._told_to_stop:
            self.stop()
        self._missed = 0
        watching = asyncio.create_task(self._watch(process))
        try:
            heard = await self._listen(ear)
            await asyncio.to_thread(process.join)
        finally:
            watching.cancel()
            self._mouth.close()
            self._mouth = None
            process.kill()  # it may not have noticed yet that the socket is closed
            process.join()
        if not self._told_to_stop:
            hung = self._missed >= HUNG
            said = f"the reader said nothing for {HUNG * LOOK:.0f} s"
            self._note_lost(said if hung else _ending(process.exitcode))
        return heard

    async def _watch(self, process: SpawnProcess) -> None:
        """Count the checks without a message; kill a reader that hangs."""
        while self._missed < HUNG:
            await self._clock.sleep(LOOK)
            self._missed += self._listening
            if self._listening and self._missed == LATE:
                self._note(
                    "stalled", f"the reader has said nothing for {LATE * LOOK:.0f} s"
                )
        process.kill()

    def _note(self, kind: str, detail: str) -> None:
        """Add an entry to the reader's history."""
        latest = [*self._happened, Happening(self._clock.now(), kind, detail)]
        self._happened = latest[-KEPT:]

    async def _started(
        self,
    ) -> tuple[SpawnProcess, asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socketpair()
        with theirs:
            process = _process(self._open, self._config, theirs)
            # starting a process takes longer than the event loop may be blocked
            await asyncio.to_thread(process.start)
        return process, *(await asyncio.open_connection(sock=ours))

    async def _listen(self, ear: asyncio.StreamReader) -> bool:
        """Receive messages until the socket is closed; say whether events came."""
        names: tuple[str, ...] = ()
        heard = False
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size, kind = HEAD.unpack(await ear.readexactly(HEAD.size))
                message = await ear.readexactly(size)
                if self._missed >= LATE:
                    self._note("goes on", f"after {self._missed * LOOK:.0f} s")
                self._missed = 0
                match kind:
                    case Kind.BLOCK:
                        heard = True
                        self._queue.put_block(replace(unpack(message), streams=names))
                        await self._room()
                    case Kind.NAMES:
                        names = msgspec.msgpack.decode(message, type=tuple[str, ...])
                    case Kind.REPORT:
                        self._report = msgspec.msgpack.decode(message, type=Report)
                    case Kind.END:
                        end = msgspec.msgpack.decode(message, type=reading.End)
                        raise FeedError(end.where, end.problem, end.hint)
        return heard

    async def _room(self) -> None:
        """Wait until the queue has room; silence in this time is not the reader's."""
        self._listening = False
        if self._queue.full:
            await self._queue.room()
        self._listening = True

    def _note_lost(self, reason: str) -> None:
        """Report a gap, as the events in the process are lost."""
        time = self._clock.now()
        gaps: list[Event] = [Gap(stream, time, reason) for stream in self._lost]
        self._queue.put_block(Block.of(gaps, len(self.fields)))
        self._before = self.counters + Counter({LOST: 1})
        self._earlier = self._counted()
        closed = Happening(time, "closed", reason)
        status = [
            msgspec.structs.replace(
                one,
                state=State.BACKOFF.value,
                reason=reason,
                alarm=reason,
                counters={},  # the next reader's begin at 0
                happened=(*one.happened, closed)[-KEPT:],
            )
            for one in self._earlier
        ]
        self._report, self._missed = Report(status), 0


def divided(config: Config, processes: int) -> list[Config]:
    """Divide the symbols of each feed among processes; give each one's configuration.

    Args:
        config: configuration with at least one feed.
        processes: most processes; each gets at least one symbol.
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
    """Give the symbols of a feed that a process reads; None if it reads none.

    A feed without symbols is read by one process.
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


def _silent(one: Connection, seconds: float) -> Connection:
    """Update the status of a connection whose reader has been silent for `seconds`."""
    reason = f"the reader has said nothing for {seconds:.0f} s"
    live = one.state == State.LIVE.value
    return msgspec.structs.replace(
        one,
        state=State.STALE.value if live else one.state,
        age=None if one.age is None else one.age + seconds,
        reason=reason,
        alarm=reason,
    )


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the reader was ended by {signal.Signals(-code).name}"
    return f"the reader ended with exit code {code}"
