"""The append-only log of events that makes a live run repeatable.

    folder/000000000000.log.gz   finished segments, named for their first position
    folder/000000081920.log      the active one
    folder/000000093000.hole     from here to the next segment nothing was journalled
    folder/lock                  held by the one process that writes

A segment is a row of entries `length u32, crc32 u32, payload` (little endian), one per
event, the payload in MessagePack. Every batch is handed to the system before `append`
returns, so a killed process loses nothing; `sync` guards against a power cut. A write
cut short leaves a torn tail, which the next opening removes. There is no clock in here.
"""

from __future__ import annotations

import fcntl
import gzip
import itertools
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
import numpy as np

from sfm_stream.errors import JournalError
from sfm_stream.events import Event
from sfm_stream.storage import atomic

HEADER = struct.Struct("<II")
SEGMENT_BYTES = 8 * 2**20
LARGEST_GUESS = 2**20
COMPRESSION = 1
ACTIVE, FINISHED, HOLE = ".log", ".log.gz", ".hole"
NEWER = "read it with the version that wrote it"
RESTORE = "restore the segment from a copy, or start a new run"


class Journal:
    """The events of a live run, in order; their number is their position.

    Args:
        folder: where the segments lie; made if absent.
        segment_bytes: size at which a segment is finished and compressed.

    Attributes:
        cut_bytes: length of the torn tail that opening removed.

    Raises:
        JournalError: if another process writes there, an entry before the tail is
            damaged, or the folder cannot be written.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._limit = folder, segment_bytes
        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._position = 0
        self._compressing: Future[None] | None = None
        self._syncing: Future[None] | None = None
        self._lock = _lock(folder)
        try:
            self._open()
        except OSError as e:
            os.close(self._lock)
            raise JournalError(str(folder), *atomic.explain(e)) from e
        except JournalError:
            os.close(self._lock)
            raise
        # compressing a segment takes longer than a tick may
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

    def append(self, events: Sequence[Event]) -> int:
        """Hand a batch of events to the system in one write.

        Returns:
            Number of events since the journal began.

        Raises:
            JournalError: if the disk is full or refuses; then none was appended.
        """
        batch = b"".join(self._entry(event) for event in events)
        try:
            if self._size >= self._limit:
                self._rotate(self._position)
            atomic.append(self._handle, batch)
        except OSError as e:
            raise JournalError(str(self._path), *atomic.explain(e)) from e
        self._size += len(batch)
        self._position += len(events)
        return self._position

    def sync(self) -> None:
        """Wait until all appended events are on disk.

        Raises:
            JournalError: if the disk refuses.
        """
        try:
            os.fsync(self._handle)
        except OSError as e:
            raise JournalError(str(self._path), *atomic.explain(e)) from e

    def sync_soon(self) -> None:
        """Have all appended events put on disk, without waiting for it.

        Raises:
            JournalError: if the disk refused what this asked of it before.
        """
        if self._syncing is not None and not self._syncing.done():
            return
        try:
            self._settle_sync()
            # a handle of its own, for this one is closed when the segment is full
            self._syncing = self._worker.submit(_sync, os.dup(self._handle))
        except OSError as e:
            raise JournalError(str(self._path), *atomic.explain(e)) from e

    def skip_to(self, position: int) -> None:
        """Go on at a later position: what lies between was never appended.

        Args:
            position: of the next event.

        Raises:
            JournalError: if the disk is full or refuses; then nothing has changed.
        """
        hole = self._folder / f"{self._position:012d}{HOLE}"
        try:
            atomic.write(hole, b"")
            self._rotate(position)
        except OSError as e:
            raise JournalError(str(self._path), *atomic.explain(e)) from e
        self._position = position

    def read(self, after: int = 0) -> Iterator[Event]:
        """Give the events from a position on; see the function `read`."""
        return read(self._folder, after)

    def delete_before(self, position: int) -> None:
        """Drop the segments that hold only events before a position.

        Raises:
            JournalError: if the folder cannot be written.
        """
        firsts = _firsts(self._folder)
        try:
            self._settle()
            for first, following in itertools.pairwise(firsts):
                if following <= position:
                    _segment(self._folder, first).unlink()
        except OSError as e:
            raise JournalError(str(self._folder), *atomic.explain(e)) from e

    def close(self) -> None:
        """Sync, finish compressing, and let the next writer in.

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
            os.close(self._handle)
            os.close(self._lock)

    def _entry(self, event: Event) -> bytes:
        payload = self._encode(event)
        return HEADER.pack(len(payload), zlib.crc32(payload)) + payload

    def _open(self) -> None:
        for path in self._folder.glob(f"*{atomic.TEMPORARY}"):
            path.unlink()
        *finished, first = _firsts(self._folder) or [0]
        for older in finished:
            _finish(self._folder, older)
        self._path, self._handle = _begin(self._folder, first)
        data = self._path.read_bytes()
        entries = _scan(self._path, data)
        self._position = first + entries.events
        self._size = entries.end
        self.cut_bytes = len(data) - entries.end
        os.ftruncate(self._handle, self._size)

    def _rotate(self, first: int) -> None:
        """Begin a new segment and compress the old one meanwhile."""
        os.fsync(self._handle)
        self._settle()
        old_handle, old = self._handle, int(self._path.stem)
        self._path, self._handle = _begin(self._folder, first)
        self._size = 0
        os.close(old_handle)
        self._compressing = self._worker.submit(_finish, self._folder, old)

    def _settle(self) -> None:
        if self._compressing is not None:
            running, self._compressing = self._compressing, None
            running.result()

    def _settle_sync(self) -> None:
        if self._syncing is not None:
            running, self._syncing = self._syncing, None
            running.result()


