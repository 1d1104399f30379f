"""What tests of the live process share: a small engine, ticks, a clock that is told."""

from __future__ import annotations

import errno
import os

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Tick
from sfm_stream.settings import Daemon

SECOND = 10**9
START = 1_700_000_000 * SECOND
SMALL = {
    "model": {"states": 4, "frequencies": 3, "outputs": 5},
    "learn": {"window": 8, "every": 8},
    "features": {"lags": 3},
}


class Time:
    """A clock that stands still until it is told how late it is."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return START + round(self.seconds * SECOND)

    def elapsed(self):
        return self.seconds


def block(events):
    """Give events of one field as a feed gives them."""
    return Block.of(events, 1)


def settings_of(**tree):
    return from_tree({**SMALL, **tree})


def engine_of(**tree):
    return Engine(settings_of(**tree), ("x",))


def tick(number, stream="a", value=None):
    """A tick received so many milliseconds after the start."""
    at = START + number * 10**6
    return Tick(stream, at, (float(number % 7) if value is None else value,), at)


def ticks(start, stop, **given):
    return [tick(i, **given) for i in range(start, stop)]


def daemon_of(**given):
    return Daemon(**given)


def no_locks(*_):
    """Refuse to lock, as shared storage does without its service of locks."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def full_disk(*_):
    """Refuse to write, as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
