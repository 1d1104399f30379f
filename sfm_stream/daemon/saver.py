"""Checkpoints of a live process, written while it runs on.

The engine's state is held between two batches: until it is written, rows are copied
before they change. Each sink reports its position when it has written all records
before the checkpoint. Once the last sink has reported, a thread writes the checkpoint.
So a slow sink delays only checkpoints.
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
"""Bytes of a page, the unit in which the system hands out memory."""
WEIGHTS = ("weights", "theta")
"""Names of the learned arrays: of the cell, and of least squares."""


class Journal(Protocol):
    """The log of the events that the engine has seen."""

    @property
    def position(self) -> int:
        """Number of events in the journal."""

    @property
    def mark(self) -> str:
        """Hash of all events so far."""

    def expect_present(self) -> None:
        """Expect that the folder is still the opened one.

        Raises:
            JournalError: if it was removed or replaced.
            Fenced: if another process has taken the run.
        """

    def syncing(self) -> Callable[[], None]:
        """Give a function that waits until all events appended so far are on disk.

        Raises:
            JournalError: if the process has no free file descriptor.
        """


class Delivery(Protocol):
    """A sink behind a queue."""

    def mark(self, done: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `done` with the sink's position when all records so far are written."""


class Saved(msgspec.Struct, frozen=True):
    """The latest checkpoint.

    Attributes:
        seq: number of events before it.
        at: when it was taken, in seconds of a monotonic clock.
        seconds: time until it was on disk.
    """

    seq: int
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint that is not written yet.

    Attributes:
        seq: number of events before it.
        position: number of events in the journal then; fewer while it cannot be
            written.
        begun: when it was begun, in seconds of a monotonic clock.
        moment: the engine's state then.
        meta: content of its manifest besides the sinks' positions.
        journalled: waits until the journal is on disk up to there.
        written: done when the checkpoint is on disk, or has failed.
    """

    seq: int
    position: int
    begun: float
    moment: Moment
    meta: Mapping[str, Any]
    journalled: Callable[[], None]
    written: Future[None]


class _Answers:
    """Collects the positions of the sinks, and calls a function when all have reported.

    Args:
        names: names of the sinks.
        done: called once with the positions of all sinks that were not forgotten.
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
        """Do not wait for a sink any more; call `done` if it was the last."""
        with self._lock:
            if name in self._missing:
                self._strike(name)

    def _strike(self, name: str) -> None:
        self._missing.discard(name)
        if not self._missing:
            self._done(self._positions)


class Saver:
    """Takes checkpoints of the engine.

    Args:
        run: the run; its folder takes the checkpoints.
        engine: the engine; it must not change while `begin` is called.
        journal: journal of its events; it is on disk before a checkpoint is.
        keep: as the attribute.
        saved: number of events before the restored checkpoint; 0 without one.
        elapsed: gives the seconds of a monotonic clock.

    Attributes:
        keep: number of checkpoints to keep; may be changed at any time.
        saved: the latest checkpoint that the journal reaches.
        problem: why the latest attempt failed, or empty.
        finite: whether all weights in the latest checkpoint are finite.
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
        # arrival of the oldest event in no checkpoint, and in the pending one
        self._fresh: float | None = None
        self._begun: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is pending."""
        return self._writing is not None and not self._writing.done()

    def age(self) -> float:
        """Give the seconds since the latest checkpoint was taken."""
        return self._elapsed() - self.saved.at

    def since_tried(self) -> float:
        """Give the seconds since a checkpoint was begun; infinite before the first."""
        return self._elapsed() - self._tried

    def note(self) -> None:
        """Note that there are new events to save."""
        if self._fresh is None:
            self._fresh = self._elapsed()

    def waited(self) -> float:
        """Give the seconds that the oldest unsaved event has waited; 0 without one."""
        since = self._fresh if self._begun is None else self._begun
        return 0.0 if since is None else self._elapsed() - since

    def has_room(self) -> bool:
        """Say whether memory for copies of rows is ready; if not, allocate it.

        A thread allocates it, so that `begin` need not wait for the system.
        """
        if self._room is None:
            self._room = self._writer.submit(_room, self._engine.nbytes)
        return self._room.done()

    def _taken_room(self) -> Octets:
        room, self._room = self._room, None
        return room.result() if room is not None and room.done() else NO_ROOM

    def begin(self, deliveries: Mapping[str, Delivery], mark: str = "") -> Future[None]:
        """Hold the engine's state, and save it when all sinks reported their positions.

        While the journal lacks events, a checkpoint counts only after `joined`.

        Args:
            deliveries: the sinks by name, one of them `RECORDS`.
            mark: mark that the journal will get here, if it lacks events; else empty.

        Returns:
            Done when the checkpoint is on disk, or has failed.
        """
        self._tried, written = self._elapsed(), Future[None]()
        try:
            room = self._taken_room()
            journalled = self._journal.syncing()
        except (JournalError, MemoryError) as error:
            self._fail(written, error)
            return written
        if self._begun is None:
            self._begun = self._fresh
        self._fresh = None
        seq = self._engine.seq
        moment, engine = self._engine.hold(room)
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
        """Let the latest checkpoint count: the journal continues from it."""
        if self._loose is not None:
            self._count(self._loose)

    def forget(self, name: str) -> None:
        """Do not wait for a sink that was removed."""
        if self._answers is not None:
            self._answers.forget(name)

    def close(self) -> None:
        """Wait for a checkpoint that is being written; later reports are ignored."""
        with self._lock:
            self._closed = True
        self._writer.shutdown()

    def _submit(
        self, pending: Pending, positions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        with self._lock:  # called in the sinks' threads
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
    """Allocate memory, and touch each page so that the system hands it out."""
    room = np.empty(size, np.uint8)
    room[::PAGE] = 0
    return room


def _settle(journalled: Callable[[], None], run: Run) -> None:
    """Wait until the journal is on disk: a checkpoint must not be ahead of it.

    Raises:
        CheckpointError: if the disk refuses.
    """
    try:
        journalled()
    except OSError as error:
        raise CheckpointError(str(run.journal), *atomic.explain(error)) from error


def _explained(error: Exception, run: Run) -> SFMStreamError:
    """Turn any error into an `SFMStreamError`; log the trace of a foreign one."""
    if isinstance(error, SFMStreamError):
        log.error("a checkpoint was not taken", extra={"problem": str(error)})
        return error
    log.error("a checkpoint failed", exc_info=error)
    return CheckpointError(str(run.checkpoints), f"cannot be written: {error!r}")


def _places(positions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rest = {name: at for name, at in positions.items() if name != RECORDS}
    return {"sink": positions[RECORDS], "sinks": rest}
