"""Epochs: the process with the highest number is the only one that may write to a run.

    RUN/epochs/000000000007    file of the seventh process that worked on the run

A process that starts creates the file of the next number, which succeeds for only one
process, on shared storage too, and removes the files of lower numbers. A process whose
file is gone is fenced: it was taken for dead, and must not write any more. A running
process touches its file again and again; no other process may take its place before the
file has been untouched for the length of a lease. Clocks of two machines are never
compared.

The file is also locked. A lock ends with its process, but on most shared storage it is
visible only on the same machine; so only a process of the same machine learns from the
lock that the other process has ended.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from sfm_stream.errors import Fenced, StorageError
from sfm_stream.storage import atomic

NAME = "epochs"
PRIVATE_FOLDER = 0o700
RENEW_S = 0.25
BETWEEN_S = 0.05
BOOT = Path("/proc/sys/kernel/random/boot_id")
LEFT = "left"
MOST_BYTES = 4_096
GONE = (errno.ENOENT, errno.ESTALE)
HINT = "this process must end: the newer one goes on from the journal"
AWAY = "this process must end: put the folder back, then start anew"


class Epoch:
    """The number of a process on a run, held while it works there.

    Args:
        path: the epoch's file, just made.
        handle: the file, open.
        seized: whether the process before was only silent, so that it may come back.

    Attributes:
        number: the epoch.
        seized: as given.
        problem: why the last attempt to touch the file failed, or empty.
    """

    def __init__(self, path: Path, handle: int, *, seized: bool) -> None:
        self.number, self.seized, self.problem = int(path.name), seized, ""
        self._path, self._handle = path, handle
        self._inode = os.fstat(handle).st_ino
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._renewing.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def expect_own(self) -> None:
        """Expect that no other process has taken this one's place.

        Raises:
            Fenced: if another has, or the run's folder is gone.
        """
        try:
            is_own = self._path.stat().st_ino == self._inode
        except OSError as e:
            if e.errno not in GONE:
                raise StorageError(str(self._path), *atomic.explain(e)) from e
            is_own = False
        if not is_own:
            run, over = str(self._path.parent.parent), f"epoch {self.number} is over"
            if _is_away(self._path.parent):
                raise Fenced(run, f"{over}: the folder was moved or deleted", AWAY)
            raise Fenced(run, f"{over}: another process took the run", HINT)

    def close(self) -> None:
        """Write that this process has left the run, so that the next one may start.

        Raises:
            StorageError: if that cannot be written; then a process of another machine
                waits for the lease to run out.
        """
        self._ended.set()
        self._renewing.join()
        said = f"{LEFT}\n".encode()
        try:
            os.pwrite(self._handle, said, os.fstat(self._handle).st_size)
        except OSError as e:
            raise StorageError(str(self._path), *atomic.explain(e)) from e
        finally:
            os.close(self._handle)

    def _renew(self) -> None:
        """Touch the file until closed; shared storage may fail for a while."""
        while not self._ended.wait(RENEW_S):
            try:
                os.utime(self._handle)
            except OSError as e:
                self.problem = f"lease: cannot be renewed: {e.strerror or e}"
            else:
                self.problem = ""


def take(
    run: Path,
    lease: float,
    *,
    elapsed: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Epoch:
    """Take the next number of a run, once no other process works on it.

    Args:
        run: folder of the run; made if absent.
        lease: seconds that the process before must be silent, unless it is known to
            have ended.
        elapsed: gives the seconds of a monotonic clock.
        pause: sleeps for a number of seconds.

    Raises:
        StorageError: if another process works on the run, or the folder cannot be
            written.
    """
    place, seized = run / NAME, False
    try:
        run.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        place.mkdir(exist_ok=True)
        while True:
            numbers = _numbers(place)
            newest = place / _name(max(numbers, default=0))
            if numbers and not _is_free(newest):
                _outwait(newest, lease, elapsed, pause)
                seized = True
            if (
                epoch := _claimed(place, int(newest.name) + 1, seized=seized)
            ) is not None:
                return epoch
    except OSError as e:
        raise StorageError(str(place), *atomic.explain(e)) from e


def _name(number: int) -> str:
    return f"{number:012d}"


def _numbers(place: Path) -> list[int]:
    return [int(p.name) for p in place.iterdir() if p.name.isdecimal()]


def _is_away(place: Path) -> bool:
    """Say whether no epoch has a file: a process that takes a run leaves its own."""
    try:
        return not _numbers(place)
    except OSError:
        return True


def _is_free(path: Path) -> bool:
    """Say whether the process of an epoch is known to have ended."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # the epoch is over
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        machine, _, left = _said(handle)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return bool(left) or machine == _machine()


def _outwait(
    path: Path,
    lease: float,
    elapsed: Callable[[], float],
    pause: Callable[[float], None],
) -> None:
    """Wait until an epoch's file was untouched for the length of a lease, or is gone.

    Raises:
        StorageError: if its process still runs.
    """
    begun, before = elapsed(), _touched(path)
    while before is not None and elapsed() - begun < lease:
        pause(BETWEEN_S)
        now = _touched(path)
        if now is not None and now != before:
            run = path.parent.parent
            hint = f"stop it with `sfm-stream stop {run}` or name another folder"
            problem = f"expected no process on this run, was {_who(path)}"
            raise StorageError(str(run), problem, hint)
        before = now


def _who(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _said(handle)[1]
    finally:
        os.close(handle)


def _touched(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _said(handle: int) -> tuple[str, str, str]:
    """Read an epoch's machine and process, and the word it wrote if it left the run."""
    text = os.pread(handle, MOST_BYTES, 0).decode()
    lines = [*text.splitlines(), "", "", ""]
    return lines[0], lines[1], lines[2]


def _machine() -> str:
    """Name this machine until its next boot; no other machine has the same name."""
    return BOOT.read_text("utf-8").strip() if BOOT.exists() else socket.gethostname()


def _claimed(place: Path, number: int, *, seized: bool) -> Epoch | None:
    """Create the file of a number; None if another process took it or a later one."""
    path = place / _name(number)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o644)
    except FileExistsError:
        return None
    try:
        _sign(handle)
        # while this process slept, others may have used and removed its number
        is_over = max(_numbers(place)) > number
    except OSError:
        _give_back(path, handle)
        raise
    if is_over:
        _give_back(path, handle)
        return None
    try:
        _remove_below(place, number)
    except OSError:
        os.close(handle)  # it is signed: the next process sees that this one has ended
        raise
    return Epoch(path, handle, seized=seized)


def _sign(handle: int) -> None:
    """Lock the file of an epoch and say in it whose it is."""
    fcntl.flock(handle, fcntl.LOCK_EX)
    who = f"{_machine()}\nprocess {os.getpid()} on {socket.gethostname()}\n"
    os.write(handle, who.encode())


def _give_back(path: Path, handle: int) -> None:
    try:
        path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _remove_below(place: Path, number: int) -> None:
    for lower in _numbers(place):
        if lower < number:
            (place / _name(lower)).unlink(missing_ok=True)
    atomic.sync(place)
