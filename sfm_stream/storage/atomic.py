"""Files that are written completely or not at all, even if the machine stops.

The usual steps: write to a temporary name, fsync, rename, fsync the folder. Errors stay
`OSError`; each caller raises them as an error type of its own.
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
    """Write a file atomically: it is on disk completely, or unchanged.

    Args:
        path: final name; the data is first written to `<name>.tmp` beside it.
        data: its content.

    Raises:
        OSError: if the disk is full or refuses; the temporary file is removed.
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
    """Write bytes at the end of a file, all of them or none.

    Args:
        handle: a file opened with `O_APPEND`.
        data: the bytes to append.

    Raises:
        OSError: if the disk is full or refuses; the file keeps its length.
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
    """Wait until a file, or the list of names in a folder, is on disk.

    Raises:
        OSError: if the disk is full or refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def identity(path: Path) -> tuple[int, int] | None:
    """Give the device and inode of a file or folder; None if it does not exist.

    Raises:
        OSError: if the system refuses to look at it.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def unused(stem: str) -> str:
    """Give the first path `<stem>-<n>`, n = 1, 2 ..., that does not exist."""
    names = (f"{stem}-{number}" for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


def set_aside(path: Path, *beside: str) -> None:
    """Rename a file or folder to `<name>.aside-<n>`, if it exists.

    Args:
        path: of the file or folder.
        beside: suffixes of the names of files that belong to it, e.g. `-wal`.

    Raises:
        OSError: if it cannot be renamed.
    """
    aside = unused(f"{path}.aside")
    for end in ("", *beside):
        with suppress(FileNotFoundError):
            Path(f"{path}{end}").rename(f"{aside}{end}")


def explain(error: OSError) -> tuple[str, str]:
    """Give the problem behind a failed write or lock, and a hint how to solve it."""
    reason = (error.strerror or str(error)).lower()
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "the disk is full", "free space, then resume or start again"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        problem = f"cannot be opened: {reason}"
        return problem, "raise the limit of open files (ulimit -n, LimitNOFILE=)"
    if error.errno == errno.ENOLCK:
        return f"cannot be locked: {reason}", "choose a folder on a disk that has locks"
    problem = f"cannot be used: {reason}"
    if error.errno == errno.EISDIR:
        return problem, "name a file"
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return problem, "a file stands there, or above it: name another folder"
    return problem, "check that the folder exists and is writable"
