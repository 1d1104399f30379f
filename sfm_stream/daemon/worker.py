"""The model's side of the daemon: everything that runs in the model's thread.

Batches and beats come from the loop, one after the other; nothing here waits for a
sink, and for a disk only the journal's write.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sfm_stream.daemon import rejoining
from sfm_stream.daemon.named_sinks import NamedSinks, named
from sfm_stream.daemon.recovery import Recovered
from sfm_stream.daemon.saver import Saved, Saver
from sfm_stream.daemon.status.model import LONGEST
from sfm_stream.daemon.stepper import Stepper
from sfm_stream.errors import Fenced, JournalError
from sfm_stream.events import Block, Control, Floats, Gap
from sfm_stream.notices import Say, error, info, warning
from sfm_stream.records import Decision, Records

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.sinks import Delivery, Status

SYNC = 1.0
"""Seconds between syncs of the journal: what a power cut may cost."""
OVERHEAD = 10
"""What a batch costs whatever its size, in events."""
BIRTH = 0.005
"""Seconds that a new stream may take: its weights are drawn, others may be moved."""
FORGET = 0.05
REPLAY = 7.0
"""Seconds of work after which a checkpoint is due: a recovery repeats it, and is to
take 10 s at most."""
ROW_BYTES = 80
"""About what a record takes on disk."""
MARK_BYTES = 32
SERIOUS = {"unjournalled": error, "catch-up": warning, "quarantine": warning}
"""Decisions that tell of a trouble."""
OF_LAG = ("catch-up", "caught-up")
RESTARTED = "the process was restarted"


@dataclass(frozen=True, slots=True)
class Witness:
    """Who is told of what happens, in the thread where it does.

    Attributes:
        records: of what the engine says.
        latencies: seconds [T] from receipt of ticks until their records were delivered.
        step: of the seconds a batch took.
        events: of the events of a batch before the engine observes them, and of the
            first one's number.
    """

    records: Callable[[Records], None] = lambda _: None
    latencies: Callable[[Floats], None] = lambda _: None
    step: Callable[[float], None] = lambda _: None
    events: Callable[[int, Block], None] = lambda _, __: None


@dataclass(slots=True)
class Since:
    """What came since the latest checkpoint was begun.

    Attributes:
        written: bytes that the journal had written by then.
        rows: of records.
        seconds: that a recovery would take: it joins batches, so what each of them
            costs whatever its size is left out.
    """

    written: int
    rows: int = 0
    seconds: float = 0.0


class Worker:
    """Keeps a recovered model going.

    Args:
        found: what recovery came to.
        config: of the process.
        witness: told of all that happens; must not wait.
        say: takes a line for the log.
        now: gives the time of day, ns.

    Attributes:
        engine: the model.
        journal: of its events.
        recovered: events that were taken from the journal.
        aside: checkpoints that recovery set aside, and why.
        lost: what recovery no longer found of the journal or the sinks' records.
        problem: why old segments of the journal could not be deleted, or empty.
        stepper: takes the batches.
        saver: takes the checkpoints.
        steps: batches taken so far.
    """

    def __init__(
        self,
        found: Recovered,
        config: Config,
        witness: Witness,
        say: Say,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._found, self._say, self._witness, self._now = found, say, witness, now
        self.engine, self.journal = found.engine, found.journal
        self.recovered, self.aside = found.events, found.aside
        self.lost, self.problem = tuple(found.lost), ""
        self._covered: deque[Saved] = deque()
        self._hindered = ""
        self.steps, self._synced, self._pace = 0, time.monotonic(), 0.0
        self.stepper = Stepper(
            found.engine,
            found.journal,
            config.daemon,
            self._deliver,
            witness.latencies,
            witness.events,
            now=now,
        )
        keep = config.daemon.checkpoints
        self.saver = Saver(found.run, found.engine, found.journal, keep, found.saved)
        self._sinks = NamedSinks(
            found.sinks,
            named(config),
            found.run.folder,
            found.engine.experts,
            say,
            found.guard,
        )
        self._since = Since(found.journal.written)
        self._read(config)

    @property
    def deliveries(self) -> Mapping[str, Delivery]:
        """The sinks' queues, by name."""
        return self._sinks.deliveries

    def begin(self) -> Future[None]:
        """Take up where recovery left off, and save that.

        Returns:
            Done when the checkpoint is on disk, or has failed.
        """
        now = self._now()
        if self.engine.seq:
            self.stepper.decide(Gap("", now, RESTARTED))
        wanted = self._config.learn.enabled
        if not (self.engine.learning and wanted):
            self.stepper.decide(Control("", now, "caught-up"))
            self.stepper.decide(Control("", now, "learn" if wanted else "freeze"))
        return self.saver.begin(self.deliveries)

    def take(self, batch: Block) -> None:
        """Take the next events.

        Raises:
            JournalError: if they cannot be journalled and are to be.
            Fenced: if another process has taken the run; then nothing is said of them.
        """
        begun = time.perf_counter()
        self.stepper.take(batch)
        taken = time.perf_counter() - begun
        self.saver.note()
        self._since.seconds += taken * len(batch) / (OVERHEAD + len(batch))
        self._witness.step(taken)
        self._note_pace(taken, len(batch))
        self.steps += 1

    def is_due(self) -> bool:
        """Say whether it is time to save; what no journal leads up to is not saved."""
        new = self.engine.seq > self.saver.saved.seq
        return (
            new
            and self._may_save()
            and self._is_worth_it()
            and not self.stepper.problem
        )

    def save(self) -> None:
        """Begin a checkpoint, and drop the journal's segments that are old enough."""
        self._since = Since(self.journal.written)
        self.saver.begin(self.deliveries)
        if self._retention is not None:
            self._drop_old(time.monotonic() - self._retention)

    def expected(self, batch: Block) -> float:
        """Give the seconds a batch may take, by those before."""
        born = BIRTH * self.engine.births(batch)
        return born + self._pace * (OVERHEAD + len(batch))

    def beat(self) -> None:
        """Do what is due by time alone.

        Raises:
            JournalError: if the disk refuses, and events are to be journalled; or if
                the run's folder was removed or replaced.
            Fenced: if another process has taken the run.
        """
        if time.monotonic() - self._synced >= SYNC:
            self._synced = time.monotonic()
            self.journal.expect_present()
            self.stepper.sync()
        if self.stepper.problem and self._may_save():
            self._rejoin(partial(rejoining.hindrance, self.deliveries))
        elif self.is_due() and self.saver.has_room():
            self.save()

    def obey(self, config: Config) -> None:
        """Go by settings of which only those have changed that may.

        Raises:
            SinkError: if a new sink cannot be opened; then nothing has changed.
            ConfigError: if there is no such sink, or two of them share a place.
        """
        for name in self._sinks.obey(config):
            self.saver.forget(name)
        # a restart must know which sinks there are; without a journal none could
        is_to_save = config.sink != self._config.sink and not self.stepper.problem
        if config.learn.enabled != self._config.learn.enabled:
            action = "learn" if config.learn.enabled else "freeze"
            self.stepper.decide(Control("", self._now(), action))
        if config.daemon != self._config.daemon:
            self.stepper.obey(config.daemon)
        self._read(config)
        if is_to_save:
            self.save()

    def sinks(self) -> list[Status]:
        """Say how every sink gets on."""
        return [delivery.state() for delivery in self.deliveries.values()]

    def close(self) -> None:
        """Save, empty the sinks, and let go of everything.

        Raises:
            JournalError: if what was journalled could not be put on disk.
        """
        try:
            if self._is_ours():
                self._empty()
        finally:
            self.saver.close()
            self.journal.close()

    def _empty(self) -> None:
        """Save and close the sinks."""
        if self.stepper.problem:
            self._rejoin(str)  # the last try: a sink may yet come round
        else:
            self._save_last()
        self._sinks.close(self._drain)

    def _is_ours(self) -> bool:
        """Say whether the folder is the one that was opened, and of this process."""
        try:
            self.journal.expect_present()
        except (JournalError, Fenced):
            return False
        return True

    def _deliver(self, records: Records) -> None:
        if not records.columns:  # most ticks leave nothing to learn
            return
        self._since.rows += len(records)
        for delivery in self.deliveries.values():
            delivery.offer(records)
        self._witness.records(records)
        if records.count("decisions"):
            self._tell(records)

    def _tell(self, records: Records) -> None:
        """Log what was decided: rare, and what a person wants to know."""
        lag = f"lag {self.stepper.lag:.3g} s"
        for record in records.rows():
            if isinstance(record, Decision):
                whom = record.stream or "all streams"
                why = lag if record.action in OF_LAG else self.stepper.problem or lag
                make = SERIOUS.get(record.action, info)
                self._say(make(f"decided: {record.action} {whom} ({why})"))

    def _read(self, config: Config) -> None:
        daemon, self._config = config.daemon, config
        self.saver.keep = daemon.checkpoints
        self._every = daemon.checkpoint_every.seconds
        self._drain = daemon.drain.seconds
        kept = daemon.retention
        self._retention = kept.seconds if kept else None

    def _note_pace(self, seconds: float, count: int) -> None:
        pace = seconds / (OVERHEAD + count)
        self._pace += FORGET * (pace - self._pace)

    def _may_save(self) -> bool:
        return self.saver.since_tried() >= self._every and not self.saver.busy

    def _is_worth_it(self) -> bool:
        """Say whether a checkpoint is worth what it writes.

        It is if a recovery without it would take long, if journal and records have
        grown by as much as it takes itself, or if the last one is old.
        """
        since = self._since
        grown = self.journal.written - since.written + since.rows * ROW_BYTES
        return (
            since.seconds >= REPLAY
            or grown >= self.engine.nbytes
            or self.saver.since_tried() >= LONGEST * self._every
        )

    def _drop_old(self, limit: float) -> None:
        """Drop the segments that were covered by a checkpoint before a moment."""
        if not self._covered or self._covered[-1].seq < self.saver.saved.seq:
            self._covered.append(self.saver.saved)
        seq = 0
        while self._covered and self._covered[0].at <= limit:
            seq = self._covered.popleft().seq
        try:
            self.journal.delete_before(seq)
        except JournalError as failed:  # they are in no one's way but the disk's
            self.problem = f"old segments stay: {failed}"
            self._say(warning(self.problem))
        else:
            self.problem = ""

    def _save_last(self) -> None:
        """Save what there is, if the sinks come to an end in time."""
        try:
            self.saver.begin(self.deliveries).result(self._drain)
        except rejoining.NOT_SAVED as failed:
            reason = str(failed) or "a sink did not come to an end"
            told = f"no last checkpoint: {reason}; the journal has the rest"
            self._say(warning(told))

    def _rejoin(self, hindrance: Callable[[], str]) -> None:
        """Save, and journal again from there, unless something hinders it."""
        # what was not journalled has no content to be named by: a name of its own
        lacks = self.journal.position != self.engine.seq
        mark = secrets.token_hex(MARK_BYTES) if lacks else self.journal.mark
        why = rejoining.rejoined(
            self.stepper, self.saver, self.deliveries, mark, hindrance
        )
        if why and why != self._hindered:
            self._say(error(f"still without a journal: {why}"))
        self._hindered = why
