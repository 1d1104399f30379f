"""One websocket to a venue, from handshake to close; no other file opens one.

The reader stamps a frame, records it, lets the protocol turn it into events, and puts
these into the feed's queue. It does so at once, because confirmations and the age of
the data must be known however slow the model is; a protocol takes a few microseconds.
The reader does nothing else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from connectors.live.connection.backoff import End, judge
from connectors.live.connection.frames import Gathering
from connectors.live.connection.liveness import Liveness
from connectors.live.connection.subscriptions import Subscriptions
from connectors.live.queue import Queue
from connectors.live.secrets import reveal, reveal_frame
from connectors.live.timing import Budget, Clock, first_of
from connectors.stamps import SECOND
from connectors.venues.options import URL
from connectors.venues.protocol import (
    NOTICES,
    Alive,
    Departing,
    History,
    Notice,
    Refused,
    Subscribed,
    Venue,
)
from sfm_stream.errors import ConfigError
from sfm_stream.events import Tick

SUBSCRIBE = "feed.options.subscribe"
ANSWER = 10.0
"""Seconds to wait for the answer to a subscription."""
ROUNDS = 3
OPEN, CLOSE, PING = 10.0, 2.0, 20.0
BUFFERED = (1024, 256)
SLICE = 0.002
"""Seconds of reading after which other tasks run, even if frames are left."""


class Log(Protocol):
    """A log of connections and frames; its methods must not block."""

    def opened(self, label: str, time: int) -> None:
        """Note that a connection opened."""

    def sent(self, label: str, time: int, frame: bytes) -> None:
        """Note a sent frame."""

    def received(self, label: str, time: int, frame: bytes) -> None:
        """Note a received frame."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Some topics of a feed, and the objects that their connections share.

    Attributes:
        label: its name in recordings and errors.
        venue: the protocol, which is kept from one connection to the next.
        topics: the topics to subscribe to.
        clock: the clock for stamps and durations.
        random: the generator for jitter.
        connects: budget of connections to the host.
        queue: the queue for events.
        liveness: silences of the connection and the topics.
        logs: logs of connections and frames.
        wanted: names of the streams whose ticks are handed on; None for all.
        pause: seconds between reads of a busy socket.
        counters: counts of what happened, by name.
    """

    label: str
    venue: Venue
    topics: tuple[str, ...]
    clock: Clock
    random: Random
    connects: Budget
    queue: Queue
    liveness: Liveness
    logs: tuple[Log, ...] = ()
    wanted: frozenset[str] | None = None
    pause: float = 0.0
    counters: Counter[str] = field(default_factory=Counter)


class Link:
    """A connection of a shard.

    Args:
        shard: the shard with the topics.
        scout: a protocol of its own, for a connection whose frames are held until it
            replaces another one; without it events go to the queue at once.

    Attributes:
        subscriptions: the subscriptions and their answers so far.
        opened: when the handshake was done, s of the clock; None before.
        heard: whether data came.
        blocked: whether the reader waits for room in the queue.
        standing: set when the handshake is done.
        speaking: set when the first data came.
        ready: set when the connection has data and all topics are answered.
        leaving: set when the connection should be replaced.
        reason: why it should be replaced.
    """

    task: asyncio.Task[End]

    def __init__(self, shard: Shard, scout: Venue | None = None) -> None:
        self.subscriptions = Subscriptions(shard.topics)
        self.opened: float | None = None
        self.heard = self.blocked = False
        self.standing, self.speaking = asyncio.Event(), asyncio.Event()
        self.ready = asyncio.Event()
        self.leaving, self.reason = asyncio.Event(), ""
        self._shard = shard
        self._venue = shard.venue if scout is None else scout
        self._held: list[tuple[bytes, int]] | None = None if scout is None else []
        self._sent: list[tuple[bytes, int]] = []
        self._budget = Budget(shard.clock, *shard.venue.limits.messages)
        self._socket: ClientConnection | None = None
        self._answer = asyncio.Event()
        self._end: End | None = None

    async def run(self) -> End:
        """Connect, subscribe, and read until the connection ends; give the cause."""
        end = End("cancelled")
        limits = self._shard.venue.limits
        try:
            async with (
                connect(
                    reveal(self._shard.venue.url(), URL),
                    open_timeout=OPEN,
                    ping_interval=PING,
                    ping_timeout=PING,
                    close_timeout=CLOSE,
                    max_size=limits.largest,
                    max_queue=BUFFERED,
                    compression="deflate" if limits.compression else None,
                    create_connection=self._connection(),
                ) as socket,
                asyncio.TaskGroup() as tasks,
            ):
                self._socket = socket
                self._begin()
                tasks.create_task(self._subscribe())
                tasks.create_task(self._ping())
                await self._read(cast("Gathering", socket))
        except* (OSError, EOFError, WebSocketException) as errors:
            now = self._shard.clock.now() / SECOND
            end = self._end or judge(_first(errors), now)
        except* ConfigError as errors:  # a secret is gone since the start
            end = End(str(_first(errors)))
        return end

    def _connection(self) -> type[Gathering]:
        """Give the factory of connections, which the library calls like a class."""
        largest = self._shard.venue.limits.largest
        made = partial(Gathering, largest=largest, pause=self._shard.pause)
        return cast("type[Gathering]", made)

    async def close(self, end: End) -> None:
        """Close the connection for our own reason; frames before the end are read."""
        self._end = end
        if self._socket is None:
            self.task.cancel()
        else:
            await self._socket.close()
        await first_of(self.task)

    def replace(self, reason: str) -> None:
        """Ask for a new connection to replace this one."""
        self.reason = reason
        self.leaving.set()

    def promote(self) -> None:
        """Hand on the held frames, and all later frames at once."""
        held, self._held = self._held or [], None
        shard = self._shard
        self._venue = shard.venue
        shard.venue.opened()
        shard.liveness.opened(shard.clock.elapsed())
        for log in shard.logs:
            log.opened(shard.label, shard.clock.now())
            for frame, time in self._sent:
                log.sent(shard.label, time, frame)
        for frame, received in held:
            for notice in self._pass(frame, received):
                if isinstance(notice, History):  # other notices were handled before
                    self._note(notice)

    def _begin(self) -> None:
        """Note that the handshake is done."""
        self.opened = self._shard.clock.elapsed()
        if self._held is None:
            self.promote()
        self.standing.set()

    async def _read(self, socket: Gathering) -> None:
        """Read frames until the socket raises."""
        while True:
            frames = await socket.messages()
            await self._take(frames, self._shard.clock.now())

    async def _take(self, frames: Sequence[bytes], received: int) -> None:
        """Hand on frames that were read together."""
        queue, elapsed = self._shard.queue, self._shard.clock.elapsed
        begun = elapsed()
        for frame in frames:
            if self._held is None:
                notices = self._pass(frame, received)
            else:
                self._held.append((frame, received))
                notices = self._scouted(frame, received)
            for notice in notices:
                self._note(notice)
            if queue.full:
                self.blocked = True
                await queue.room()
                self.blocked = False
            if elapsed() - begun > SLICE:  # many frames would block the event loop
                await asyncio.sleep(0)
                begun = elapsed()

    def _pass(self, frame: bytes, received: int) -> list[Notice]:
        """Record a frame, and put its events into the queue; give the notices."""
        shard = self._shard
        notices: list[Notice] = []
        for log in shard.logs:
            log.received(shard.label, received, frame)
        for said in self._venue.receive(frame, received):
            if isinstance(said, Tick):
                self._hear(said.stream)
                shard.liveness.data(said.stream, shard.clock.elapsed())
                if shard.wanted is not None and said.stream not in shard.wanted:
                    shard.counters["unwanted"] += 1
                    continue
            elif isinstance(said, NOTICES):
                notices.append(said)
                continue
            shard.queue.put(said)
        return notices

    def _scouted(self, frame: bytes, received: int) -> list[Notice]:
        """Read a held frame with the scout protocol; give the notices."""
        notices: list[Notice] = []
        for said in self._venue.receive(frame, received):
            if isinstance(said, NOTICES):
                notices.append(said)
            elif isinstance(said, Tick):
                self._hear(said.stream)
        return notices

    def _hear(self, stream: str) -> None:
        """Note data of a stream, which confirms its subscription too."""
        if not self.heard:
            self.heard = True
            self.speaking.set()
        if self.subscriptions.pending:
            self.subscriptions.data(stream)
            self._answered()
        elif not self.ready.is_set():
            self._answered()

    def _note(self, notice: Notice) -> None:
        """Act on a notice of the venue about the connection."""
        match notice:
            case Subscribed() | Refused():
                self.subscriptions.hear(notice)
                self._answered()
            case Departing():
                self.replace(f"the venue announced {notice.reason}")
            case Alive() if notice.topic:  # the topic's data has not changed
                self._hear(notice.topic)
                if self._held is None:
                    now = self._shard.clock.elapsed()
                    self._shard.liveness.data(notice.topic, now)
            case History() if self._held is None:
                self._shard.counters["history"] += 1

    def _answered(self) -> None:
        if self.subscriptions.answered:
            self._answer.set()
        if self.heard and not self.subscriptions.pending:
            self.ready.set()

    async def _subscribe(self) -> None:
        """Subscribe to the topics, then one at a time to those without an answer.

        If the venue has sent no answer at all, stop: some venues never answer.
        """
        subscriptions = self.subscriptions
        await self._ask(tuple(subscriptions.pending))
        for _ in range(ROUNDS):
            if not (subscriptions.pending and subscriptions.answers):
                break
            for topic in tuple(subscriptions.pending):
                await self._ask((topic,))
        if subscriptions.all_refused:
            words = ", ".join(sorted(set(subscriptions.refused.values())))
            await self._give_up(
                End(f"every subscription was refused: {words}", "fatal")
            )

    async def _ask(self, topics: tuple[str, ...]) -> None:
        """Send subscriptions, and wait for the answers at most `ANSWER` seconds."""
        frames = self._venue.subscribe(topics)
        self.subscriptions.ask(topics, len(frames))
        self._answer.clear()
        for frame in frames:
            await self._send(frame)
        self._answered()
        await first_of(self._answer.wait(), self._shard.clock.sleep(ANSWER))

    async def _ping(self) -> None:
        """Send the venue's own pings at intervals, if it requires them."""
        if self._shard.venue.limits.ping is None:
            return
        every, frame = self._shard.venue.limits.ping
        while True:
            await self._shard.clock.sleep(every)
            await self._send(frame)

    async def _send(self, frame: bytes) -> None:
        await self._budget.take()
        if self._socket is not None:
            await self._socket.send(reveal_frame(frame, SUBSCRIBE), text=True)
        time = self._shard.clock.now()
        if self._held is None:
            for log in self._shard.logs:
                log.sent(self._shard.label, time, frame)
        else:
            self._sent.append((frame, time))

    async def _give_up(self, end: End) -> None:
        """Close the connection from one of its own tasks; the reader then ends."""
        self._end = end
        if self._socket is not None:
            await self._socket.close()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the first error of a tree of exception groups."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
