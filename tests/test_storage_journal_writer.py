from __future__ import annotations

import errno
import gzip
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.errors import Fenced, JournalError
from sfm_stream.events import (
    CONTROLS,
    Block,
    Closed,
    Control,
    Gap,
    Heartbeat,
    Label,
    Tick,
)
from sfm_stream.storage import atomic, journal, segment
from sfm_stream.storage.journal import Journal

MARK = "5f" * 32
names, times = st.text(max_size=6), st.integers(-(2**63), 2**63 - 1)
events = st.one_of(
    st.builds(Tick, names, times, st.lists(st.floats()).map(tuple), times),
    st.builds(Gap, names, times, names, st.none() | st.integers(0, 2**40)),
    st.builds(Heartbeat, names, times),
    st.builds(Control, names, times, st.sampled_from(CONTROLS)),
    st.builds(Closed, times, names),
    st.builds(Label, names, times, st.lists(st.floats()).map(tuple)),
)


def ticks(start, stop):
    return [Tick("a", i, (i + 0.5, float(-i)), i) for i in range(start, stop)]


def killed(log):
    """Leave the journal as a killed process would: nothing is closed in order."""
    log._worker.shutdown()
    log._active.close()
    os.close(log._lock)


def segments(folder):
    return sorted(p.name for p in folder.iterdir() if p.name != "lock")


