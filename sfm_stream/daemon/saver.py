"""Checkpoints of a live process, written while it goes on.

The engine's state is held between two batches: until it is written, the rows that
change are copied before they do. Each sink is asked how far it has come when it has
written all records of before; the checkpoint is written once the last sink has
answered, in a thread of its own. So a sink that is slow delays checkpoints, and nothing
else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec
import numpy as np

from sfm_stream.daemon.named_sinks import RECORDS
from sfm_stream.errors import CheckpointError, JournalError, SFMStreamError
from sfm_stream.state.moment import NO_ROOM
from sfm_stream.storage import atomic, checkpoint, history, tensors
from sfm_stream.storage.run_folder import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfm_stream.engine import Engine
    from sfm_stream.state.moment import Moment

    Octets: TypeAlias = NDArray[np.uint8]


log = logging.getLogger(__name__)

PAGE = 4096
"""Bytes that the system hands out at once, at least."""
WEIGHTS = ("weights", "theta")
"""Arrays of what is learned: of the cell, and of least squares."""


class Journal(Protocol):
    """The log of the events that the engine has seen."""

    @property
    def position(self) -> int:
        """Number of events it holds."""

    @property
    def mark(self) -> str:
        """Name of all events so far, by their content."""

    def expect_present(self) -> None:
        """Expect that the folder is still the one that was opened.

        Raises:
            JournalError: if it was removed or replaced.
            Fenced: if another process has taken the run.
        """

    def syncing(self) -> Callable[[], None]:
        """Give a call that waits until all appended so far is on disk.

        Raises:
            JournalError: if there are no more descriptors.
        """


class Delivery(Protocol):
    """A sink behind a queue."""

    def mark(self, done: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `done` with the sink's position when all of before is written."""


