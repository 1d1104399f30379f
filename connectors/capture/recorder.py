"""A recorder of frames that never delays the reader.

Lines are queued in memory. Each second a thread compresses the queued lines into one
complete gzip member at the end of the current segment. So a killed process loses at
most its last second. Segments end by size and age; the oldest are deleted when all
segments together exceed the quota.
"""

from __future__ import annotations

import errno
import gzip
import os
import threading
from collections import Counter, deque
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from connectors.capture import format as recording
from connectors.capture.format import US, Kind
from connectors.stamps import SECOND
from sfm_stream import __version__
from sfm_stream.errors import StorageError
from sfm_stream.events import Gap

MIB = 2**20
FLUSH = 1.0
SYNC = 10
"""Every flush of this number is forced to the disk by fsync."""
SEGMENT, AGE = 64 * MIB, 3600 * SECOND
QUOTA_SEGMENTS = 4
WAITING = 256 * MIB
SEGMENTS = "*Z-*.gz"
LEVEL = 6


class Recorder:
    """Writes a folder of segments `<UTC time>-<number>.gz`, in the format of `format`.

    Args:
        folder: the folder, made if missing; existing segments are kept.
        quota: most bytes of all its segments.
        segment: size in bytes at which a segment ends.
        flush: seconds between flushes.

    Attributes:
        counters: lines and bytes written, segments begun and removed; lines lost
            because the disk was too slow.

    Raises:
        StorageError: if the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        quota: int,
        segment: int = SEGMENT,
        flush: float = FLUSH,
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(str(folder), *_explained(e, "cannot be made")) from e
        self.counters: Counter[str] = Counter()
        self._folder, self._quota = folder, quota
        self._size = min(segment, quota // QUOTA_SEGMENTS)
        self._lines: deque[tuple[str, int, bytes]] = deque()
        self._label, self._begun = "", False
        self._taken = self._written = 0
        self._file: FileIO | None = None
        self._since = 0
        self._number = len(self._segments())
        self._error: Exception | None = None
        self._flush, self._stop = flush, threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def opened(self, label: str, time: int) -> None:
        """Record that a connection opened."""
        if not self._begun:
            self._begun = True
            self._write(
                recording.mark(Kind.BEGUN, US, time, __version__.encode()), time
            )
        self._label = label
        self._write(recording.mark(Kind.OPENED, label, time), time)

    def sent(self, label: str, time: int, frame: bytes) -> None:
        """Record a sent frame."""
        self._label = label
        self._write(recording.mark(Kind.SENT, label, time, frame), time)

    def received(self, label: str, time: int, frame: bytes) -> None:
        """Record a received frame."""
        if label != self._label:
            self._label = label
            self._write(recording.mark(Kind.SWITCHED, label, time), time)
        self._write(recording.received(frame, time), time)

    def closed(self, label: str, time: int, reason: str) -> None:
        """Record that a connection closed."""
        self._label = label
        self._write(recording.mark(Kind.CLOSED, label, time, reason.encode()), time)

    def gap(self, label: str, gap: Gap) -> None:
        """Record a loss of data."""
        self._label = label
        self._write(recording.gap(label, gap), gap.time)

    def check(self) -> None:
        """Check that the recording has not stopped.

        Raises:
            StorageError: if writing failed.
        """
        if self._error is not None:
            said = _explained(self._error, "the recording stopped")
            raise StorageError(str(self._folder), *said)

    def close(self) -> None:
        """Write the queued lines, and end the thread.

        Raises:
            StorageError: if writing failed.
        """
        self._stop.set()
        self._thread.join()
        self.check()

    def _write(self, line: bytes, time: int) -> None:
        """Queue a line for the thread; count it as lost if the queue is full."""
        if self._taken - self._written > WAITING or self._error is not None:
            self.counters["lost"] += 1
            return
        if lost := self.counters.pop("lost", 0):
            self.counters["lost before"] += lost
            gap = Gap("", time, f"{lost} lines not recorded: the disk was too slow")
            self._lines.append((self._label, time, recording.gap(self._label, gap)))
        self._lines.append((self._label, time, line))
        self._taken += len(line)

    def _work(self) -> None:
        """Flush at intervals until told to stop; this is the thread's main function."""
        flushes = 0
        try:
            while not self._stop.wait(self._flush):
                flushes += 1
                self._drain(sync=flushes % SYNC == 0)
            self._drain(sync=True)
        except Exception as e:  # noqa: BLE001 `check` raises it where it is seen
            self._error = e
        finally:
            if self._file is not None:
                self._file.close()

    def _drain(self, *, sync: bool) -> None:
        """Write all queued lines as one gzip member."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            label, time, _ = lines[0]
            file = self._segment(label, time)
            text = b"".join(line for _, _, line in lines)
            self.counters["bytes"] += _append(file, text)
            self.counters["lines"] += len(lines)
            self._written += len(text)
        if sync and self._file is not None:
            os.fsync(self._file.fileno())

    def _segment(self, label: str, time: int) -> FileIO:
        """Give the segment to write to: a new one when the current one is full."""
        if self._file is not None:
            if time - self._since < AGE and self._file.tell() < self._size:
                return self._file
            os.fsync(self._file.fileno())
            self._file.close()
        self._keep_within(self._quota)
        self._since = time
        self._number += 1
        date = datetime.fromtimestamp(time // SECOND, UTC)
        path = self._folder / f"{date:%Y%m%dT%H%M%SZ}-{self._number:06d}.gz"
        self._file = FileIO(path, "xb")
        self.counters["segments"] += 1
        if self.counters["segments"] > 1:
            _append(self._file, recording.mark(Kind.SWITCHED, label, time))
        return self._file

    def _segments(self) -> list[Path]:
        """Give the existing segments, oldest first."""
        return sorted(self._folder.glob(SEGMENTS), key=lambda path: path.name)

    def _keep_within(self, quota: int) -> None:
        """Remove the oldest segments beyond the quota, leaving room for a new one."""
        there = self._segments()
        sizes = [path.stat().st_size for path in there]
        excess = sum(sizes) + self._size - quota
        for path, size in zip(there, sizes, strict=True):
            if excess <= 0:
                break
            path.unlink()
            self.counters["removed"] += 1
            excess -= size


def _append(file: FileIO, text: bytes) -> int:
    """Write one complete gzip member; give its size in bytes."""
    member = gzip.compress(text, LEVEL, mtime=0)
    left = memoryview(member)
    while left:
        left = left[file.write(left) :]
    return len(member)


def _explained(error: Exception, what: str) -> tuple[str, str]:
    """Give the problem behind an error, and a hint how to solve it."""
    if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return f"{what}: the disk is full", "free space, then record again"
    why = getattr(error, "strerror", None) or str(error)
    return f"{what}: {why.lower()}", "see that the folder can be written"
