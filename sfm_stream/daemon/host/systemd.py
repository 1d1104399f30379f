"""Messages to systemd by `sd_notify`: ready, reloading, alive, stopping."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from sfm_stream.errors import ConfigError
from sfm_stream.notices import Say, warning

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
US = 10**6
SIGNS = 2
"""Watchdog messages within the time after which a process counts as stuck."""


class Progress(NamedTuple):
    """The progress of the model.

    Attributes:
        steps: number of batches it has processed.
        waiting: number of events that wait for it.
    """

    steps: int
    waiting: int


class Notifier:
    """Sends messages to the service manager, if one started this process.

    Args:
        environment: environment of the process, read only here.
        say: takes one message if sending fails.

    Attributes:
        interval: seconds between watchdog messages; None if none are wanted.

    Raises:
        ConfigError: if a variable of the environment is invalid.
    """

    def __init__(self, environment: Mapping[str, str], say: Say) -> None:
        self._say, self._failed = say, False
        self._address = _address(environment.get(SOCKET, ""))
        self.interval = _interval(environment) if self._address else None

    def ready(self, status: str) -> None:
        """Report that the process is up, or reloaded, with its state."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Report the state in one line."""
        self._send(f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """Report that the process reloads its settings; `ready` ends that."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Report that the process is stopping."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Send a watchdog message."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
                there.setblocking(False)
                there.sendto(message.encode(), self._address)
        except OSError as e:
            if not self._failed:  # it would fail each second in the same way
                why = e.strerror or e
                self._say(warning(f"the service manager cannot be told: {why}"))
            self._failed = True


async def watch(
    notifier: Notifier,
    progress: Callable[[], Progress],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Send watchdog messages while the model makes progress, or no event waits.

    It runs until cancelled, or ends at once if no messages are wanted. A venue that is
    down is no reason to stop them: a restart would not bring it back.

    Args:
        notifier: sends the messages.
        progress: gives the progress of the model.
        sleep: sleeps for a number of seconds.
    """
    if notifier.interval is None:
        return
    before = None
    while True:
        now = progress()
        if now.steps != before or not now.waiting:
            notifier.alive()
        before = now.steps
        await sleep(notifier.interval)


def _address(path: str) -> str:
    """Give the socket's address; an abstract one begins with a zero byte."""
    if path and path[0] not in "/@":
        problem = f"expected a path or an abstract name, was {path!r}"
        raise ConfigError(SOCKET, problem, "unset it to tell no one")
    return f"\0{path[1:]}" if path.startswith("@") else path


def _interval(environment: Mapping[str, str]) -> float | None:
    text = environment.get(WATCHDOG, "")
    mine = environment.get(WATCHDOG_PID, "") in ("", str(os.getpid()))
    if not (text and mine):
        return None
    if not text.isdecimal() or not int(text):
        problem = f"expected a count of microseconds, was {text!r}"
        raise ConfigError(WATCHDOG, problem, "unset it to be watched by no one")
    return int(text) / US / SIGNS


def _line(text: str) -> str:
    return " ".join(text.split())