def read(folder: Path, after: int = 0) -> Iterator[Event]:
    """Give the events of a journal from a position on, segment by segment.

    Needs no lock: a reader beside the writer sees what was there when it came to the
    active segment, and stops before an entry that is not yet whole.

    Args:
        folder: where the segments lie.
        after: number of events to pass over.

    Raises:
        JournalError: if a segment is missing or damaged, or the events asked for were
            deleted or never journalled.
    """
    firsts = _firsts(folder)
    if not firsts:
        raise JournalError(str(folder), "expected a journal, was none")
    if after < firsts[0]:
        problem = f"expected events from {after} on, first was {firsts[0]}"
        raise JournalError(str(folder), problem, "earlier ones were deleted")
    for first, following in zip(firsts, [*firsts[1:], None], strict=True):
        if following is not None and following <= after:
            continue
        path, data = _load(folder, first)
        entries = _scan(path, data)
        end = _hole(folder, first, following)
        if end is not None:
            _expect_whole(path, entries, len(data), end - first)
        yield from _events(path, memoryview(data)[: entries.end], after - first)
        if end != following:
            problem = f"events from {end} to {following} were not journalled"
            raise JournalError(str(folder), problem, "a checkpoint covers them")


def _plain(value: object) -> object:
    """Give a number of numpy's, which a feed may well hold, as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError


def unbroken(folder: Path) -> int:
    """Give the position from which on no event is missing.

    That is the first one where none was deleted, and the end of the last hole.
    """
    firsts = _firsts(folder)
    holes = (int(path.stem) for path in folder.glob(f"*{HOLE}"))
    last = max(holes, default=-1)
    return next((first for first in firsts if first > last), 0)


def _events(path: Path, data: memoryview, skip: int) -> Iterator[Event]:
    decode = msgspec.msgpack.Decoder(Event).decode
    at = number = 0
    while at < len(data):
        length, _ = HEADER.unpack_from(data, at)
        start, at = at + HEADER.size, at + HEADER.size + length
        if number >= skip:
            try:
                event = decode(data[start:at])
            except msgspec.DecodeError as e:
                problem = f"no event at byte {start - HEADER.size}: {e}"
                raise JournalError(str(path), problem, NEWER) from e
            yield event
        number += 1


class _Entries(NamedTuple):
    """How many whole entries a segment holds, and where the last one ends."""

    events: int
    end: int


def _scan(path: Path, data: bytes) -> _Entries:
    """Check entries up to the torn tail, if there is one."""
    count = at = 0
    view = memoryview(data)
    while at + HEADER.size <= len(data):
        length, expected = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        # zeros, as a power cut leaves them, would be an empty entry with a right sum
        if not length or end > len(data):
            break
        if zlib.crc32(view[at + HEADER.size : end]) != expected:
            break
        count, at = count + 1, end
    if at < len(data) and (later := _entry_after(data, at)) is not None:
        problem = f"damaged entry at byte {at}, a whole one follows at byte {later}"
        raise JournalError(str(path), problem, RESTORE)
    return _Entries(count, at)


def _entry_after(data: bytes, damaged: int) -> int | None:
    """Find a whole entry behind a damaged one: then that one is no torn tail."""
    octets = np.frombuffer(data, np.uint8)[damaged + 1 :].astype(np.uint32)
    count = max(len(octets) - HEADER.size, 0)
    lengths = sum(octets[i : i + count] << np.uint32(8 * i) for i in range(4))
    room = np.arange(count, 0, -1)
    likely = (lengths > 0) & (lengths <= np.minimum(room, LARGEST_GUESS))
    view = memoryview(data)
    for at in (np.flatnonzero(likely) + damaged + 1).tolist():
        length, expected = HEADER.unpack_from(data, at)
        payload = at + HEADER.size
        if zlib.crc32(view[payload : payload + length]) == expected:
            return int(at)
    return None


def _expect_whole(path: Path, entries: _Entries, size: int, expected: int) -> None:
    if entries.end != size:
        problem = f"damaged entry at byte {entries.end} of a finished segment"
        raise JournalError(str(path), problem, RESTORE)
    if entries.events != expected:
        problem = f"expected {expected} events, was {entries.events}"
        raise JournalError(str(path), problem, "a segment is missing; restore it")


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as e:
        raise JournalError(str(folder), *atomic.explain(e)) from e
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        os.close(handle)
        hint = "stop it or choose another folder"
        raise JournalError(str(folder), "another process writes here", hint) from e
    return handle


def _firsts(folder: Path) -> list[int]:
    """List the first positions of the segments, in order."""
    paths = (p for end in (ACTIVE, FINISHED) for p in folder.glob(f"*{end}"))
    return sorted({int(p.name.partition(".")[0]) for p in paths})


def _hole(folder: Path, first: int, following: int | None) -> int | None:
    """Give where a segment ends: at the next one, or where a hole begins before it."""
    holes = (int(path.stem) for path in folder.glob(f"*{HOLE}"))
    within = (h for h in holes if following is not None and first <= h < following)
    return min(within, default=following)


def _begin(folder: Path, first: int) -> tuple[Path, int]:
    """Open a segment for appending, made if absent."""
    path = folder / f"{first:012d}{ACTIVE}"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    handle = os.open(path, flags, 0o644)
    atomic.sync(folder)
    return path, handle


def _segment(folder: Path, first: int) -> Path:
    plain = folder / f"{first:012d}{ACTIVE}"
    return plain if plain.exists() else folder / f"{first:012d}{FINISHED}"


def _load(folder: Path, first: int) -> tuple[Path, bytes]:
    """Read a segment, whichever form it has by now."""
    plain = folder / f"{first:012d}{ACTIVE}"
    path = plain
    try:
        return plain, plain.read_bytes()
    except FileNotFoundError:
        path = folder / f"{first:012d}{FINISHED}"
    try:
        with gzip.open(path) as file:
            return path, file.read()
    except (OSError, EOFError, zlib.error) as e:
        raise JournalError(str(path), f"cannot be read: {e}", RESTORE) from e


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _finish(folder: Path, first: int) -> None:
    """Compress a segment, if that was not done; the plain one goes last."""
    plain = folder / f"{first:012d}{ACTIVE}"
    if plain.exists():
        # mtime=0: the same events give the same bytes
        packed = gzip.compress(plain.read_bytes(), COMPRESSION, mtime=0)
        atomic.write(folder / f"{first:012d}{FINISHED}", packed)
        plain.unlink()
