"""A file lock: one process of this machine writes to a run; `epoch` is for several.

The system releases the lock when its process ends, even by a crash.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from sfm_stream.errors import JournalError, StorageError
from sfm_stream.storage import atomic, segment

NAME = "lock"


def hold(folder: Path, fault: type[StorageError] = JournalError) -> int:
    """Lock a folder.

    Args:
        folder: a journal, or a run without one.
        fault: type of the error.

    Returns:
        Handle of the lock file; the folder is locked until it is closed.

    Raises:
        StorageError: of type `fault`, if another process of this machine holds the
            lock, or the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as e:
        raise fault(str(folder), *atomic.explain(e)) from e
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        os.close(handle)
        if not isinstance(e, BlockingIOError):
            raise fault(str(folder), *atomic.explain(e)) from e
        hint = "stop it or choose another folder"
        raise fault(str(folder), "another process writes here", hint) from e
    return handle


def expect_held(handle: int, folder: Path) -> None:
    """Expect that a held lock is still the lock file of the folder.

    Raises:
        OSError: if the folder has another lock file, or none.
    """
    if not os.path.samestat(os.fstat(handle), (folder / NAME).stat()):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def take_over(folder: Path) -> None:
    """Take a journal away from a fenced process that may come back.

    The active segment is replaced by a copy, and the lock file is removed: the other
    process still has the old files open, but no process reads them any more.

    Args:
        folder: a journal whose writer is fenced; it may be absent.

    Raises:
        JournalError: if the disk is full or refuses.
    """
    try:
        for path in folder.glob(f"*{segment.ACTIVE}"):
            atomic.write(path, path.read_bytes())
        (folder / NAME).unlink(missing_ok=True)
    except OSError as e:
        raise JournalError(str(folder), *atomic.explain(e)) from e
