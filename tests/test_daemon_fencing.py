"""Two daemons on one run: the newer one has it, whatever becomes of the older one."""

from __future__ import annotations

import signal

import pytest

from tests.shard_rig import Daemon, said, venue


@pytest.fixture
def config(tmp_path):
    with venue(tmp_path, ["a", "b"]) as path:
        yield path


def test_a_daemon_that_sleeps_longer_than_its_lease_is_replaced_and_ends(
    config, tmp_path
):
    run = tmp_path / "run"
    sleeper = Daemon(config, run)
    sleeper.until_events()
    sleeper.signal(signal.SIGSTOP)
    heir = Daemon(config, run)
    heir.until(lambda: heir.number == 2)
    heir.until_events()
    sleeper.signal(signal.SIGCONT)
    told = sleeper.end()
    assert sleeper.process.returncode == 1
    assert "epoch 1 is over: another process took the run" in told
    heir.until_events()
    heir.signal(signal.SIGTERM)
    assert "the process before was silent" in heir.end()
    assert heir.process.returncode == 0
    told, code = said("verify", run)
    assert (code, "are identical" in told) == (0, True), told


def test_a_second_daemon_on_a_living_run_is_refused(config, tmp_path):
    run = tmp_path / "run"
    first = Daemon(config, run)
    first.until_events()
    second = Daemon(config, run)
    told = second.end()
    assert second.process.returncode == 1
    assert "expected no process on this run, was process" in told
    first.until_events()
    first.signal(signal.SIGKILL)
    first.end()
    third = Daemon(config, run, "--set", "daemon.lease=1h")
    third.until_events()
    third.signal(signal.SIGTERM)
    third.end()
    assert third.process.returncode == 0
    told, code = said("verify", run)
    assert (code, "are identical" in told) == (0, True), told
