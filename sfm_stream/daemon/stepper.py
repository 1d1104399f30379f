"""Processes a batch of live events: decide, journal, score, forecast, learn.

One batch is processed at a time. Decisions that depend on load or clock are taken
before the batch is journalled, and are written into the journal: a replay repeats them.
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
"""Learning resumes below this share of the age at which it pauses."""


class Counts(msgspec.Struct):
    """Counts of events since the start.

    Attributes:
        ticks: number of ticks per stream.
        rejected: number of rejected ticks per stream, by the engine or because the
            stream is shut out.
        reasons: number and first of the rejected ticks, by reason.
        gaps: number of gaps reported by the feeds.
        received: receipt of each stream's latest tick, ns; for a stream without a tick
            since the start, the time from the model's state.
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
            received: receipt of each of its ticks, ns.
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
        """Count ticks that were dropped because their streams are shut out."""
        for name, count in self.note(block, block.received).items():
            self.rejected[name] += count
            before, first = self.reasons.get(SHUT_OUT, (0, ""))
            self.reasons[SHUT_OUT] = before + count, first or f"stream {name!r}"

    def note_rejected(self, records: Records) -> None:
        """Count the ticks that the engine rejected, by stream and by reason."""
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
    """Processes batches of events, one after the other.

    Args:
        engine: observes and learns the events.
        journal: takes the events before the engine does.
        settings: limits for pausing learning and for quarantine, and the choice at a
            full disk.
        deliver: takes the records, without waiting.
        watch: takes latencies, seconds [T] from receipt of each tick until its records
            were delivered.
        see: takes the number of a batch's first event, and the batch, before the
            engine observes it.
        now: gives the time of day, ns.
        elapsed: gives the seconds of a monotonic clock.

    Attributes:
        counts: counts of events since the start.
        lag: age of the oldest event of the latest batch, seconds; 0 while none waits.
        catching_up: whether learning is paused because of the lag.
        problem: why events are not journalled, or empty.
        latencies: seconds from receipt of ticks until their records were delivered.
        quarantine: decides which streams are shut out.
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
        """Add a decision, to be processed before the next batch."""
        self._decided.append(event)

    def obey(self, settings: Daemon) -> None:
        """Apply new settings; streams in quarantine stay there."""
        self._settings = settings
        self._patience = settings.catch_up_after.seconds
        self.quarantine.obey(*_limits(settings))

    def take(self, batch: Block) -> None:
        """Process the next batch.

        Raises:
            JournalError: if the events cannot be journalled and `daemon.disk_full` is
                `halt`; then the engine has not seen them.
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
        """Note that no event waits: the lag is 0, and learning resumes.

        Raises:
            JournalError: as in `take`.
        """
        if self.catching_up:
            self.take(self._block([]))
        self.lag = 0.0

    def totals(self) -> tuple[int, dict[str, int]]:
        """Count ticks since the start: accepted ones, and refused ones by reason."""
        counts = self.counts
        refused = {why: count for why, (count, _) in counts.reasons.items()}
        return counts.ticks.total() - counts.rejected.total(), refused

    def go_on_journalled(self, mark: str) -> None:
        """Resume the journal at the present position, where a checkpoint was saved.

        Args:
            mark: mark that the checkpoint was saved with.

        Raises:
            JournalError: if the disk is still full.
        """
        self._journal.skip_to(self._engine.seq, mark)
        self.problem = ""
        self.take(self._block([Control("", self._now(), "journalled")]))

    def sync(self) -> None:
        """Start a sync of the journal; wait for it only where a segment ends.

        Raises:
            JournalError: if the disk refused before and `daemon.disk_full` is `halt`.
        """
        if self.problem:
            return
        try:
            self._journal.rotate_early()
            self._journal.sync_soon()
        except JournalError as error:
            self._decided += self._unjournalled(error)

    def _carry_out(self, decided: Sequence[Event], events: Block) -> None:
        """Journal and process the decisions, then the events."""
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
        def answer(said: Records) -> None:
            self._deliver(said)
            self._measure(received)
            self.counts.note_rejected(said)
            self.quarantine.note(ticks, rejections(said))

        self._see(self._engine.seq, block)
        loops.step(block, self._engine, answer, self._deliver)

    def _paced(self, batch: Block, now: int) -> list[Event]:
        """Pause or resume learning by the age of the oldest tick."""
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
        """Continue without a journal, or raise the error if the settings say `halt`."""
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
    """Give the rejected ticks in a row and the first term of a quarantine."""
    return settings.quarantine_after, settings.quarantine.seconds


def _told(records: Records, at: int) -> str:
    """Describe a rejected tick: its stream, event and field."""
    columns = records.columns["rejected"]
    stream = records.tables["stream"][int(columns["stream"][at])]
    field = records.tables["rejected.field"][int(columns["field"][at])]
    blamed = f" field {field!r}" if field else ""
    return f"stream {stream!r} event {int(columns['seq'][at])}{blamed}"


def _received(block: Block) -> Ints:
    """Give the receipt times of the ticks of a block, ns."""
    received = block.received
    return received if block.holds_ticks_alone else received[block.kind == TICK]
