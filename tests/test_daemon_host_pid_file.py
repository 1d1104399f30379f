from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from sfm_stream.daemon.host import pid_file
from sfm_stream.errors import AddressError, StorageError
from tests.daemon_rig import no_locks
from tests.daemon_web import served_apart
from tests.pages import ROOT
from tests.vitals_rig import WELL

# Lives on a run until it is told to stop; says so, ends so, or does not listen.
LIVING = """
import signal, sys
from pathlib import Path
from sfm_stream.daemon.host import pid_file

folder, manner = Path(sys.argv[1]), sys.argv[2]
if manner == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif manner == "orderly":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
with pid_file.held(folder):
    print("here", flush=True)
    signal.sigwait({signal.SIGTERM}) if manner == "orderly" else signal.pause()
"""


@pytest.fixture
def living(tmp_path):
    """Start a process that lives on a run."""
    started = []

    def start(manner):
        process = subprocess.Popen(  # noqa: S603 our own interpreter
            [sys.executable, "-c", LIVING, tmp_path / "run", manner],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "here\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_is_owned_while_its_process_lives(tmp_path):
    assert pid_file.owner(tmp_path / "run") is None
    with pid_file.held(tmp_path / "run"):
        assert pid_file.owner(tmp_path / "run") == os.getpid()
    assert pid_file.owner(tmp_path / "run") is None
    text = (tmp_path / "run" / pid_file.NAME).read_text()
    assert text == f"{os.getpid()}\nstopped\n"


def test_a_second_process_on_a_run_is_refused_and_told_of_the_first(tmp_path):
    with pid_file.held(tmp_path):
        with pytest.raises(StorageError, match=f"run, was process {os.getpid()}"):
            with pid_file.held(tmp_path):
                pass
        assert pid_file.owner(tmp_path) == os.getpid()


def test_a_disk_without_locks_is_not_told_as_another_process(tmp_path, monkeypatch):
    with pid_file.held(tmp_path):
        pass
    monkeypatch.setattr(pid_file.fcntl, "flock", no_locks)
    with pytest.raises(StorageError, match="cannot be locked: no locks available"):
        pid_file.owner(tmp_path)
    with pytest.raises(StorageError, match="cannot be locked: no locks available"):
        with pid_file.held(tmp_path):
            pass


def test_a_process_that_fails_says_so(tmp_path):
    with pytest.raises(ZeroDivisionError), pid_file.held(tmp_path):
        _ = 1 / 0
    assert (tmp_path / pid_file.NAME).read_text() == f"{os.getpid()}\nfailed\n"


@pytest.mark.parametrize(("manner", "how"), [("orderly", "stopped"), ("rash", "")])
def test_a_process_is_stopped_and_what_became_of_it_is_told(
    living, tmp_path, manner, how
):
    process = living(manner)
    end = pid_file.stop(tmp_path / "run", patience=60)
    assert (end.pid, end.how) == (process.pid, how)
    assert pid_file.owner(tmp_path / "run") is None


def test_one_that_does_not_listen_is_waited_for_so_long(living, tmp_path):
    living("deaf")
    with pytest.raises(AddressError, match=r"not gone after 0\.1 s"):
        pid_file.stop(tmp_path / "run", patience=0.1)


def test_a_killed_process_leaves_no_owner_whoever_has_its_number_now(tmp_path):
    (tmp_path / pid_file.NAME).write_text(f"{os.getpid()}\n")
    assert pid_file.owner(tmp_path) is None
    with pytest.raises(AddressError, match="expected a daemon on this run, was none"):
        pid_file.stop(tmp_path, patience=1)


@pytest.mark.parametrize(
    ("manner", "code", "told"),
    [("orderly", 0, "stopped after"), ("rash", 1, "ended without saying how")],
)
def test_the_command_stops_the_daemon_that_answers_at_an_address(
    living, tmp_path, sfm_stream, manner, code, told
):
    process, run = living(manner), tmp_path / "run"
    vitals = msgspec.structs.replace(WELL, pid=process.pid, run=str(run))
    with served_apart(ask=lambda: vitals) as url:
        exited, out, _ = sfm_stream("stop", url)
    assert exited == code
    assert f"process {process.pid} {told}" in out
    assert out.rstrip().endswith(f"run: {run}")


def test_a_mistyped_folder_is_no_address(sfm_stream):
    code, _, err = sfm_stream("stop", "runs/nothere")
    assert code == 1
    assert "runs/nothere: expected the folder of a run or an address, was ne" in err


def test_the_command_stops_no_process_of_another_machine(tmp_path, sfm_stream):
    vitals = msgspec.structs.replace(WELL, pid=os.getpid(), run=str(tmp_path))
    with served_apart(ask=lambda: vitals) as url:
        code, _, err = sfm_stream("stop", url)
    assert code == 1
    assert "is not of this machine; stop it where it runs" in err
