from __future__ import annotations

import os
import subprocess
import sys
import time
from io import FileIO
from pathlib import Path

import pytest

from connectors.capture import format as recording
from connectors.capture.format import Kind
from connectors.capture.recorder import Recorder
from sfm_stream.errors import StorageError
from sfm_stream.events import Gap

ROOT = Path(__file__).parents[1]
NOW = 1_723_161_255_030_314_667
MIB = 2**20


def lines(folder):
    return [
        line
        for path in sorted(folder.glob("*.gz"))
        for line in recording.read(str(path))
    ]


def frames(folder):
    return [line.body for line in lines(folder) if line.kind is Kind.FRAME]


def test_all_that_happens_is_written_in_order(tmp_path):
    recorder = Recorder(tmp_path / "there" / "deep", quota=MIB)
    recorder.opened("wss://a", NOW)
    recorder.sent("wss://a", NOW + 1, b'{"op":"subscribe"}')
    recorder.received("wss://a", NOW + 2, b'{"x":1}')
    recorder.received("wss://b", NOW + 3, b'{"x":\n2}')
    recorder.closed("wss://a", NOW + 4, "broken off")
    recorder.gap("wss://a", Gap("", NOW + 4, "broken off"))
    recorder.close()
    found = [(x.kind, x.label, x.body) for x in lines(tmp_path / "there" / "deep")]
    assert found[1:5] == [
        (Kind.OPENED, "wss://a", b""),
        (Kind.SENT, "wss://a", b'{"op":"subscribe"}'),
        (Kind.FRAME, "", b'{"x":1}'),
        (Kind.SWITCHED, "wss://b", b""),
    ]
    assert [kind for kind, _, _ in found] == [
        Kind.BEGUN, Kind.OPENED, Kind.SENT, Kind.FRAME, Kind.SWITCHED, Kind.FRAME,
        Kind.CLOSED, Kind.GAP,
    ]  # fmt: skip
    assert found[5][2] == b'{"x":\n2}'


def test_segments_end_by_size_and_the_oldest_go_beyond_the_quota(tmp_path):
    recorder = Recorder(tmp_path, quota=40_000, flush=0.001)
    recorder.opened("wss://a", NOW)
    for i in range(60):
        recorder.received("wss://a", NOW + i, os.urandom(1500))
        waited = time.monotonic() + 10
        while recorder.counters["lines"] < i + 2:
            assert time.monotonic() < waited
    recorder.close()
    sizes = [path.stat().st_size for path in tmp_path.glob("*.gz")]
    assert recorder.counters["removed"] > 0
    assert sum(sizes) < 40_000 + 5_000
    kept = frames(tmp_path)
    assert 10 < len(kept) < 60
    names = sorted(path.name for path in tmp_path.glob("*.gz"))
    assert names[-1].endswith(f"{recorder.counters['segments']:06d}.gz")


def test_a_segment_that_is_old_ends(tmp_path):
    recorder = Recorder(tmp_path, quota=MIB, flush=0.001)
    for hour in range(3):
        recorder.received("wss://a", NOW + hour * 3601 * 10**9, b"{}")
        waited = time.monotonic() + 10
        while len(list(tmp_path.glob("*.gz"))) < hour + 1:
            assert time.monotonic() < waited
    recorder.close()
    assert recorder.counters["segments"] == 3
    assert frames(tmp_path) == [b"{}"] * 3


def test_another_recording_goes_on_after_the_first(tmp_path):
    for i in range(3):
        recorder = Recorder(tmp_path, quota=MIB)
        recorder.opened("wss://a", NOW + i)
        recorder.received("wss://a", NOW + i, b"%d" % i)
        recorder.close()
    assert frames(tmp_path) == [b"0", b"1", b"2"]
    assert len(list(tmp_path.glob("*.gz"))) == 3


WRITES = """
import sys
from pathlib import Path
from connectors.capture.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), quota=2**30, flush=0.02)
for i in range(10**9):
    recorder.received("wss://a", 1_700_000_000_000_000_000 + i, b"%d" % i)
    while recorder.counters["lines"] < i - 1000:
        pass
    if recorder.counters["lines"] > 5000 and i % 1000 == 0:
        print(recorder.counters["lines"], flush=True)
"""


def test_a_killed_recorder_loses_what_was_not_yet_flushed_and_no_more(tmp_path):
    child = subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-c", WRITES, tmp_path], cwd=ROOT, stdout=subprocess.PIPE
    )
    written = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdout.close()
    kept = frames(tmp_path)
    assert len(kept) >= written - 1  # lines count the mark too
    assert kept == [b"%d" % i for i in range(len(kept))]


def test_a_disk_that_fails_is_told_and_keeps_nobody_waiting(tmp_path):
    recorder = Recorder(tmp_path, quota=MIB, flush=0.001)
    recorder._file = FileIO("/dev/full", "wb")
    recorder._since = NOW
    waited = time.monotonic() + 10
    while recorder._error is None:
        recorder.received("wss://a", NOW, b"{}")
        assert time.monotonic() < waited
    for _ in range(1000):
        recorder.received("wss://a", NOW, b"{}")
    assert recorder.counters["lost"] >= 1000
    with pytest.raises(StorageError, match="the disk is full; free space, then record"):
        recorder.check()
    with pytest.raises(StorageError, match="the recording stopped"):
        recorder.close()


def test_lines_beyond_what_may_wait_are_counted_and_leave_a_gap(tmp_path, monkeypatch):
    monkeypatch.setattr("connectors.capture.recorder.WAITING", 100)
    recorder = Recorder(tmp_path, quota=MIB, flush=3600)
    for i in range(10):
        recorder.received("wss://a", NOW + i, b'{"a":"%s"}' % (b"x" * 50))
    monkeypatch.setattr("connectors.capture.recorder.WAITING", MIB)
    recorder.received("wss://a", NOW + 11, b"{}")
    recorder.close()
    found = lines(tmp_path)
    (gap,) = [recording.read_gap(x.body) for x in found if x.kind is Kind.GAP]
    lost = recorder.counters["lost before"]
    assert lost > 0
    assert gap.reason == f"{lost} lines not recorded: the disk was too slow"
    assert len(frames(tmp_path)) == 11 - lost


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be made: .*; see that the folder"):
        Recorder(tmp_path / "file" / "x", quota=MIB)


def test_an_unforeseen_error_ends_a_recording_where_it_is_seen(tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("what nobody thought of")

    recorder = Recorder(tmp_path, quota=MIB)
    monkeypatch.setattr(recorder, "_segment", fail)
    recorder.opened("wss://a", NOW)
    with pytest.raises(StorageError, match="what nobody thought of"):
        recorder.close()
