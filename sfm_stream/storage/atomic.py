"""Files that are written whole or not at all, whatever stops the machine.

The recipe is the usual one: write beside the final name, fsync, rename, fsync the
folder that holds the name. Errors stay `OSError`; each room gives them its own type.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeAlias

TEMPORARY = ".tmp"
Bytes: TypeAlias = bytes | bytearray | memoryview


def write(path: Path, data: Bytes) -> None:
    """Write a file at once: afterwards it is on disk whole, or it is as before.

    Args:
        path: final name; `<name>.tmp` beside it is used on the way.
        data: its content.

    Raises:
        OSError: if the disk is full or refuses; nothing is left behind.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        temporary.write_bytes(data)
        sync(temporary)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def append(handle: int, data: Bytes) -> None:
    """Hand bytes to the system, all of them or none.

    Args:
        handle: a file opened with `O_APPEND`.
        data: what to add at its end.

    Raises:
        OSError: if the disk is full or refuses; the file is as long as before.
    """
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
    except OSError:
        written = len(data) - len(rest)
        os.ftruncate(handle, os.fstat(handle).st_size - written)
        raise


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk.

    Raises:
        OSError: if the disk is full or refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def identity(path: Path) -> tuple[int, int] | None:
    """Give device and inode of what a path names; None if nothing is there.

    Raises:
        OSError: if it may not be looked at.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path, *beside: str) -> None:
    """Rename what a path names to `<name>.aside-<n>`, if it names anything.

    Args:
        path: of a file or folder.
        beside: ends of the names of files that belong to it, e.g. `-wal`.

    Raises:
        OSError: if it cannot be.
    """
    names = (f"{path}.aside-{number}" for number in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    for end in ("", *beside):
        with suppress(FileNotFoundError):
            Path(f"{path}{end}").rename(f"{aside}{end}")


def explain(error: OSError) -> tuple[str, str]:
    """Say what a failed write means and what to do about it."""
    reason = (error.strerror or str(error)).lower()
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "the disk is full", "free space, then resume or start again"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        problem = f"cannot be opened: {reason}"
        return problem, "raise the limit of open files (ulimit -n, LimitNOFILE=)"
    return f"cannot be used: {reason}", "check that the folder exists and is writable"
