"""Which process of this machine writes to a run; see `epoch` for all machines.

The lock ends with its process, whatever ends that.
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
    """Lock a folder for as long as the file that is given stays open.

    Args:
        folder: a journal, or a run without one.
        fault: the error that tells of it.

    Raises:
        StorageError: `fault`, if another process of this machine has it, or the disk
            refuses.
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
        hint = "stop it or choose another folder"
        raise fault(str(folder), "another process writes here", hint) from e
    return handle


def expect_held(handle: int, folder: Path) -> None:
    """Expect that a lock is still the one of the folder.

    Raises:
        OSError: if the folder's is another or none.
    """
    if not os.path.samestat(os.fstat(handle), (folder / NAME).stat()):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def take_over(folder: Path) -> None:
    """Put a journal out of the reach of a process that may come back.

    The active segment becomes a file of its own, a copy, and so does the lock: the
    other process still holds the files of before, which nobody reads.

    Args:
        folder: of a journal whose writer is fenced; one that is not there is left so.

    Raises:
        JournalError: if the disk is full or refuses.
    """
    try:
        for path in folder.glob(f"*{segment.ACTIVE}"):
            atomic.write(path, path.read_bytes())
        (folder / NAME).unlink(missing_ok=True)
    except OSError as e:
        raise JournalError(str(folder), *atomic.explain(e)) from e
