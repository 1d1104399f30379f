"""What becomes of a batch of live events: decide, journal, score, forecast, learn.

All of it happens in one thread, batch after batch, so the socket's loop never waits for
a disk or a kernel. Whatever depends on load or clock is decided before the journal and
written into it: a replay decides nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from sfm_stream.config import duration_ns
from sfm_stream.daemon.quarantine import Quarantine, rejections
from sfm_stream.errors import JournalError
from sfm_stream.events import TICK, Block, Control, Event, Floats, Gap, Tick
from sfm_stream.running import loops

if TYPE_CHECKING:
    from sfm_stream.engine import Engine
    from sfm_stream.records import Records
    from sfm_stream.settings import Daemon
    from sfm_stream.storage.journal import Journal

SECOND = 10**9
CALM = 0.25
"""Share of the age at which learning paused below which it goes on."""
LATENCIES = 8_192
"""How many latest latencies the percentiles are of."""


class Counts(msgspec.Struct):
    """What came so far.

    Attributes:
        ticks: per stream.
        rejected: per stream, by the engine.
        gaps: losses told by the feeds.
        received: when the latest tick of each stream reached us, ns.
    """

    ticks: Counter[str] = msgspec.field(default_factory=Counter)
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    gaps: int = 0
    received: dict[str, int] = msgspec.field(default_factory=dict)


class Stepper:
    """Takes batches of events, one after the other.

    Args:
        engine: observes and learns them.
        journal: takes them before the engine does.
        settings: when learning pauses, who is shut out, what a full disk means.
        deliver: takes the records, without waiting.
        watch: told of latencies, seconds [T] from receipt of each tick until its
            records were delivered.
        now: gives the time of day, ns.
        elapsed: gives seconds that never run backwards.

    Attributes:
        counts: what came so far.
        lag: age of the oldest event of the latest batch, seconds.
        catching_up: whether learning pauses for it.
        problem: why events are not journalled, or empty.
        measured: latencies measured so far.
        quarantine: who is let in.
        lock: held while the engine works.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        settings: Daemon,
        deliver: Callable[[Records], None],
        watch: Callable[[Floats], None] = lambda _: None,
        *,
        now: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._journal = engine, journal
        self._deliver, self._watch = deliver, watch
        self._now, self._elapsed = now, elapsed
        self.counts, self.lock = Counts(), threading.Lock()
        self.lag, self.catching_up, self.problem = 0.0, False, ""
        self.measured = 0
        self._latencies: Floats = np.full(LATENCIES, np.nan)
        self._decided: list[Event] = []
        self.obey(settings)

    def decide(self, event: Event) -> None:
        """Take an operator's decision before the next batch."""
        self._decided.append(event)

    def obey(self, settings: Daemon) -> None:
        """Go by other settings from now on; who is shut out is let in."""
        self._settings = settings
        self._patience = seconds("daemon.catch_up_after", settings.catch_up_after)
        term = seconds("daemon.quarantine", settings.quarantine)
        self.quarantine = Quarantine(settings.quarantine_after, term)

    def take(self, batch: Sequence[Event]) -> None:
        """Take the next events.

        Raises:
            JournalError: if they cannot be journalled and are to be; then the engine
                has not seen them.
        """
        with self.lock:
            events = self.quarantine.admit(batch, self._now(), self._elapsed())
            decided, self._decided = [*self._decided, *self._paced(batch)], []
            self._carry_out([*decided, *events])

    def go_on_journalled(self) -> None:
        """Journal again, from here on; a checkpoint of here and now must be saved.

        Raises:
            JournalError: if the disk is still full.
        """
        self._journal.skip_to(self._engine.seq)
        self.problem = ""
        self.take([Control("", self._now(), "journalled")])

    def sync(self) -> None:
        """Have what was journalled put on disk, without waiting.

        Raises:
            JournalError: if the disk refused before, and events are to be journalled.
        """
        if self.problem:
            return
        try:
            self._journal.sync_soon()
        except JournalError as error:
            self._decided += self._unjournalled(error)

    def latencies(self) -> Floats:
        """Give the latest latencies, seconds, in no order."""
        return self._latencies[: min(self.measured, LATENCIES)].copy()

    def _carry_out(self, events: list[Event]) -> None:
        block = self._block(events)  # refuses what the engine would, before it is kept
        if not self.problem:
            try:
                self._journal.append(events)
            except JournalError as error:
                block = self._block([*self._unjournalled(error), *events])
        self._step(block, self._count(events))

    def _block(self, events: Sequence[Event]) -> Block:
        return Block.of(events, len(self._engine.fields))

    def _step(self, block: Block, ticks: Counter[str]) -> None:
        said: list[Records] = []

        def deliver(records: Records) -> None:
            self._deliver(records)
            if not said:  # what is learned comes later
                self._measure(block)
            said.append(records)

        loops.step(block, self._engine, deliver)
        self.counts.rejected.update(rejections(said[0]))
        self.quarantine.note(ticks, said[0])

    def _paced(self, batch: Sequence[Event]) -> list[Event]:
        """Decide by the age of the oldest tick whether there is time to learn."""
        now = self._now()
        received = next((e.received for e in batch if isinstance(e, Tick)), now)
        self.lag = max(now - received, 0) / SECOND
        if not self.catching_up and self.lag > self._patience:
            self.catching_up = True
            return [Control("", now, "catch-up")]
        if self.catching_up and self.lag < CALM * self._patience:
            self.catching_up = False
            return [Control("", now, "caught-up")]
        return []

    def _unjournalled(self, error: JournalError) -> list[Event]:
        """Decide to go on without a journal, if that is wanted."""
        if self._settings.disk_full == "halt":
            raise error
        self.problem = str(error)
        return [Control("", self._now(), "unjournalled")]

    def _count(self, events: Sequence[Event]) -> Counter[str]:
        """Count events; give the ticks per stream."""
        ticks: Counter[str] = Counter()
        for event in events:
            if isinstance(event, Tick):
                ticks[event.stream] += 1
                self.counts.received[event.stream] = event.received
            elif isinstance(event, Gap):
                self.counts.gaps += 1
        self.counts.ticks.update(ticks)
        return ticks

    def _measure(self, block: Block) -> None:
        received = block.received[block.kind == TICK]
        if not len(received):
            return
        taken = np.maximum(self._now() - received, 0) / SECOND
        self._watch(taken)
        at = (self.measured + np.arange(len(taken))) % LATENCIES
        self._latencies[at] = taken
        self.measured += len(taken)


def seconds(at: str, text: str) -> float:
    """Read a duration as seconds.

    Raises:
        ConfigError: if it is none.
    """
    return duration_ns(at, text) / SECOND
