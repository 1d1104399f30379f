from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sfm_stream.errors import Fenced, StorageError
from sfm_stream.storage import atomic, epoch
from tests.daemon_rig import full_disk

HOLDER = """
import sys, time
from pathlib import Path
from sfm_stream.storage import epoch
own = epoch.take(Path(sys.argv[1]), 5.0)
print(own.number, flush=True)
while True:
    sys.stdin.readline()
    try:
        own.expect_own()
        print("own", flush=True)
    except Exception as e:
        print(type(e).__name__, flush=True)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that works on the run, and says whether it may write."""
    line = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(  # noqa: S603 our own interpreter
        line, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == "1\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def asked(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


class Clock:
    """Time that passes with each pause; each pause does something."""

    def __init__(self, doing=lambda: None):
        self.time, self.doing = 0.0, doing

    def given(self):
        return {"elapsed": lambda: self.time, "pause": self.pause}

    def pause(self, seconds):
        self.time += seconds
        self.doing()


def files(run):
    return sorted(path.name for path in (run / epoch.NAME).iterdir())


def elsewhere(run, number=1):
    """Leave the epoch of a process on another machine."""
    path = run / epoch.NAME / f"{number:012d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("another boot\nprocess 7 on far\n")
    return path


def test_each_process_takes_the_next_number(tmp_path):
    for number in (1, 2, 3):
        with epoch.take(tmp_path / "run", 1.0) as own:
            assert (own.number, own.seized) == (number, False)
            own.expect_own()
            assert files(tmp_path / "run") == [f"{number:012d}"]


def test_a_run_on_which_a_process_lives_is_refused_at_once(tmp_path, holder):
    begun = time.monotonic()
    with pytest.raises(StorageError, match=f"run, was process {holder.pid} on "):
        epoch.take(tmp_path, 60.0)
    assert time.monotonic() - begun < 30
    assert asked(holder) == "own"


def test_the_place_of_a_killed_process_is_free_at_once(tmp_path, holder):
    holder.kill()
    holder.wait()
    with epoch.take(tmp_path, 60.0, pause=pytest.fail) as own:
        assert (own.number, own.seized) == (2, False)


def test_a_process_that_slept_longer_than_the_lease_wakes_fenced(tmp_path, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    with epoch.take(tmp_path, 0.5) as own:
        assert (own.number, own.seized) == (2, True)
        os.kill(holder.pid, signal.SIGCONT)
        assert asked(holder) == "Fenced"
        own.expect_own()


def test_who_is_fenced_says_what_happened(tmp_path):
    with epoch.take(tmp_path, 1.0) as own:
        next(iter((tmp_path / epoch.NAME).iterdir())).unlink()
        (tmp_path / epoch.NAME / "000000000002").touch()
        with pytest.raises(Fenced, match="epoch 1 is over: another process took"):
            own.expect_own()


def test_a_folder_that_was_moved_is_not_told_as_taken_by_another(tmp_path):
    with epoch.take(tmp_path / "run", 1.0) as own:
        (tmp_path / "run").rename(tmp_path / "away")
        with pytest.raises(Fenced, match="epoch 1 is over: the folder was moved"):
            own.expect_own()


def test_a_file_of_the_same_name_in_a_folder_put_in_its_place_is_another(tmp_path):
    with epoch.take(tmp_path / "run", 1.0) as own:
        (tmp_path / "run").rename(tmp_path / "away")
        with epoch.take(tmp_path / "run", 1.0) as other:
            assert other.number == own.number
            with pytest.raises(Fenced):
                own.expect_own()


def test_a_silent_process_of_another_machine_is_waited_for(tmp_path):
    elsewhere(tmp_path)
    clock = Clock()
    with epoch.take(tmp_path, 7.0, **clock.given()) as own:
        assert own.seized
        assert own.number == 2
    assert 7.0 <= clock.time < 7.2


def test_a_process_of_another_machine_that_renews_its_lease_keeps_the_run(tmp_path):
    path = elsewhere(tmp_path)
    clock = Clock(lambda: clock.time > 6.9 and os.utime(path))
    with pytest.raises(StorageError, match="on this run, was process 7 on far"):
        epoch.take(tmp_path, 7.0, **clock.given())
    assert path.exists()


def test_a_process_of_another_machine_that_left_is_not_waited_for(tmp_path):
    path = elsewhere(tmp_path)
    path.write_text(path.read_text() + "left\n")
    with epoch.take(tmp_path, 7.0, pause=pytest.fail) as own:
        assert not own.seized


def test_of_many_that_start_at_once_one_has_the_run(tmp_path):
    barrier, taken, refused = threading.Barrier(8), [], []

    def start():
        barrier.wait()
        try:
            taken.append(epoch.take(tmp_path, 30.0))
        except StorageError as e:
            refused.append(e)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 7)
    taken[0].expect_own()
    taken[0].close()


def test_a_number_that_was_over_before_it_was_made_is_given_back(tmp_path):
    elsewhere(tmp_path, 3)
    place = tmp_path / epoch.NAME
    assert epoch._claimed(place, 2, seized=False) is None
    assert files(tmp_path) == ["000000000003"]


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        epoch.take(tmp_path / "file" / "run", 1.0)


def test_machines_are_told_apart_by_their_start_or_else_their_name(monkeypatch):
    if epoch.BOOT.exists():
        assert epoch._machine() == epoch.BOOT.read_text().strip()
    monkeypatch.setattr(epoch, "BOOT", Path("/nowhere"))
    assert epoch._machine()


def test_a_lease_that_cannot_be_renewed_is_told_and_tried_again(tmp_path, monkeypatch):
    own = epoch.take(tmp_path, 5.0)
    tried, away = threading.Event(), threading.Event()

    def touch(handle):
        del handle
        if away.is_set():
            tried.set()
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(epoch, "RENEW_S", 0.001)
    monkeypatch.setattr(epoch.os, "utime", touch)
    away.set()
    assert tried.wait(20)
    while not own.problem:
        threading.Event().wait(0.001)
    assert own.problem == "lease: cannot be renewed: Input/output error"
    away.clear()
    while own.problem:
        threading.Event().wait(0.001)
    own.close()


def test_a_folder_made_for_a_run_is_its_owners_alone(tmp_path):
    with epoch.take(tmp_path / "runs" / "new", 1.0):
        assert (tmp_path / "runs" / "new").stat().st_mode & 0o777 == 0o700


def test_a_process_that_cannot_say_that_it_left_lets_go_all_the_same(
    tmp_path, monkeypatch
):
    own = epoch.take(tmp_path, 5.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full_disk)
        with pytest.raises(StorageError, match="000001: the disk is full"):
            own.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(own._handle)
    epoch.take(tmp_path, 5.0, pause=pytest.fail).close()


def handles():
    """Give the files that this process holds open in a folder of epochs."""
    links = [os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()]
    return [link for link in links if f"/{epoch.NAME}/" in link]


@pytest.mark.parametrize("what", ["write", "sync"])
def test_a_full_disk_leaves_nothing_that_the_next_process_waits_for(
    tmp_path, monkeypatch, what
):
    epoch.take(tmp_path, 5.0).close()
    with monkeypatch.context() as patch:
        patch.setattr(*((os, what) if what == "write" else (atomic, what)), full_disk)
        with pytest.raises(StorageError, match="epochs: the disk is full"):
            epoch.take(tmp_path, 5.0)
    assert handles() == []
    with epoch.take(tmp_path, 5.0, pause=pytest.fail) as own:
        assert not own.seized
