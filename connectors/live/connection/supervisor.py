"""Keep a shard of topics connected, and report lost data.

A connection that will be closed is replaced before that: the frames of the new
connection are held until it has data for every topic and a grace period has passed.
Then the old connection is closed and read to its end, and the held frames go through
the same protocol, which drops by their ids the records that both have sent. A broken
connection is a `Gap`, and the next attempt waits for the backoff and the budget.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from connectors.live.connection.backoff import Backoff, End
from connectors.live.connection.history import History
from connectors.live.connection.outage import Outage
from connectors.live.connection.states import State, Step, after
from connectors.live.connection.websocket import Link, Log, Shard
from connectors.live.timing import first_of
from connectors.tally import Noting
from connectors.venues.protocol import Venue
from sfm_stream.events import Gap
from sfm_stream.feeds import TROUBLES, Connection

GRACE = 2.0
"""Seconds during which both connections are open, so that the slower catches up."""
PATIENCE = 30.0
"""Most seconds until a replacement has data for every topic."""
STEADY = 30.0
"""Seconds a connection with data must last for the next attempt to be immediate."""
BEAT = 1.0
BEATS_PER_SILENCE = 4
LIFE = (0.92, 0.96)
"""Range of the share of a venue's lifetime after which a connection is replaced."""


class Record(Log, Protocol):
    """A log that also notes ends of connections and losses."""

    def closed(self, label: str, time: int, reason: str) -> None:
        """Note that a connection closed."""

    def gap(self, label: str, gap: Gap) -> None:
        """Note a loss of data."""


