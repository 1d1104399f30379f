"""Which process may write to a run: the one with the highest number.

    RUN/epochs/000000000007    of the seventh process that worked on the run

Whoever starts makes the file of the next number, which succeeds for one process alone,
on shared storage too, and removes those below. A process whose file is gone is fenced:
it was thought dead, and must not write any more. A process that works touches its file
again and again; nobody may take its place before its file has been untouched for the
length of a lease. Clocks of two machines are never compared.

The file is locked besides. A lock ends with its process, but on most shared storage it
is seen on its own machine alone; so only a process of the same machine learns from it
that another has ended.
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
    """The number of a process on a run, for as long as it works there.

    Args:
        path: its file, just made.
        handle: the file, open.
        seized: whether the process before was silent and may come back.

    Attributes:
        number: its own.
        seized: as given.
        problem: why the file could not be touched of late, or empty.
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
            Fenced: if one has, or the run's folder is gone.
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
        """Say that this process no longer works on the run, and let the next one in.

        Raises:
            StorageError: if it cannot be said; then a process of another machine waits
                for the lease to run out.
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
        """Touch the file again and again; shared storage may be away for a while."""
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
    """Take the next number of a run, when nobody works there any more.

    Args:
        run: its folder; made if absent.
        lease: seconds for which the process before must be silent, unless it is known
            to have ended.
        elapsed: gives seconds that never run backwards.
        pause: waits so many seconds.

    Raises:
        StorageError: if a process works on the run, or the folder cannot be written.
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
    """Say whether nobody has an epoch there: who takes a run leaves a file of one."""
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
    """Wait until an epoch's file is untouched for the length of a lease, or gone.

    Raises:
        StorageError: if its process still works.
    """
    begun, before = elapsed(), _touched(path)
    while before is not None and elapsed() - begun < lease:
        pause(BETWEEN_S)
        now = _touched(path)
        if now is not None and now != before:
            run = path.parent.parent
            hint = f"stop it with `sfm-stream stop {run}` or name another folder"
            raise StorageError(str(run), f"{_who(path)} lives on this run", hint)
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
    """Read the machine and the process of an epoch, and whether it has left."""
    text = os.pread(handle, MOST_BYTES, 0).decode()
    lines = [*text.splitlines(), "", "", ""]
    return lines[0], lines[1], lines[2]


def _machine() -> str:
    """Name this machine until it is started anew; no other has the same name."""
    return BOOT.read_text("utf-8").strip() if BOOT.exists() else socket.gethostname()


def _claimed(place: Path, number: int, *, seized: bool) -> Epoch | None:
    """Make the file of a number; None if another process has it, or a later one."""
    path = place / _name(number)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o644)
    except FileExistsError:
        return None
    fcntl.flock(handle, fcntl.LOCK_EX)
    who = f"{_machine()}\nprocess {os.getpid()} on {socket.gethostname()}\n"
    os.write(handle, who.encode())
    numbers = _numbers(place)
    # while this process slept, others may have used and removed its number
    if max(numbers) > number:
        path.unlink()
        os.close(handle)
        return None
    for lower in numbers:
        if lower < number:
            (place / _name(lower)).unlink(missing_ok=True)
    atomic.sync(place)
    return Epoch(path, handle, seized=seized)
