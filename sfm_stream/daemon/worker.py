"""The worker: keeps the model, its journal, its checkpoints and its sinks going.

Batches and beats come from the loop, one after the other. They do not wait for a sink,
and for the disk only to write the journal.
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
"""Seconds between syncs of the journal: a power cut may lose events of this time."""
OVERHEAD = 10
"""Fixed cost of a batch, in events."""
BIRTH = 0.005
"""Seconds for a new stream: its weights are drawn, and arrays may be moved."""
FORGET = 0.05
REPLAY = 7.0
"""Seconds of work after which a checkpoint is due: a recovery repeats this work, and
should take at most 10 s."""
ROW_BYTES = 80
"""Approximate bytes of a record on disk."""
MARK_BYTES = 32
SERIOUS = {"unjournalled": error, "catch-up": warning, "quarantine": warning}
"""Decisions that are logged as warnings or errors."""
OF_LAG = ("catch-up", "caught-up")
RESTARTED = "the process was restarted"


@dataclass(frozen=True, slots=True)
class Witness:
    """Callbacks that watch the worker, called in the thread that processes the batch.

    Attributes:
        records: takes the records of the engine.
        latencies: takes seconds [T] from receipt of ticks until their records were
            delivered.
        step: takes the seconds that a batch took.
        events: takes the number of a batch's first event, and the batch, before the
            engine observes it.
    """

    records: Callable[[Records], None] = lambda _: None
    latencies: Callable[[Floats], None] = lambda _: None
    step: Callable[[float], None] = lambda _: None
    events: Callable[[int, Block], None] = lambda _, __: None


@dataclass(slots=True)
class Since:
    """Work since the latest checkpoint was begun.

    Attributes:
        written: bytes that the journal had written by then.
        rows: number of records since.
        seconds: time that a recovery would take for the events since; without the
            fixed cost of batches, because a recovery joins them.
    """

    written: int
    rows: int = 0
    seconds: float = 0.0


class Worker:
    """Runs a recovered model.

    Args:
        found: the recovered run.
        config: settings of the process.
        witness: callbacks; they must not wait.
        say: takes a line for the log.
        now: gives the time of day, ns.

    Attributes:
        engine: the model.
        journal: journal of its events.
        recovered: number of events replayed from the journal.
        aside: messages about checkpoints that recovery set aside.
        lost: messages about lost parts of the journal or of the sinks' records.
        problem: why old segments of the journal could not be deleted, or empty.
        stepper: processes the batches.
        saver: takes the checkpoints.
        steps: number of batches so far.
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
        """Add the decisions of a restart, and begin a checkpoint.

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
        """Process the next batch.

        Raises:
            JournalError: if the events cannot be journalled and `daemon.disk_full` is
                `halt`.
            Fenced: if another process has taken the run; then it gives no records.
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
        """Say whether a checkpoint is due; without a journal it never is."""
        new = self.engine.seq > self.saver.saved.seq
        return (
            new
            and self._may_save()
            and self._is_worth_it()
            and not self.stepper.problem
        )

    def save(self) -> None:
        """Begin a checkpoint, and delete journal segments beyond the retention."""
        self._since = Since(self.journal.written)
        self.saver.begin(self.deliveries)
        if self._retention is not None:
            self._drop_old(time.monotonic() - self._retention)

    def expected(self, batch: Block) -> float:
        """Estimate the seconds that a batch takes, from the batches before."""
        born = BIRTH * self.engine.births(batch)
        return born + self._pace * (OVERHEAD + len(batch))

    def beat(self) -> None:
        """Do the work that is due by time: sync the journal, resume it, or save.

        Raises:
            JournalError: if the disk refuses and `daemon.disk_full` is `halt`; or if
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
        """Apply a configuration in which only reloadable settings changed.

        Raises:
            SinkError: if a new sink cannot be opened; then no setting has changed.
            ConfigError: if there is no such sink, or two sinks share a path.
        """
        for name in self._sinks.obey(config):
            self.saver.forget(name)
        # a restart must know the present sinks; without a journal it could not
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
        """Give the state of every sink."""
        return [delivery.state() for delivery in self.deliveries.values()]

    def close(self) -> None:
        """Save, drain the sinks, and close everything.

        Raises:
            JournalError: if the journal could not be synced.
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
            self._rejoin(str)  # the last attempt: a sink may have recovered
        else:
            self._save_last()
        self._sinks.close(self._drain)

    def _is_ours(self) -> bool:
        """Say whether the folder is the opened one and belongs to this process."""
        try:
            self.journal.expect_present()
        except (JournalError, Fenced):
            return False
        return True

    def _deliver(self, records: Records) -> None:
        if not records.columns:  # most ticks are not followed by an update
            return
        self._since.rows += len(records)
        for delivery in self.deliveries.values():
            delivery.offer(records)
        self._witness.records(records)
        if records.count("decisions"):
            self._tell(records)

    def _tell(self, records: Records) -> None:
        """Log the decisions: they are rare, and people want to know them."""
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
        """Say whether a checkpoint is worth its bytes.

        It is if a recovery without it would take long, if journal and records have
        grown by its own size, or if the last one is old.
        """
        since = self._since
        grown = self.journal.written - since.written + since.rows * ROW_BYTES
        return (
            since.seconds >= REPLAY
            or grown >= self.engine.nbytes
            or self.saver.since_tried() >= LONGEST * self._every
        )

    def _drop_old(self, limit: float) -> None:
        """Delete the segments that a checkpoint covered before a time."""
        if not self._covered or self._covered[-1].seq < self.saver.saved.seq:
            self._covered.append(self.saver.saved)
        seq = 0
        while self._covered and self._covered[0].at <= limit:
            seq = self._covered.popleft().seq
        try:
            self.journal.delete_before(seq)
        except JournalError as failed:  # they only take space on the disk
            self.problem = f"old segments stay: {failed}"
            self._say(warning(self.problem))
        else:
            self.problem = ""

    def _save_last(self) -> None:
        """Save a last checkpoint, if the sinks finish in time."""
        try:
            self.saver.begin(self.deliveries).result(self._drain)
        except rejoining.NOT_SAVED as failed:
            reason = str(failed) or "a sink did not come to an end"
            told = f"no last checkpoint: {reason}; the journal has the rest"
            self._say(warning(told))

    def _rejoin(self, hindrance: Callable[[], str]) -> None:
        """Save, and resume the journal from there, unless a sink fails."""
        # events that were not journalled cannot be hashed: a random mark
        lacks = self.journal.position != self.engine.seq
        mark = secrets.token_hex(MARK_BYTES) if lacks else self.journal.mark
        why = rejoining.rejoined(
            self.stepper, self.saver, self.deliveries, mark, hindrance
        )
        if why and why != self._hindered:
            self._say(error(f"still without a journal: {why}"))
        self._hindered = why
