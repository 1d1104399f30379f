"""The active segment of a journal, and the number of its bytes that are synced.

After each sync the head of the file notes the number of synced bytes. The note itself
reaches the disk with the next sync, so it needs no sync of its own and never counts
bytes that are not on disk. A power cut can damage only bytes after that number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sfm_stream.storage import atomic, segment
from sfm_stream.storage.segment import Chain, Segment


class Active:
    """The segment that takes new entries.

    Args:
        found: the segment as read from disk; its head is whole.
        end: end of its last whole entry, in bytes of the body; the rest is cut off.

    Attributes:
        path: path of the file.
        size: bytes of its entries.
        chain: the mark so far.

    Raises:
        OSError: if the file cannot be opened or cut.
    """

    def __init__(self, found: Segment, end: int) -> None:
        self.path, self.size, self.chain = found.path, end, Chain(found.seed)
        self.chain.add(found.body[:end])
        self._noted = min(found.synced, end)
        self._appending = _open(self.path, os.O_APPEND)
        try:
            # a handle opened with O_APPEND cannot write into the head
            self._noting = _open(self.path, 0)
        except OSError:
            os.close(self._appending)
            raise
        try:
            if end < max(len(found.body), found.synced):
                self._cut(found.head + end)
        except OSError:
            self.close()
            raise

    def append(self, entries: bytes) -> None:
        """Write entries, all of them or none.

        Raises:
            OSError: if the disk is full or refuses.
        """
        atomic.append(self._appending, entries)
        self.chain.add(entries)
        self.size += len(entries)

    def sync(self) -> None:
        """Wait until all entries are on disk.

        Raises:
            OSError: if the disk refuses.
        """
        self.syncing()()

    def syncing(self) -> Callable[[], None]:
        """Give a function that waits until all entries so far are on disk.

        It may be called once, in any thread, also after the segment is closed.

        Raises:
            OSError: if the process has no free file descriptor.
        """
        return partial(self._sync, os.dup(self._noting), self.size)

    def close(self) -> None:
        """Close the file."""
        os.close(self._appending)
        os.close(self._noting)

    def _cut(self, end: int) -> None:
        os.ftruncate(self._appending, end)
        _note(self._noting, self._noted)
        os.fsync(self._appending)

    def _sync(self, handle: int, size: int) -> None:
        try:
            os.fsync(handle)
            if size > self._noted:
                _note(handle, size)
                self._noted = size
        finally:
            os.close(handle)


def _open(path: Path, flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags)


def _note(handle: int, size: int) -> None:
    os.pwrite(handle, segment.note(size), segment.HEAD.size)