@settings(max_examples=30)
@given(st.lists(st.lists(events, max_size=5), max_size=6), st.integers(1, 400))
def test_every_event_comes_back(batches, segment_bytes):
    flat = list(itertools.chain.from_iterable(batches))
    with tempfile.TemporaryDirectory() as name:
        with Journal(Path(name), segment_bytes=segment_bytes) as log:
            for batch in batches:
                before = log.position
                assert log.append(batch) == before + len(batch)
            live = list(log.read())
        with Journal(Path(name)) as log:
            assert (log.position, log.cut_bytes) == (len(flat), 0)
            for after in {0, len(flat) // 2, len(flat)}:
                # NaN is not itself: compare what is written
                assert list(map(msgspec.msgpack.encode, log.read(after))) == list(
                    map(msgspec.msgpack.encode, flat[after:])
                )
    assert list(map(type, live)) == list(map(type, flat))


def test_empty_journal_says_nothing(tmp_path):
    with Journal(tmp_path / "run" / "journal") as log:
        assert log.append([]) == 0
        assert list(log.read()) == []
        log.sync()
    assert segments(tmp_path / "run" / "journal") == ["000000000000.log"]
    with pytest.raises(JournalError, match="absent: expected a journal, was none"):
        list(journal.read(tmp_path / "absent"))


def test_segments_are_named_for_their_first_event_and_compressed(tmp_path):
    with Journal(tmp_path, segment_bytes=300) as log:
        for start in range(0, 30, 10):
            log.append(ticks(start, start + 10))
    assert segments(tmp_path) == [
        "000000000000.log.gz",
        "000000000010.log.gz",
        "000000000020.log",
    ]
    with Journal(tmp_path, segment_bytes=300) as log:
        assert log.append(ticks(30, 31)) == 31
        for after in range(32):
            assert list(log.read(after)) == ticks(after, 31)


def test_appended_events_are_with_the_system_before_any_sync(tmp_path, monkeypatch):
    log = Journal(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("nobody asked for it"))
    log.append(ticks(0, 5))
    assert list(journal.read(tmp_path)) == ticks(0, 5)
    killed(log)


KILLED = """
import os, signal, sys
from pathlib import Path
from sfm_stream.events import Tick
from sfm_stream.storage.journal import Journal
log = Journal(Path(sys.argv[1]), segment_bytes=500)
for i in range(0, 100, 4):
    log.append([Tick("a", j, (j + 0.5, float(-j)), j) for j in range(i, i + 4)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_process_loses_nothing(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, check=False, cwd=root)  # noqa: S603
    assert done.returncode == -signal.SIGKILL
    with Journal(tmp_path) as log:
        assert (log.position, log.cut_bytes) == (100, 0)
        assert list(log.read()) == ticks(0, 100)


def test_torn_tail_is_cut_at_every_byte_of_the_last_entry(tmp_path):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 4))
        whole = log._active.path.read_bytes()
        log.append(ticks(4, 5))
        last = log._active.path.read_bytes()
    path = tmp_path / "000000000000.log"
    for size in range(len(whole), len(last)):
        path.write_bytes(last[:size])
        assert list(journal.read(tmp_path)) == ticks(0, 4)
        with Journal(tmp_path) as log:
            assert (log.position, log.cut_bytes) == (4, size - len(whole))
            log.append(ticks(4, 6))
            assert list(log.read()) == ticks(0, 6)


@pytest.mark.parametrize("zeros", [1, 7, 8, 9, 4096])
def test_zeros_after_a_power_cut_are_cut(tmp_path, zeros):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 4))
    with (tmp_path / "000000000000.log").open("ab") as file:
        file.write(bytes(zeros))
    with Journal(tmp_path) as log:
        assert (log.position, log.cut_bytes) == (4, zeros)


def test_every_flipped_bit_before_the_tail_is_an_error_with_its_place(tmp_path):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 1))
        first = log._active.path.stat().st_size
        log.append(ticks(1, 3))
    path = tmp_path / "000000000000.log"
    whole = path.read_bytes()
    second = (first, 2 * first - segment.BEGINNING)  # entries of the same length
    for at in range(*second):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(JournalError, match=rf"0.log: damaged .* byte {first},"):
                Journal(tmp_path)
            assert path.read_bytes() == flipped
    path.write_bytes(whole)
    assert list(journal.read(tmp_path)) == ticks(0, 3)


def test_damage_in_a_finished_segment_is_an_error(tmp_path):
    with Journal(tmp_path, segment_bytes=300) as log:
        for start in range(0, 20, 10):
            log.append(ticks(start, start + 10))
    path = tmp_path / "000000000000.log.gz"
    packed = path.read_bytes()
    for broken in (packed[:-1], packed[:40], b"", b"none", packed[:-6] + b"abcdef"):
        path.write_bytes(broken)
        with pytest.raises(JournalError, match=r"000000000000.log.gz: "):
            list(journal.read(tmp_path))
    path.write_bytes(gzip.compress(gzip.decompress(packed)[:-5]))
    with pytest.raises(JournalError, match=r"gz: damaged entry at byte \d+"):
        list(journal.read(tmp_path))


def test_missing_segment_is_an_error(tmp_path):
    with Journal(tmp_path, segment_bytes=300) as log:
        for start in range(0, 30, 10):
            log.append(ticks(start, start + 10))
    (tmp_path / "000000000010.log.gz").unlink()
    with pytest.raises(JournalError, match="expected 20 events, was 10"):
        list(journal.read(tmp_path))


def test_entry_that_is_no_event_names_its_place(tmp_path):
    payload = msgspec.msgpack.encode({"type": "comet"})
    entry = segment.entry(payload)
    (tmp_path / "000000000000.log").write_bytes(entry)
    with pytest.raises(JournalError, match=r"0.log: no event at byte 0"):
        list(journal.read(tmp_path))


def test_second_writer_is_refused_until_the_first_closes(tmp_path):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 2))
        with pytest.raises(JournalError, match="another process writes here"):
            Journal(tmp_path)
        assert list(journal.read(tmp_path)) == ticks(0, 2)
    Journal(tmp_path).close()


def test_refused_opening_lets_the_next_writer_in(tmp_path):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 3))
    path = tmp_path / "000000000000.log"
    whole = path.read_bytes()
    at = segment.BEGINNING
    path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    with pytest.raises(JournalError, match="damaged entry"):
        Journal(tmp_path)
    path.write_bytes(whole)
    Journal(tmp_path).close()


def test_rotation_cut_short_is_made_good_at_opening(tmp_path):
    with Journal(tmp_path, segment_bytes=300) as log:
        for start in range(0, 20, 10):
            log.append(ticks(start, start + 10))
    packed = tmp_path / "000000000000.log.gz"
    plain = tmp_path / "000000000000.log"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))  # killed before its removal
    (tmp_path / "000000000000.log.gz.tmp").write_bytes(b"half")
    assert list(journal.read(tmp_path)) == ticks(0, 20)
    Journal(tmp_path).close()
    assert segments(tmp_path) == ["000000000000.log.gz", "000000000010.log"]
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()  # killed before it was compressed
    with Journal(tmp_path) as log:
        assert list(log.read()) == ticks(0, 20)
    assert segments(tmp_path) == ["000000000000.log.gz", "000000000010.log"]


def test_whole_segments_before_a_position_are_deleted(tmp_path):
    with Journal(tmp_path, segment_bytes=300) as log:
        for start in range(0, 40, 10):
            log.append(ticks(start, start + 10))
        log.delete_before(19)
        assert list(log.read(10)) == ticks(10, 40)
        log.delete_before(20)
        assert list(log.read(25)) == ticks(25, 40)
        with pytest.raises(
            JournalError, match="expected events from 5 on, first was 20"
        ):
            list(log.read(5))
        log.delete_before(1_000)
        assert list(log.read(30)) == ticks(30, 40)
        assert log.append(ticks(40, 41)) == 41
    with Journal(tmp_path) as log:
        assert list(log.read(39)) == ticks(39, 41)


def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_appends_nothing_and_can_be_tried_again(tmp_path, monkeypatch):
    log = Journal(tmp_path)
    log.append(ticks(0, 3))
    write, calls = os.write, []

    def half(handle, data):
        calls.append(data)
        return write(handle, data[:70]) if len(calls) == 1 else refuse()

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(JournalError, match=r"0.log: the disk is full; free space"):
        log.append(ticks(3, 6))
    monkeypatch.undo()
    assert list(log.read()) == ticks(0, 3)
    assert log.append(ticks(3, 6)) == 6
    assert list(log.read()) == ticks(0, 6)
    log.close()


def test_a_segment_is_turned_over_early_so_that_no_append_waits(tmp_path):
    with Journal(tmp_path, segment_bytes=400) as log:
        log.append(ticks(0, 2))
        log.rotate_early()
        assert [p for p in segments(tmp_path) if p.endswith(".log")] == [
            "000000000000.log"
        ]
        log.append(ticks(2, 6))
        log.rotate_early()
        log.append(ticks(6, 8))
        mark = log.mark
    assert segments(tmp_path) == ["000000000000.log.gz", "000000000006.log"]
    assert list(journal.read(tmp_path)) == ticks(0, 8)
    assert journal.mark_at(tmp_path, 8) == mark


def test_disk_full_at_rotation_appends_nothing(tmp_path, monkeypatch):
    log = Journal(tmp_path, segment_bytes=100)
    log.append(ticks(0, 3))
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(JournalError, match="the disk is full"):
        log.append(ticks(3, 6))
    with pytest.raises(JournalError, match="the disk is full"):
        log.sync()
    monkeypatch.undo()
    assert log.position == 3
    assert log.append(ticks(3, 6)) == 6
    log.close()
    assert list(journal.read(tmp_path)) == ticks(0, 6)


def test_disk_full_while_compressing_is_told_and_hinders_nothing(
    tmp_path, monkeypatch, caplog
):
    log = Journal(tmp_path, segment_bytes=100)
    log.append(ticks(0, 3))
    write = atomic.write

    def refuse_packed(path, data):
        return refuse() if path.suffix == ".gz" else write(path, data)

    monkeypatch.setattr(atomic, "write", refuse_packed)
    for start in range(3, 12, 3):
        log.append(ticks(start, start + 3))
    log.delete_before(3)
    assert "full segment stays as it is: the disk is full" in log.problem
    assert caplog.messages[0] == "a segment was not compressed"
    log.close()
    assert list(journal.read(tmp_path, 3)) == ticks(3, 12)
    with Journal(tmp_path, segment_bytes=100) as log:
        assert "the disk is full" in log.problem
        monkeypatch.undo()
        log.append(ticks(12, 15))
        log._settle()
        assert log.problem == ""
    assert segments(tmp_path) == [
        "000000000003.log.gz",
        "000000000006.log.gz",
        "000000000009.log.gz",
        "000000000012.log",
    ]
    assert list(journal.read(tmp_path, 3)) == ticks(3, 15)


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="journal: cannot be used"):
        Journal(tmp_path / "file" / "journal")


def test_opening_on_a_full_disk_lets_the_next_writer_in(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(JournalError, match="the disk is full"):
        Journal(tmp_path)
    monkeypatch.undo()
    Journal(tmp_path).close()


def test_segment_that_cannot_be_deleted_is_told(tmp_path, monkeypatch):
    with Journal(tmp_path, segment_bytes=100) as log:
        for start in range(0, 9, 3):
            log.append(ticks(start, start + 3))
        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(JournalError, match="the disk is full"):
            log.delete_before(9)
        monkeypatch.undo()
        assert list(log.read()) == ticks(0, 9)


def copy_while_it_lives(live, copy, tries=100):
    """Copy a folder whose segments are being compressed: names may go meanwhile."""
    for _ in range(tries):
        try:
            shutil.copytree(live, copy)
        except shutil.Error:
            shutil.rmtree(copy)
        else:
            return
    pytest.fail("the journal never stood still")


def test_copy_of_a_live_journal_reads_the_same(tmp_path):
    with Journal(tmp_path / "live", segment_bytes=400) as log:
        for start in range(0, 100, 7):
            log.append(ticks(start, min(start + 7, 100)))
        copy_while_it_lives(tmp_path / "live", tmp_path / "copy")
        assert list(journal.read(tmp_path / "copy")) == ticks(0, 100)


def test_what_was_never_journalled_is_a_hole_that_reading_names(tmp_path):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 5))
        log.skip_to(9, MARK)
        assert log.position == 9
        assert log.append(ticks(9, 12)) == 12
        assert list(log.read(9)) == ticks(9, 12)
        assert list(log.read(11)) == ticks(11, 12)
        reading = log.read(2)
        assert [next(reading) for _ in range(3)] == ticks(2, 5)
        with pytest.raises(JournalError) as caught:
            next(reading)
        assert "events from 5 to 9 were not journalled" in str(caught.value)
    with Journal(tmp_path) as log:
        assert log.position == 12
        log.append(ticks(12, 13))
    assert list(journal.read(tmp_path, 9)) == ticks(9, 13)


def test_a_hole_at_the_end_of_a_full_segment_is_seen_too(tmp_path):
    with Journal(tmp_path, segment_bytes=1) as log:
        log.append(ticks(0, 2))
        log.append(ticks(2, 4))
        log.skip_to(6, MARK)
        log.append(ticks(6, 8))
        log.append(ticks(8, 9))
    assert list(journal.read(tmp_path, 6)) == ticks(6, 9)
    with pytest.raises(JournalError, match="from 4 to 6 were not journalled"):
        list(journal.read(tmp_path))


@pytest.mark.parametrize("count", [0, 5])
def test_where_nothing_was_skipped_the_journal_goes_on_as_it_is(tmp_path, count):
    with Journal(tmp_path) as log:
        log.append(ticks(0, count))
        log.skip_to(count, log.mark)
        log.append(ticks(count, 10))
        log.sync()
    assert segments(tmp_path) == ["000000000000.log"]
    with Journal(tmp_path) as log:
        assert log.position == 10
    assert list(journal.read(tmp_path)) == ticks(0, 10)


def test_a_segment_never_begins_where_the_one_before_it_did(tmp_path):
    with Journal(tmp_path) as log:
        with pytest.raises(JournalError, match="to begin behind 0, was 0"):
            log._rotate(0, bytes.fromhex(MARK))
        log.append(ticks(0, 3))
    assert list(journal.read(tmp_path)) == ticks(0, 3)


def test_a_skip_that_failed_leaves_no_hole(tmp_path, monkeypatch):
    with Journal(tmp_path, segment_bytes=150) as log:
        log.append(ticks(0, 2))
        with monkeypatch.context() as patch:
            patch.setattr(log, "_begin", refuse)
            with pytest.raises(JournalError, match="the disk is full"):
                log.skip_to(9, MARK)
        for start in range(2, 10, 2):
            log.append(ticks(start, start + 2))
    assert len(segments(tmp_path)) > 1
    assert list(journal.read(tmp_path)) == ticks(0, 10)


def test_a_skip_that_was_killed_leaves_no_hole_behind_the_next_opening(
    tmp_path, monkeypatch
):
    log = Journal(tmp_path)
    log.append(ticks(0, 2))
    with monkeypatch.context() as patch:
        patch.setattr(log, "_rotate", lambda *_: None)
        log.skip_to(9, MARK)  # it got as far as the hole
    killed(log)
    assert "000000000002.hole" in segments(tmp_path)
    with Journal(tmp_path, segment_bytes=1) as log:
        log.append(ticks(2, 4))
        log.append(ticks(4, 5))
    assert list(journal.read(tmp_path)) == ticks(0, 5)


def test_events_are_synced_without_waiting(tmp_path, monkeypatch):
    synced = []
    with Journal(tmp_path, segment_bytes=64) as log:
        monkeypatch.setattr(os, "fsync", synced.append)
        log.append(ticks(0, 1))
        log.sync_soon()
        log.append(ticks(1, 2))
        log.append(ticks(2, 3))  # a new segment, and another handle
        log._worker.submit(bool).result()
        assert log._syncing.done()
        assert synced


def test_a_disk_that_refuses_to_sync_is_told_at_the_next_call(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal(tmp_path) as log:
        log.append(ticks(0, 1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            log.sync_soon()
            log._worker.submit(bool).result()
            with pytest.raises(JournalError, match="cannot be used"):
                log.sync_soon()
        log.append(ticks(1, 2))
    assert list(journal.read(tmp_path)) == ticks(0, 2)


def test_numbers_of_numpy_are_journalled_as_numbers(tmp_path):
    event = Tick("a", np.int64(7), (np.float64(1.5), np.float32(0.5), 2.0), 7)
    with Journal(tmp_path) as log:
        log.append([event])
        assert list(log.read()) == [Tick("a", 7, (1.5, 0.5, 2.0), 7)]


def test_what_is_no_number_is_not_journalled(tmp_path):
    with Journal(tmp_path) as log:
        with pytest.raises(NotImplementedError):
            log.append([Tick("a", 7, (object(),), 7)])
        assert log.position == 0


@given(
    batches=st.lists(st.lists(events, min_size=1, max_size=3), min_size=1, max_size=5),
    segment_bytes=st.integers(30, 300),
)
@settings(max_examples=20)
def test_every_mark_can_be_found_again_and_depends_on_every_event(
    batches, segment_bytes
):
    marks = []
    changed = [[Tick("other", 7, (1.25,), 7), *batches[0][1:]], *batches[1:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # content alone matters here
        for history in (batches, changed):
            with tempfile.TemporaryDirectory() as name:
                for batch in history:
                    with Journal(Path(name), segment_bytes=segment_bytes) as log:
                        log.append(batch)
                        marks.append(log.mark)
                        at = log.position
                    assert journal.mark_at(Path(name), at) == marks[-1]
                assert journal.mark_at(Path(name), at + 1) is None
    assert len(set(marks)) == len(marks)


def test_a_mark_goes_on_over_segments_so_that_others_do_not_fit(tmp_path):
    for name, first in (("one", 0), ("two", 100)):
        with Journal(tmp_path / name, segment_bytes=300) as log:
            log.append(ticks(first, first + 10))
            log.append(ticks(10, 20))
            log.append(ticks(20, 21))
    marks = {journal.mark_at(tmp_path / name, 15) for name in ("one", "two")}
    assert len(marks) == 2
    other = (tmp_path / "two" / "000000000010.log.gz").read_bytes()
    (tmp_path / "one" / "000000000010.log.gz").write_bytes(other)
    with pytest.raises(JournalError, match="expected the events that follow"):
        list(journal.read(tmp_path / "one"))


def test_behind_a_hole_the_mark_is_the_one_it_was_given(tmp_path):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 5))
        log.skip_to(9, MARK)
        assert log.mark == MARK
        log.append(ticks(9, 10))
        assert log.mark != MARK
    assert journal.mark_at(tmp_path, 9) == MARK
    assert journal.mark_at(tmp_path, 7) is None


@pytest.mark.parametrize("size", range(0, segment.BEGINNING, 11))
@pytest.mark.parametrize("segments_before", [0, 1])
def test_a_torn_head_is_made_anew(tmp_path, size, segments_before):
    with Journal(tmp_path, segment_bytes=300) as log:
        for start in range(0, 10 * segments_before + 10, 10):
            log.append(ticks(start, start + 10))
    path = max(tmp_path.glob("*.log"))
    path.write_bytes(path.read_bytes()[:size])
    with Journal(tmp_path) as log:
        assert log.position == 10 * segments_before
        assert log.cut_bytes == size
        log.append(ticks(50, 52))
        assert list(log.read())[-2:] == ticks(50, 52)
        assert journal.mark_at(tmp_path, log.position) == log.mark


def test_a_head_is_damaged_by_every_flipped_bit(tmp_path):
    with Journal(tmp_path) as log:
        log.append(ticks(0, 2))
    path = tmp_path / "000000000000.log"
    whole = path.read_bytes()
    for at in range(segment.HEAD.size):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(JournalError, match=r"0\.log: damaged"):
            Journal(tmp_path)


def test_a_lost_active_segment_is_not_taken_for_an_empty_one(tmp_path):
    with Journal(tmp_path, segment_bytes=300) as log:
        for start in range(0, 30, 10):
            log.append(ticks(start, start + 10))
    (tmp_path / "000000000020.log").unlink()
    with Journal(tmp_path) as log:
        assert log.position == 20
        log.append(ticks(50, 51))
        assert list(log.read()) == [*ticks(0, 20), *ticks(50, 51)]


def test_segments_of_older_versions_are_read_and_gone_on_in(tmp_path):
    payloads = [msgspec.msgpack.encode(event) for event in ticks(0, 7)]
    old = b"".join(segment.entry(payload) for payload in payloads)
    (tmp_path / "000000000000.log").write_bytes(old)
    with Journal(tmp_path, segment_bytes=300) as log:
        assert log.position == 7
        log.append(ticks(7, 9))
        assert list(log.read()) == ticks(0, 9)
        log.append(ticks(9, 10))
        assert list(log.read()) == ticks(0, 10)
    assert journal.mark_at(tmp_path, 10) == Journal(tmp_path).mark


UNNOTED_HEAD = segment.HEAD.pack(
    segment.UNNOTED, bytes(32), zlib.crc32(segment.UNNOTED + bytes(32))
)


@pytest.mark.parametrize("count", [0, 7])
@pytest.mark.parametrize("torn", [b"", b"\x07"])
def test_a_segment_without_a_place_for_the_note_is_gone_on_behind(
    tmp_path, count, torn
):
    path = tmp_path / "000000000000.log"
    payloads = [msgspec.msgpack.encode(event) for event in ticks(0, count)]
    path.write_bytes(UNNOTED_HEAD + b"".join(map(segment.entry, payloads)) + torn)
    with Journal(tmp_path) as log:
        assert (log.position, log.cut_bytes, log.lost) == (count, len(torn), "")
        log.append(ticks(count, 10))
        assert log._active.path.name == f"{count:012d}.log"
    with Journal(tmp_path) as log:
        assert list(log.read()) == ticks(0, 10)
        assert journal.mark_at(tmp_path, 10) == log.mark


def damaged(path, start, stop):
    data = bytearray(path.read_bytes())
    data[start:stop] = bytes(len(data[start:stop]))
    path.write_bytes(data)


def test_what_was_on_disk_is_refused_when_damaged_and_what_was_not_is_cut(
    tmp_path, caplog
):
    log = Journal(tmp_path)
    log.append(ticks(0, 4))
    log.sync()
    path, synced = log._active.path, log._active.path.stat().st_size
    for start in range(4, 8):
        log.append(ticks(start, start + 1))
    killed(log)
    whole = path.read_bytes()
    damaged(path, synced - 9, synced - 2)
    with pytest.raises(JournalError, match="a whole one follows"):
        Journal(tmp_path)
    path.write_bytes(whole)
    damaged(path, synced + 9, synced + 12)
    assert list(journal.read(tmp_path)) == ticks(0, 4)
    with Journal(tmp_path) as log:
        size = len(whole) - synced
        assert (log.position, log.cut_bytes) == (4, size)
        expected = f"{size} bytes from byte {synced} on are cut, events from 4 on are"
        assert expected in log.lost
        log.append(ticks(4, 10))
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    with Journal(tmp_path) as log:
        assert (log.cut_bytes, log.lost) == (0, "")
    assert list(journal.read(tmp_path)) == ticks(0, 10)


@given(
    synced=st.integers(0, 6),
    page=st.integers(8, 64),
    lost=st.sets(st.integers(0, 60)),
    end=st.integers(0, 60),
)
@settings(max_examples=60)
def test_no_power_cut_costs_an_event_that_was_on_disk_or_a_start(
    synced, page, lost, end
):
    with tempfile.TemporaryDirectory() as name:
        log = Journal(Path(name))
        for start in range(10):
            log.append(ticks(start, start + 1))
            if start + 1 == synced:
                log.sync()
                size = log._active.path.stat().st_size
        path = log._active.path
        size = size if synced else segment.BEGINNING
        killed(log)
        for number in lost:
            damaged(path, size + number * page, size + (number + 1) * page)
        os.truncate(path, size + end * page)
        with Journal(Path(name)) as log:
            left = log.position
            assert left >= synced
            assert list(log.read()) == ticks(0, left)
            log.append(ticks(left, 12))
        assert list(journal.read(Path(name))) == ticks(0, 12)


def test_all_appended_before_can_be_put_on_disk_after_the_segment_is_full(tmp_path):
    with Journal(tmp_path, segment_bytes=64) as log:
        log.append(ticks(0, 3))
        sync = log.syncing()
        log.append(ticks(3, 6))
        sync()


def in_blocks(events, size):
    return [
        Block.of(events[start : start + size], 2)
        for start in range(0, len(events), size)
    ]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_blocks_are_read_as_the_events_they_hold(tmp_path, size):
    with Journal(tmp_path, segment_bytes=600) as log:
        for number, block in enumerate(in_blocks(ticks(0, 30), size)):
            log.append(block)
            log.append([Heartbeat("", number)])
        expected = list(log.read())
    assert [e for e in expected if isinstance(e, Tick)] == ticks(0, 30)
    with Journal(tmp_path, segment_bytes=600) as log:
        assert (log.position, log.cut_bytes) == (len(expected), 0)
        for after in range(len(expected) + 1):
            assert list(log.read(after)) == expected[after:]
            for wanted in (1, 8, 1_000):
                blocks = list(log.blocks(after, 2, wanted))
                held = [event for block in blocks for event in block.events()]
                assert held == expected[after:]
                assert all(len(block) >= wanted for block in blocks[:-1])
                assert sum(map(len, blocks[:-1])) < len(expected) - after or not held


def test_a_block_cut_short_is_a_torn_tail_as_a_whole(tmp_path):
    with Journal(tmp_path) as log:
        for block in in_blocks(ticks(0, 20), 10):
            log.append(block)
        path = log._active.path
    path.write_bytes(path.read_bytes()[:-1])
    with Journal(tmp_path) as log:
        assert log.position == 10
        assert log.cut_bytes > 0
        assert list(log.read()) == ticks(0, 10)


def test_the_mark_lies_between_blocks_and_never_within_one(tmp_path):
    marks = {}
    with Journal(tmp_path) as log:
        for block in in_blocks(ticks(0, 20), 5):
            log.append(block)
            marks[log.position] = log.mark
    for position in range(1, 21):
        assert journal.mark_at(tmp_path, position) == marks.get(position)


def test_a_wide_block_becomes_entries_that_are_found_behind_a_damaged_one(tmp_path):
    width, count = 2_000, 100
    values = np.arange(count * width, dtype=float).reshape(count, width)
    times = np.arange(count) + 1
    with Journal(tmp_path) as log:
        assert log.append(Block.ticks(times, values, streams=("a",))) == count
        path = log._active.path
        assert [len(e.values) for e in log.read(count - 1)] == [width]
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalError, match="damaged entry at byte 56, a whole one"):
        Journal(tmp_path)


class Fence:
    """Says whether a writer may go on, and how often it was asked."""

    def __init__(self):
        self.up, self.asked = False, 0

    def __call__(self):
        self.asked += 1
        if self.up:
            raise Fenced("run", "epoch 1 is over")


def test_a_batch_asks_once_whether_the_run_is_still_its_own(tmp_path):
    fence = Fence()
    with Journal(tmp_path, guard=fence) as log:
        log.append(Block.of(ticks(0, 500), 2))
        log.append(ticks(500, 600))
    assert fence.asked == 2


def test_a_fenced_journal_takes_no_call_that_would_change_the_folder(tmp_path):
    fence = Fence()
    with Journal(tmp_path, guard=fence, segment_bytes=1) as log:
        log.append(ticks(0, 3))
        before = segments(tmp_path)
        fence.up = True
        calls = (
            lambda: log.append(ticks(3, 5)),
            lambda: log.skip_to(9, MARK),
            lambda: log.delete_before(3),
            log.expect_present,
        )
        for call in calls:
            with pytest.raises(Fenced):
                call()
        assert (log.position, segments(tmp_path)) == (3, before)