class Saved(msgspec.Struct, frozen=True):
    """The latest checkpoint.

    Attributes:
        seq: events it is taken after.
        at: when it was taken, seconds that never run backwards.
        seconds: how long it took until it was on disk.
    """

    seq: int
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint that was begun.

    Attributes:
        seq: events it is taken after.
        position: events that the journal held then; fewer while it cannot be written.
        begun: when that was, seconds that never run backwards.
        moment: the engine's state then.
        meta: what its manifest holds besides the sinks' positions.
        journalled: waits until the journal is on disk up to there.
        written: done when it is on disk, or has failed.
    """

    seq: int
    position: int
    begun: float
    moment: Moment
    meta: Mapping[str, Any]
    journalled: Callable[[], None]
    written: Future[None]


class _Answers:
    """How far the sinks have come, and what is done once all have said so.

    Args:
        names: of the sinks.
        done: called once with the positions of all that are still there.
    """

    def __init__(
        self,
        names: Iterable[str],
        done: Callable[[Mapping[str, Mapping[str, Any]]], None],
    ) -> None:
        self._missing, self._done = set(names), done
        self._positions: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def take(self, name: str, position: Mapping[str, Any]) -> None:
        """Note the position of a sink."""
        with self._lock:
            if name in self._missing:
                self._positions[name] = position
                self._strike(name)

    def forget(self, name: str) -> None:
        """Leave a sink out; the last one missing may have been this."""
        with self._lock:
            if name in self._missing:
                self._strike(name)

    def _strike(self, name: str) -> None:
        self._missing.discard(name)
        if not self._missing:
            self._done(self._positions)


class Saver:
    """Saves the engine now and then.

    Args:
        run: whose folder takes the checkpoints.
        engine: stands still while `begin` is called.
        journal: of the engine's events; it is on disk before a checkpoint is.
        saved: the checkpoint that was begun with, or one of nothing.
        elapsed: gives seconds that never run backwards.

    Attributes:
        keep: how many checkpoints are kept; may be changed at any time.
        saved: the latest one that the journal leads up to.
        problem: why the latest try failed, or empty.
        finite: whether what the latest one holds of weights is finite.
    """

    def __init__(
        self,
        run: Run,
        engine: Engine,
        journal: Journal,
        keep: int,
        saved: int = 0,
        *,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._engine, self._journal = run, engine, journal
        self.keep = keep
        self._elapsed = elapsed
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._answers: _Answers | None = None
        self._lock, self._closed = threading.Lock(), False
        self._room: Future[Octets] | None = None
        self.saved = Saved(saved, elapsed(), 0.0)
        self._loose: Saved | None = None
        self.problem, self.finite = "", True
        self._tried = float("-inf")
        # arrival of the oldest event in no checkpoint, and in none but the one begun
        self._fresh: float | None = None
        self._begun: float | None = None

    @property
    def busy(self) -> bool:
        """Whether one is being saved."""
        return self._writing is not None and not self._writing.done()

    def age(self) -> float:
        """Give the seconds since the latest one was taken."""
        return self._elapsed() - self.saved.at

    def since_tried(self) -> float:
        """Give the seconds since one was begun; infinite if none was."""
        return self._elapsed() - self._tried

    def note(self) -> None:
        """Remember that there is something new to save."""
        if self._fresh is None:
            self._fresh = self._elapsed()

    def waited(self) -> float:
        """Give the seconds that the oldest unsaved event has waited; 0 without one."""
        since = self._fresh if self._begun is None else self._begun
        return 0.0 if since is None else self._elapsed() - since

    def has_room(self) -> bool:
        """Say whether there is memory for rows that change; if not, have it made.

        The system takes its time to hand it out, which `begin` then need not wait for.
        """
        if self._room is None:
            self._room = self._writer.submit(_room, self._engine.nbytes)
        return self._room.done()

    def _taken_room(self) -> Octets:
        room, self._room = self._room, None
        return room.result() if room is not None and room.done() else NO_ROOM

    def begin(self, deliveries: Mapping[str, Delivery], mark: str = "") -> Future[None]:
        """Hold the engine's state, and save it when every sink has caught up.

        While the journal lacks events, a checkpoint counts only once it has `joined`.

        Args:
            deliveries: the sinks by name, one of them `RECORDS`.
            mark: what the journal will be marked with here, if it does not hold all
                events.

        Returns:
            Done when it is on disk, or has failed.
        """
        self._tried, written = self._elapsed(), Future[None]()
        try:
            journalled = self._journal.syncing()
        except JournalError as error:
            self._fail(written, error)
            return written
        if self._begun is None:
            self._begun = self._fresh
        self._fresh = None
        seq = self._engine.seq
        moment, engine = self._engine.hold(self._taken_room())
        meta = {"engine": engine, history.MARK: mark or self._journal.mark}
        at = self._journal.position
        pending = Pending(seq, at, self._tried, moment, meta, journalled, written)
        self._writing = written
        answers = _Answers(deliveries, partial(self._submit, pending))
        self._answers = answers
        for name, delivery in deliveries.items():
            delivery.mark(partial(answers.take, name))
        return written

    def joined(self) -> None:
        """Count the latest checkpoint: the journal goes on from there."""
        if self._loose is not None:
            self._count(self._loose)

    def forget(self, name: str) -> None:
        """Wait no longer for a sink that is gone."""
        if self._answers is not None:
            self._answers.forget(name)

    def close(self) -> None:
        """Wait for what is being written; a sink that answers later is not heard."""
        with self._lock:
            self._closed = True
        self._writer.shutdown()

    def _submit(
        self, pending: Pending, positions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        with self._lock:  # of sinks' threads
            if not self._closed:
                self._writer.submit(self._write, pending, positions)

    def _write(
        self, pending: Pending, positions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        try:
            self._put_on_disk(pending, positions)
        except Exception as error:  # noqa: BLE001 or no further one would be begun
            self._fail(pending.written, error)
            return
        taken = self._elapsed() - pending.begun
        saved = Saved(pending.seq, pending.begun, taken)
        self.problem = ""
        if pending.seq > pending.position:
            self._loose = saved
        else:
            self._count(saved)
        pending.written.set_result(None)

    def _count(self, saved: Saved) -> None:
        self.saved, self._loose, self._begun = saved, None, None

    def _put_on_disk(
        self, pending: Pending, positions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        try:
            arrays = pending.moment.arrays()
            learned = (part for name in WEIGHTS for part in tensors.parts(arrays[name]))
            self.finite = all(np.isfinite(part).all() for part in learned)
            _settle(pending.journalled, self._run)
            checkpoint.save(
                self._run.checkpoints, pending.seq, arrays,
                {**pending.meta, **_places(positions)}, self.keep,
                self._journal.expect_present, pending.position,
            )  # fmt: skip
        finally:
            pending.moment.end()

    def _fail(self, written: Future[None], error: Exception) -> None:
        failed = _explained(error, self._run)
        self.problem = str(failed)
        written.set_exception(failed)


def _room(size: int) -> Octets:
    """Make room, and touch each page: only then the system hands it out."""
    room = np.empty(size, np.uint8)
    room[::PAGE] = 0
    return room


def _settle(journalled: Callable[[], None], run: Run) -> None:
    """Wait until the journal is on disk: no checkpoint may be ahead of it.

    Raises:
        CheckpointError: if the disk refuses.
    """
    try:
        journalled()
    except OSError as error:
        raise CheckpointError(str(run.journal), *atomic.explain(error)) from error


def _explained(error: Exception, run: Run) -> SFMStreamError:
    """Give an error of ours for any error; the log has the trace of a foreign one."""
    if isinstance(error, SFMStreamError):
        log.error("a checkpoint was not taken", extra={"problem": str(error)})
        return error
    log.error("a checkpoint failed", exc_info=error)
    return CheckpointError(str(run.checkpoints), f"cannot be written: {error!r}")


def _places(positions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rest = {name: at for name, at in positions.items() if name != RECORDS}
    return {"sink": positions[RECORDS], "sinks": rest}
