"""What happens to a batch of live events: decide, journal, score, forecast, learn.

All of it happens in one thread, batch after batch, so the socket's loop never waits for
a disk or a kernel. Whatever depends on load or clock is decided before the journal and
written into it: a replay decides nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from sfm_stream.daemon.hearing import heard
from sfm_stream.daemon.quarantine import Quarantine, rejections
from sfm_stream.daemon.status.latest import Latest
from sfm_stream.errors import JournalError, ShapeError
from sfm_stream.events import GAP, TICK, Block, Control, Event, Floats, Ints
from sfm_stream.events.blocks import concatenate
from sfm_stream.running import loops
from sfm_stream.settings.units import SECOND

if TYPE_CHECKING:
    from sfm_stream.engine import Engine
    from sfm_stream.records import Records
    from sfm_stream.settings import Daemon
    from sfm_stream.storage.journal import Journal

SHUT_OUT = "stream is shut out"
CALM = 0.25
"""Share of the age at which learning paused below which it goes on."""


class Counts(msgspec.Struct):
    """What came so far.

    Attributes:
        ticks: per stream.
        rejected: of them, by the engine or because the stream is shut out.
        reasons: of these: how many, and the first of them in words.
        gaps: losses told by the feeds.
        received: when the latest tick of each stream reached us, ns; of one that had
            none since the start, what the model remembers.
    """

    ticks: Counter[str] = msgspec.field(default_factory=Counter)
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    reasons: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)
    gaps: int = 0
    received: dict[str, int] = msgspec.field(default_factory=dict)

    def note(self, block: Block, received: Ints) -> Mapping[str, int]:
        """Count events; give the ticks per stream.

        Args:
            block: the events.
            received: when each of its ticks reached us, ns.
        """
        streams, names = block.stream, block.streams
        if len(received) < len(block):
            self.gaps += int((block.kind == GAP).sum())
            streams = streams[block.kind == TICK]
        ticks: dict[str, int] = {}
        for code, at in zip(streams.tolist(), received.tolist(), strict=True):
            name = names[code]
            ticks[name] = ticks.get(name, 0) + 1
            self.received[name] = at
        for name, count in ticks.items():
            self.ticks[name] += count
        return ticks

    def note_shut_out(self, block: Block) -> None:
        """Count ticks that were left out because their streams are shut out."""
        for name, count in self.note(block, block.received).items():
            self.rejected[name] += count
            before, first = self.reasons.get(SHUT_OUT, (0, ""))
            self.reasons[SHUT_OUT] = before + count, first or f"stream {name!r}"

    def note_rejected(self, records: Records) -> None:
        """Count the ticks the engine rejected, by stream and by reason."""
        if not records.count("rejected"):
            return
        self.rejected.update(rejections(records))
        columns = records.columns["rejected"]
        codes, texts = columns["reason"].tolist(), records.tables["rejected.reason"]
        for code, count in Counter(codes).items():
            before, first = self.reasons.get(texts[code], (0, ""))
            first = first or _told(records, codes.index(code))
            self.reasons[texts[code]] = before + count, first


class Stepper:
    """Takes batches of events, one after the other.

    Args:
        engine: observes and learns them.
        journal: takes them before the engine does.
        settings: when learning pauses, who is shut out, what a full disk means.
        deliver: takes the records, without waiting.
        watch: told of latencies, seconds [T] from receipt of each tick until its
            records were delivered.
        see: told of events before the engine observes them, and of the first's number.
        now: gives the time of day, ns.
        elapsed: gives seconds that never run backwards.

    Attributes:
        counts: what came so far.
        lag: age of the oldest event of the latest batch, seconds; 0 while none waits.
        catching_up: whether learning pauses for it.
        problem: why events are not journalled, or empty.
        latencies: seconds from receipt of ticks until their records were delivered.
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
        see: Callable[[int, Block], None] = lambda _, __: None,
        *,
        now: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._journal = engine, journal
        self._deliver, self._watch, self._see = deliver, watch, see
        self._now, self._elapsed = now, elapsed
        self.counts = Counts(received=heard(engine, now()))
        self.lock = threading.Lock()
        self.lag, self.catching_up, self.problem = 0.0, False, ""
        self.latencies = Latest()
        self._decided: list[Event] = []
        self.quarantine = Quarantine(*_limits(settings))
        self.obey(settings)

    def decide(self, event: Event) -> None:
        """Take an operator's decision before the next batch."""
        self._decided.append(event)

    def obey(self, settings: Daemon) -> None:
        """Go by other settings from now on; streams that are shut out stay so."""
        self._settings = settings
        self._patience = settings.catch_up_after.seconds
        self.quarantine.obey(*_limits(settings))

    def take(self, batch: Block) -> None:
        """Take the next events.

        Raises:
            JournalError: if they cannot be journalled and are to be; then the engine
                has not seen them.
        """
        with self.lock:
            now, elapsed = self._now(), self._elapsed()
            shut = self.quarantine.decide(now, elapsed)
            decided = [*self._decided, *self._paced(batch, now), *shut]
            self._decided = []
            let_in, left_out = self.quarantine.admit(batch, elapsed)
            if left_out is not None:
                self.counts.note_shut_out(left_out)
            self._carry_out(decided, let_in)

    def rest(self) -> None:
        """Note that no event waits: nothing is late, and learning goes on.

        Raises:
            JournalError: as `take` does.
        """
        if self.catching_up:
            self.take(self._block([]))
        self.lag = 0.0

    def totals(self) -> tuple[int, dict[str, int]]:
        """Count ticks since the start: those taken, and those refused by reason."""
        counts = self.counts
        refused = {why: count for why, (count, _) in counts.reasons.items()}
        return counts.ticks.total() - counts.rejected.total(), refused

    def go_on_journalled(self, mark: str) -> None:
        """Journal again, from here on; a checkpoint of here and now must be saved.

        Args:
            mark: that the checkpoint was saved with.

        Raises:
            JournalError: if the disk is still full.
        """
        self._journal.skip_to(self._engine.seq, mark)
        self.problem = ""
        self.take(self._block([Control("", self._now(), "journalled")]))

    def sync(self) -> None:
        """Have what was journalled put on disk; wait only where a segment ends.

        Raises:
            JournalError: if the disk refused before, and events are to be journalled.
        """
        if self.problem:
            return
        try:
            self._journal.rotate_early()
            self._journal.sync_soon()
        except JournalError as error:
            self._decided += self._unjournalled(error)

    def _carry_out(self, decided: Sequence[Event], events: Block) -> None:
        """Journal and step what was decided, and the events behind it."""
        width = len(self._engine.fields)
        if events.values.shape[1] != width:  # refused before it is journalled
            raise ShapeError("events", f"(T, {width})", str(events.values.shape))
        block = self._behind(decided, events)
        if not self.problem:
            try:
                self._journal.append(block)
            except JournalError as error:
                block = self._behind(self._unjournalled(error), block)
        received = _received(block)
        self._step(block, received, self.counts.note(block, received))

    def _behind(self, decided: Sequence[Event], events: Block) -> Block:
        return concatenate([self._block(decided), events]) if decided else events

    def _block(self, events: Sequence[Event]) -> Block:
        return Block.of(events, len(self._engine.fields))

    def _step(self, block: Block, received: Ints, ticks: Mapping[str, int]) -> None:
        said: list[Records] = []

        def deliver(records: Records) -> None:
            self._deliver(records)
            if not said:  # what is learned comes later
                self._measure(received)
            said.append(records)

        self._see(self._engine.seq, block)
        loops.step(block, self._engine, deliver)
        self.counts.note_rejected(said[0])
        self.quarantine.note(ticks, rejections(said[0]))

    def _paced(self, batch: Block, now: int) -> list[Event]:
        """Decide by the age of the oldest tick whether there is time to learn."""
        received = _received(batch)
        self.lag = max(now - int(received[0]), 0) / SECOND if len(received) else 0.0
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

    def _measure(self, received: Ints) -> None:
        if not len(received):
            return
        taken = np.maximum(self._now() - received, 0) / SECOND
        self._watch(taken)
        self.latencies.add(taken)


def _limits(settings: Daemon) -> tuple[int, float]:
    """Give how many rejected ticks in a row shut a stream out, and for how long."""
    return settings.quarantine_after, settings.quarantine.seconds


def _told(records: Records, at: int) -> str:
    """Say which tick was rejected, and for which field."""
    columns = records.columns["rejected"]
    stream = records.tables["stream"][int(columns["stream"][at])]
    field = records.tables["rejected.field"][int(columns["field"][at])]
    blamed = f" field {field!r}" if field else ""
    return f"stream {stream!r} event {int(columns['seq'][at])}{blamed}"


def _received(block: Block) -> Ints:
    """Give when the ticks of a block reached us, ns."""
    received = block.received
    return received if block.holds_ticks_alone else received[block.kind == TICK]