class Supervisor:
    """Keeps the topics of a shard connected.

    Args:
        shard: topics, protocol and budgets.
        records: observers of connections and losses, in the order of events.
        protocol: makes a protocol like the shard's, to inspect held frames.
        whole: whether the shard has all topics of the model, so that one gap covers
            all streams.

    Attributes:
        state: the current state.
        reason: why the latest connection ended, or empty.
    """

    def __init__(
        self,
        shard: Shard,
        records: tuple[Record, ...],
        protocol: Callable[[], Venue],
        *,
        whole: bool,
    ) -> None:
        self.state, self.reason, self._alarm = State.INIT, "", ""
        self._since = shard.clock.elapsed()
        self._shard, self._records, self._protocol = shard, records, protocol
        self._streams = ("",) if whole else shard.topics
        self._backoff = Backoff(shard.random)
        self._history, self._outage = History(), Outage()
        self._link: Link | None = None
        self._lost = False
        self._renew: float | None = None

    async def run(self) -> End:
        """Keep connected until no further attempt can succeed; give the last error."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            try:
                while (end := await self._once()).kind != "fatal":
                    self._enter(Step.END)
                    await self._shard.clock.sleep(max(end.wait, self._delay()))
                self._give_up(end.reason)
            finally:
                self._enter(Step.STOP)
                watching.cancel()
        return end

    @property
    def counters(self) -> Counter[str]:
        """Counts of frames and of what happened to the connections, by reason."""
        return self._shard.counters + self._shard.venue.counters

    def status(self) -> Connection:
        """Give the present state of the connection and its topics."""
        now = self._shard.clock.elapsed()
        topics = {
            topic: (self._standing(topic, now), self._age(now, topic))
            for topic in self._shard.topics
        }
        return Connection(
            label=self._shard.label,
            state=self.state.value,
            seconds=now - self._since,
            age=self._age(now),
            reason=self.reason,
            topics=topics,
            counters=dict(self.counters),
            happened=self._history.latest,
            examples=self._examples(),
            usual=self._shard.liveness.expected(),
            alarm=self._alarm or self._down(now),
        )

    def _down(self, now: float) -> str:
        """Give the alarm if the connection has been down for long, or empty."""
        past = self._outage.seconds(now)
        return f"down for {past:.0f} s: {self.reason or 'no answer'}" if past else ""

    def _examples(self) -> dict[str, str]:
        """Give the first frame of each trouble; not all venues keep these."""
        counters = self._shard.venue.counters
        examples = counters.examples if isinstance(counters, Noting) else {}
        return {why: examples[why] for why in TROUBLES if why in examples}

    def _age(self, now: float, topic: str = "") -> float | None:
        heard = self._shard.liveness.heard(topic)
        return None if heard is None else now - heard

    def _standing(self, topic: str, now: float) -> str:
        asked = self._link.subscriptions if self._link else None
        if asked is None or topic in asked.pending:
            return "pending"
        if topic in asked.refused:
            return "refused"
        return "stale" if self._shard.liveness.stale(now, topic) else "live"

    async def _once(self) -> End:
        """Keep a connection, and those that replace it, until the last one ends."""
        self._enter(Step.TRY)
        await self._shard.connects.take()
        try:
            async with asyncio.TaskGroup() as group:
                link = self._link = self._open(group, Link(self._shard))
                follow = group.create_task(self._follow(link))
                while not link.task.done():
                    await first_of(link.task, link.leaving.wait())
                    if not link.task.done():
                        link = self._link = await self._replaced(group, link)
                follow.cancel()
        except asyncio.CancelledError:
            if link.opened is not None:
                self._note_closed("stopped")
            raise
        end = link.task.result()
        self._ended(link, end)
        return end

    def _open(self, group: asyncio.TaskGroup, link: Link) -> Link:
        link.task = group.create_task(link.run())
        life = self._shard.venue.limits.lifetime
        self._renew = life and (
            self._shard.clock.elapsed() + life * self._shard.random.uniform(*LIFE)
        )
        return link

    async def _follow(self, link: Link) -> None:
        """Enter the states from the handshake to the first data."""
        await link.standing.wait()
        self._enter(Step.STAND)
        await link.speaking.wait()
        self._enter(Step.SPEAK)

    async def _replaced(self, group: asyncio.TaskGroup, old: Link) -> Link:
        """Open a new connection; give the new one, or the old one if it must stay."""
        shard = self._shard
        reason, heard = old.reason, shard.liveness.heard()
        old.leaving.clear()
        await shard.connects.take()
        new = self._open(group, Link(shard, self._protocol()))
        await first_of(
            old.task, new.task, new.ready.wait(), shard.clock.sleep(PATIENCE)
        )
        quiet = heard == shard.liveness.heard()
        if not new.task.done() and (new.heard or quiet):
            await first_of(old.task, new.task, shard.clock.sleep(GRACE))
        if new.task.done() or not (new.heard or quiet or old.task.done()):
            return await self._kept(old, new)
        if old.task.done():
            end = old.task.result()
            if not new.ready.is_set():
                self._lose(end.reason)
        else:
            end = End(f"replaced: {reason}")
            await old.close(end)
        self._note_closed(end.reason)
        shard.counters["replaced"] += 1
        new.promote()
        if new.heard:
            self._enter(Step.SPEAK)
        return new

    async def _kept(self, old: Link, new: Link) -> Link:
        """Keep the old connection, as the new one did not work."""
        if not new.task.done():
            await new.close(End("the replacement brought no data"))
        self._shard.counters["not replaced"] += 1
        self._renew = self._shard.clock.elapsed() + self._backoff.delay()
        return old

    def _ended(self, link: Link, end: End) -> None:
        """Handle the end of a connection: backoff, history and gap."""
        shard = self._shard
        self.reason = end.reason
        shard.counters["ended"] += 1
        if link.heard:
            self._backoff.reset()
            self._lost = False
        if link.opened is None:
            self._history.note_failed(shard.clock.now(), end.reason)
            return
        self._note_closed(end.reason)
        if not self._lost:
            self._lost = True
            self._lose(end.reason)

    def _give_up(self, reason: str) -> None:
        """Report that no further attempt to connect can succeed."""
        self._history.note(self._shard.clock.now(), "given up", reason)
        self._alarm = f"given up, as no further try can help: {reason}"

    def _delay(self) -> float:
        """Give the wait before the next attempt; 0 after a steady connection."""
        link, now = self._link, self._shard.clock.elapsed()
        opened = link.opened if link and link.heard else None
        if opened is not None and now - opened > STEADY:
            return 0.0
        return self._backoff.delay()

    def _note_closed(self, reason: str) -> None:
        time = self._shard.clock.now()
        self._history.note(time, "closed", reason)
        for record in self._records:
            record.closed(self._shard.label, time, reason)

    def _lose(self, reason: str, streams: tuple[str, ...] = ()) -> None:
        """Report a loss of data: put a gap in each stream."""
        time = self._shard.clock.now()
        self._history.note(time, "gap", reason)
        for stream in streams or self._streams:
            gap = Gap(stream, time, reason)
            for record in self._records:
                record.gap(self._shard.label, gap)
            self._shard.queue.put(gap)

    def _enter(self, step: Step) -> None:
        """Enter the state to which a step leads."""
        state = after(self.state, step)
        if state is self.state:
            return
        shard = self._shard
        self.state, self._since = state, shard.clock.elapsed()
        shard.counters[state.value] += 1
        if state in (State.CONNECTING, State.BACKOFF):
            self._outage.begin(self._since)
        elif state in (State.LIVE, State.CLOSED):
            self._outage.end()
        if state in (State.LIVE, State.STALE):
            self._history.note(shard.clock.now(), state.value)

    async def _watch(self) -> None:
        """Check ages, counters and outage at intervals."""
        quiet = self._shard.liveness.quiet
        while True:
            await self._shard.clock.sleep(min(BEAT, quiet / BEATS_PER_SILENCE))
            counters = self._shard.venue.counters
            self._history.count(self._shard.clock.now(), counters, self._examples())
            self._look_at_outage()
            if link := self._link:
                await self._look(link)

    def _look_at_outage(self) -> None:
        now = self._shard.clock.elapsed()
        if self._outage.is_news(now):
            self._history.note(self._shard.clock.now(), "down", self._down(now))

    async def _look(self, link: Link) -> None:
        shard, now = self._shard, self._shard.clock.elapsed()
        if link.opened is None or link.task.done():
            return
        self._outage.stands(now, link.opened)
        if link.blocked:  # the reader waits for room in the queue
            shard.liveness.opened(now)
            return
        if shard.liveness.dead(now):
            shard.liveness.gave_up()
            silence = shard.liveness.silence(now)
            await link.close(End(f"no data for {silence:.3g} s"))
            return
        if shard.liveness.stale(now):
            self._enter(Step.HUSH)
        elif self.state is State.STALE:
            self._enter(Step.SPEAK)
        if self._renew and now > self._renew:
            self._renew = None
            link.replace("its time is up")
        self._look_at_topics(link, now)

    def _look_at_topics(self, link: Link, now: float) -> None:
        """Replace a connection on which a topic is dead while others have data."""
        liveness = self._shard.liveness
        if len(self._shard.topics) == 1 or liveness.stale(now):
            return
        for topic in self._shard.topics:
            if topic in link.subscriptions.refused or not liveness.dead(now, topic):
                continue
            reason = f"no data for {liveness.silence(now, topic):.3g} s"
            liveness.gave_up(topic)
            self._lose(f"{topic}: {reason}", (topic,))
            link.replace(f"{topic}: {reason}")
