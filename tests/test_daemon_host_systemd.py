from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import contextmanager

import pytest

from sfm_stream.daemon.host.systemd import Notifier, Progress, watch
from sfm_stream.errors import ConfigError


class Manager:
    """A service manager: its socket, and all it was told and heard in complaint."""

    def __init__(self, there):
        self._there, self.said = there, []

    def notifier(self, path, **environment):
        return Notifier({"NOTIFY_SOCKET": str(path), **environment}, self.said.append)

    def told(self):
        """Give what has come: a datagram is there as soon as it was sent."""
        found = []
        while True:
            try:
                found.append(self._there.recv(4096).decode())
            except BlockingIOError:
                return found


@contextmanager
def manager(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(path))
        there.setblocking(False)
        yield Manager(there)


def test_each_state_is_a_datagram(tmp_path):
    path = tmp_path / "notify"
    with manager(path) as systemd:
        notifier = systemd.notifier(path)
        notifier.ready("live")
        notifier.status("catching up,\n2 s behind")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        notifier.reloading()
        notifier.stopping()
        notifier.alive()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        ready, status, reloading, *rest = systemd.told()
        assert ready == "READY=1\nSTATUS=live"
        assert status == "STATUS=catching up, 2 s behind"
        reload, stamp = reloading.split("\nMONOTONIC_USEC=")
        assert reload == "RELOADING=1"
        assert before <= int(stamp) <= after
        assert rest == ["STOPPING=1", "WATCHDOG=1"]
        assert systemd.said == []


def test_an_abstract_socket_is_reached():
    name = f"sfm-stream-test-{os.getpid()}"
    with manager(f"\0{name}") as systemd:
        systemd.notifier(f"@{name}").stopping()
        assert systemd.told() == ["STOPPING=1"]


def test_without_a_service_manager_nothing_is_sent():
    said = []
    notifier = Notifier({"WATCHDOG_USEC": "1000"}, said.append)
    notifier.ready("live")
    assert (notifier.interval, said) == (None, [])


def test_a_service_manager_that_is_gone_is_complained_of_once(tmp_path):
    path = tmp_path / "notify"
    with manager(path) as systemd:
        notifier = systemd.notifier(path)
        path.unlink()
        notifier.ready("live")
        notifier.alive()
        assert systemd.said == [
            "the service manager cannot be told: No such file or directory"
        ]


def test_a_service_manager_that_does_not_read_keeps_no_one_waiting(tmp_path):
    path = tmp_path / "notify"
    with manager(path) as systemd:
        notifier = systemd.notifier(path)
        for _ in range(10_000):
            notifier.alive()
        assert systemd.said == [
            "the service manager cannot be told: Resource temporarily unavailable"
        ]


def test_the_environment_is_read_once(tmp_path):
    path = tmp_path / "notify"
    environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "30000000"}
    with manager(path) as systemd:
        notifier = Notifier(environment, systemd.said.append)
        environment.clear()
        notifier.alive()
        assert systemd.told() == ["WATCHDOG=1"]
        assert notifier.interval == 15.0


@pytest.mark.parametrize(
    ("pid", "interval"),
    [("1", None), (str(os.getpid()), 0.5), ("", 0.5)],
    ids=["another", "this", "any"],
)
def test_a_watchdog_meant_for_another_process_is_let_be(pid, interval):
    environment = {
        "NOTIFY_SOCKET": "@x",
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": pid,
    }
    assert Notifier(environment, print).interval == interval


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOTIFY_SOCKET", "vsock:2:1234"), ("WATCHDOG_USEC", "soon"), ("WATCHDOG_USEC", "0")],
)  # fmt: skip
def test_an_environment_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name}: expected .*; unset it"):
        Notifier({"NOTIFY_SOCKET": "@x", name: value}, print)


def signs(path, states):
    """Give the number of signs of life after each look at the model."""
    steps, seen = iter(states), []

    async def sleep(seconds):
        seen.append((seconds, len(systemd.told())))

    def progress():
        try:
            return Progress(*next(steps))
        except StopIteration:
            raise asyncio.CancelledError from None

    with manager(path) as systemd:
        notifier = systemd.notifier(path, WATCHDOG_USEC="2000000")
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(watch(notifier, progress, sleep))
    assert {seconds for seconds, _ in seen} == {1.0}
    return [count for _, count in seen]


def test_a_model_that_gets_on_is_alive(tmp_path):
    assert signs(tmp_path / "n", [(1, 5), (2, 9), (4, 900)]) == [1, 1, 1]


def test_a_model_that_is_stuck_gives_no_sign_until_it_gets_on(tmp_path):
    assert signs(tmp_path / "n", [(1, 5), (1, 5), (1, 9), (2, 9)]) == [1, 0, 0, 1]


def test_a_model_with_nothing_to_do_is_alive(tmp_path):
    assert signs(tmp_path / "n", [(1, 5), (1, 0), (1, 0), (1, 1)]) == [1, 1, 1, 0]


def test_nobody_who_is_not_watched_gives_signs(tmp_path):
    with manager(tmp_path / "n") as systemd:
        notifier = systemd.notifier(tmp_path / "n")
        asyncio.run(watch(notifier, lambda: Progress(1, 0)))
        assert systemd.told() == []
