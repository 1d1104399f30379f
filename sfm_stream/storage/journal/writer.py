"""Writes a journal: append, sync, rotate and compress; one process at a time."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from sfm_stream.errors import JournalError
from sfm_stream.events import Block, Event
from sfm_stream.events.blocks import pack, pieces
from sfm_stream.storage import atomic, lock, segment
from sfm_stream.storage.journal.active import Active
from sfm_stream.storage.journal.reader import blocks, read
from sfm_stream.storage.segment import Chain, Entries, Segment

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 2**20
LONGEST_ENTRY = segment.LARGEST_GUESS // 2
"""Bytes; a reader would not find a longer entry behind a damaged one."""


class Journal:
    """The events of a live run, in order; the number of events is the position.

    Args:
        folder: folder of the segments; made if absent.
        segment_bytes: size at which a segment is finished and compressed.
        guard: raises `Fenced` if another process has taken the run.

    Attributes:
        cut_bytes: length of the torn tail that opening removed.
        lost: message about that tail if it held whole entries behind a damaged one, or
            empty: events that a power cut damaged before they were on disk.
        written: bytes appended since the journal was opened.
        problem: why a full segment could not be compressed, or empty. Its events are
            whole; it is compressed with the next one or at the next opening.

    Raises:
        JournalError: if another process writes the journal, a synced entry is damaged,
            or the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._limit, self._guard = folder, segment_bytes, guard
        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self.cut_bytes, self.written = 0, 0
        self.lost = self.problem = ""
        self._compressing: Future[None] | None = None
        self._syncing: Future[None] | None = None
        self._lock = lock.hold(folder)
        try:
            self._open()
        except OSError as e:
            os.close(self._lock)
            raise JournalError(str(folder), *atomic.explain(e)) from e
        except JournalError:
            os.close(self._lock)
            raise
        # compressing a segment takes longer than the time for a tick
        self._worker = ThreadPoolExecutor(1, "journal")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def position(self) -> int:
        """Number of events appended since the journal began."""
        return self._position

    @property
    def mark(self) -> str:
        """Hash of all events so far: a journal of other events has another mark."""
        return self._active.chain.mark().hex()

    def append(self, events: Sequence[Event] | Block) -> int:
        """Append a batch of events in one write.

        Args:
            events: events, or a block of them. A block is stored as its columns and is
                read back whole, so there is no mark within it.

        Returns:
            Number of events since the journal began.

        Raises:
            JournalError: if the disk is full or refuses; then no event was appended.
            Fenced: if another process has taken the run; its journal may or may not
                hold these events.
        """
        payloads = (
            map(pack, pieces(events, LONGEST_ENTRY))
            if isinstance(events, Block)
            else map(self._encode, events)
        )
        batch = b"".join(map(segment.entry, payloads))
        try:
            if self._active.size >= self._limit:
                self._guard()
                self._rotate(self._position, self._active.chain.mark())
            self._active.append(batch)
        except OSError as e:
            raise JournalError(str(self._active.path), *atomic.explain(e)) from e
        self._guard()  # after the write: not fenced now means not fenced at the write
        self.written += len(batch)
        self._position += len(events)
        return self._position

    def rotate_early(self) -> None:
        """Begin a new segment if this one is half full.

        Waits for the disk, so that `append` need not wait later.

        Raises:
            JournalError: if the disk is full or refuses.
        """
        if self._active.size * 2 < self._limit:
            return
        try:
            self._rotate(self._position, self._active.chain.mark())
        except OSError as e:
            raise JournalError(str(self._active.path), *atomic.explain(e)) from e

    def sync(self) -> None:
        """Wait until all appended events are on disk.

        Raises:
            JournalError: if the disk refuses.
        """
        try:
            self._active.sync()
        except OSError as e:
            raise JournalError(str(self._active.path), *atomic.explain(e)) from e

    def expect_present(self) -> None:
        """Expect that the folder is still the opened one and belongs to this process.

        Raises:
            JournalError: if it was removed or replaced: events appended from now on
                would be lost.
            Fenced: if another process has taken the run.
        """
        self._guard()
        try:
            lock.expect_held(self._lock, self._folder)
        except OSError as e:
            problem = "the run's folder was removed or replaced"
            hint = "do not touch it while a process works there; start it anew"
            raise JournalError(str(self._folder), problem, hint) from e

    def syncing(self) -> Callable[[], None]:
        """Give a function that waits until all events appended so far are on disk.

        It may be called once, in any thread, and raises `OSError` if the disk refuses.

        Raises:
            JournalError: if the process has no free file descriptor.
        """
        try:
            return self._active.syncing()
        except OSError as e:
            raise JournalError(str(self._active.path), *atomic.explain(e)) from e

    def sync_soon(self) -> None:
        """Start a sync of all appended events in the background, unless one still runs.

        Raises:
            JournalError: if the disk refused the sync before.
        """
        if self._syncing is not None and not self._syncing.done():
            return
        try:
            self._settle_sync()
            self._syncing = self._worker.submit(self.syncing())
        except OSError as e:
            raise JournalError(str(self._active.path), *atomic.explain(e)) from e

    def skip_to(self, position: int, mark: str) -> None:
        """Continue at a later position; the events between were never appended.

        Args:
            position: position of the next event; if it is the journal's own, the
                journal stays as it is and keeps its mark.
            mark: mark of a checkpoint taken at that position, 64 hex digits.

        Raises:
            JournalError: if the disk is full or refuses; the journal is unchanged.
            Fenced: if another process has taken the run.
        """
        self._guard()
        if position == self._position:
            return
        hole = segment.hole_at(self._folder, self._position)
        try:
            atomic.write(hole, b"")
            try:
                self._rotate(position, bytes.fromhex(mark))
            except OSError:
                hole.unlink()
                raise
        except OSError as e:
            raise JournalError(str(self._active.path), *atomic.explain(e)) from e

    def read(self, after: int = 0) -> Iterator[Event]:
        """Yield the events from a position on; see the function `read`."""
        return read(self._folder, after)

    def blocks(self, after: int, width: int, size: int) -> Iterator[Block]:
        """Yield the events from a position on in blocks; see the function `blocks`."""
        return blocks(self._folder, after, width, size)

    def delete_before(self, position: int) -> None:
        """Delete the segments that hold only events before a position.

        Raises:
            JournalError: if the folder cannot be written.
            Fenced: if another process has taken the run.
        """
        self._guard()
        firsts = segment.firsts(self._folder)
        try:
            self._settle()
            for first, following in itertools.pairwise(firsts):
                if following <= position:
                    segment.present(self._folder, first).unlink()
        except OSError as e:
            raise JournalError(str(self._folder), *atomic.explain(e)) from e

    def close(self) -> None:
        """Sync, finish compressing, and release the lock.

        Raises:
            JournalError: if the disk refuses.
        """
        try:
            self.sync()
            self._settle()
            self._settle_sync()
        except OSError as e:
            raise JournalError(str(self._folder), *atomic.explain(e)) from e
        finally:
            self._worker.shutdown()
            self._active.close()
            os.close(self._lock)

    def _open(self) -> None:
        for path in self._folder.glob(f"*{atomic.TEMPORARY}"):
            path.unlink()
        *finished, first = segment.firsts(self._folder) or [0]
        self._compress(first)
        if segment.finished(self._folder, first).exists():  # the active segment is lost
            self._go_on_behind(first)
        elif segment.active(self._folder, first).exists():
            self._go_on_in(first, finished)
        else:
            self._begin(first, segment.FIRST_SEED)
        for start in segment.holes(self._folder):
            if start >= self._position:  # stopped before it skipped any event
                segment.hole_at(self._folder, start).unlink()

    def _go_on_behind(self, first: int) -> None:
        """Begin a new segment after a finished one."""
        segment.finish(self._folder, first)
        found = segment.load(self._folder, first)
        entries = segment.scan(found)
        segment.expect_no_tail(found, entries)
        count = entries.events
        self._begin(first + count, segment.mark(found, count) or found.seed)

    def _go_on_in(self, first: int, finished: Sequence[int]) -> None:
        """Open the segment that is not finished; cut its torn tail."""
        path = segment.active(self._folder, first)
        found = segment.parse(path, path.read_bytes())
        entries = segment.scan(found)
        self.cut_bytes = len(found.body) - entries.end
        self._position = first + entries.events
        if entries.later is not None:
            self._tell_lost(found, entries)
        if found.is_noted:
            self._active = Active(found, entries.end)
        elif entries.events:  # of an older version, whose head has no note
            self._go_on_after(found, entries.end)
        else:
            seed = found.seed if found.head else _seed(self._folder, finished, first)
            self._begin(first, seed)

    def _tell_lost(self, found: Segment, entries: Entries) -> None:
        start, size = found.head + entries.end, len(found.body) - entries.end
        self.lost = (
            f"{found.path}: a power cut damaged what was not yet on disk: {size} bytes"
            f" from byte {start} on are cut, events from {self._position} on are lost"
        )
        log.error("the end of the journal is lost", extra={"problem": self.lost})

    def _go_on_after(self, found: Segment, end: int) -> None:
        """Cut a segment, and begin a new one after it."""
        os.truncate(found.path, found.head + end)
        atomic.sync(found.path)
        chain = Chain(found.seed)
        chain.add(found.body[:end])
        self._begin(self._position, chain.mark())

    def _begin(self, first: int, seed: bytes) -> None:
        """Create a new active segment; if that fails, nothing is changed."""
        path, head = segment.active(self._folder, first), segment.head(seed)
        try:
            atomic.write(path, head)
            self._active = Active(segment.parse(path, head), 0)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._position = first

    def _rotate(self, first: int, seed: bytes) -> None:
        """Begin a new segment, and compress the old one in the background."""
        old, begun = self._active, int(self._active.path.stem)
        if first <= begun:
            problem = f"expected a segment to begin behind {begun}, was {first}"
            raise JournalError(str(old.path), problem)
        old.sync()
        self._settle()
        self._begin(first, seed)
        old.close()
        self._compressing = self._worker.submit(self._compress, first)

    def _compress(self, before: int) -> None:
        """Compress the segments that begin before a position and are not compressed."""
        try:
            for first in segment.firsts(self._folder):
                if first < before:
                    segment.finish(self._folder, first)
            self.problem = ""
        except OSError as e:
            reason = ": ".join(atomic.explain(e))
            self.problem = f"{self._folder}: a full segment stays as it is: {reason}"
            log.exception("a segment was not compressed")

    def _settle(self) -> None:
        if self._compressing is not None:
            running, self._compressing = self._compressing, None
            running.result()

    def _settle_sync(self) -> None:
        if self._syncing is not None:
            running, self._syncing = self._syncing, None
            running.result()


def _seed(folder: Path, finished: Sequence[int], first: int) -> bytes:
    """Give the mark at the start of a segment whose head is torn.

    Raises:
        JournalError: if the segment before it does not end there.
    """
    if not first:
        return segment.FIRST_SEED
    if finished and segment.hole(folder, finished[-1], first) == first:
        before = segment.load(folder, finished[-1])
        if (found := segment.mark(before, first - finished[-1])) is not None:
            return found
    path = str(segment.active(folder, first))
    raise JournalError(path, "damaged head at byte 0", segment.RESTORE)


def _plain(value: object) -> object:
    """Turn a numpy number, as feeds may hold, into a Python number."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError
