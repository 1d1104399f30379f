"""The pid file of a run: the process that works on it, and how the last one ended.

The process holds a lock on RUN/daemon.pid while it lives, so a pid that the system gave
to another process later is never taken for ours: the system releases the lock of a
killed process. The first line is the pid, the second how that process ended in order.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sfm_stream.errors import AddressError, StorageError
from sfm_stream.storage import atomic

NAME = "daemon.pid"
STOPPED, FAILED = "stopped", "failed"
BETWEEN_S = 0.05
HINT = "name the folder of its run, or the address that its daemon.listen names"


class End(NamedTuple):
    """The end of a process that was asked to stop.

    Attributes:
        pid: id of the process.
        seconds: time until it ended.
        how: `stopped`, or what went wrong; empty if it wrote nothing, as when killed.
    """

    pid: int
    seconds: float
    how: str


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's pid file within a `with` block; write at the end how it went.

    Args:
        folder: folder of the run; made if absent.

    Raises:
        StorageError: if another process holds it, or the file cannot be written.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as e:
        raise StorageError(str(path), *atomic.explain(e)) from e
    try:
        _own(handle, path)
        how = FAILED
        try:
            yield
            how = STOPPED
        finally:
            _sign(handle, path, how)
    finally:
        os.close(handle)


def sign(folder: Path, how: str) -> None:
    """Write into a run's pid file how this process ends, if it holds the file.

    Raises:
        StorageError: if the disk is full or refuses.
    """
    if owner(folder) != os.getpid():
        return
    path = folder / NAME
    try:
        with path.open("r+b", buffering=0) as file:
            _sign(file.fileno(), path, how)
    except OSError as e:
        raise StorageError(str(path), *atomic.explain(e)) from e


def take_over(folder: Path) -> None:
    """Remove the pid file, so that a new process need not wait for a silent holder.

    Raises:
        StorageError: if the disk refuses.
    """
    try:
        (folder / NAME).unlink(missing_ok=True)
    except OSError as e:
        raise StorageError(str(folder / NAME), *atomic.explain(e)) from e


def _sign(handle: int, path: Path, how: str) -> None:
    # by its handle: the path may name another process's file by now
    try:
        os.pwrite(handle, f"{how}\n".encode(), os.fstat(handle).st_size)
    except OSError as e:
        raise StorageError(str(path), *atomic.explain(e)) from e


def _own(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as e:
        problem = f"expected no process on this run, was process {_said(path)[0]}"
        hint = f"stop it with `sfm-stream stop {path.parent}` or name another folder"
        raise StorageError(str(path.parent), problem, hint) from e
    except OSError as e:
        raise StorageError(str(path), *atomic.explain(e)) from e


def owner(folder: Path) -> int | None:
    """Give the pid of the process that works on a run, or None.

    Raises:
        StorageError: if the file cannot be read.
    """
    path = folder / NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise StorageError(str(path), *atomic.explain(e)) from e
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(path)[0]
    except OSError as e:
        raise StorageError(str(path), *atomic.explain(e)) from e
    finally:
        os.close(handle)
    return None


def _said(path: Path) -> tuple[int, str]:
    """Read the pid, 0 just before it is written, and how that process ended."""
    lines = [*path.read_text(encoding="utf-8").splitlines(), "", ""]
    return int(lines[0] or 0), lines[1]


def stop(folder: Path, patience: float) -> End:
    """Send SIGTERM to the process that works on a run, and wait until it has ended.

    Args:
        folder: folder of the run.
        patience: most seconds to wait.

    Raises:
        AddressError: if no process works there, it belongs to another user, or it does
            not end in time.
        StorageError: if the run's pid file cannot be read.
    """
    pid = owner(folder)
    if not pid:
        raise AddressError(str(folder), "expected a daemon on this run, was none", HINT)
    begun = time.monotonic()
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has ended by itself
    except PermissionError as e:
        problem = f"process {pid} belongs to another user"
        raise AddressError(str(folder), problem, "ask as that user") from e
    while owner(folder) == pid:
        if time.monotonic() - begun > patience:
            problem = f"process {pid} is asked, but not gone after {patience:g} s"
            hint = "wait longer, or kill it: the next start recovers"
            raise AddressError(str(folder), problem, hint)
        time.sleep(BETWEEN_S)
    return End(pid, time.monotonic() - begun, _said(folder / NAME)[1])
