from __future__ import annotations

import concurrent.futures

import pytest

from sfm_stream.daemon import saver
from sfm_stream.daemon.saver import Saver
from sfm_stream.errors import CheckpointError, JournalError
from sfm_stream.state.moment import Moment
from sfm_stream.storage import checkpoint, tensors
from sfm_stream.storage.run_folder import Run
from tests.daemon_rig import Time, engine_of, full_disk, ticks

PLACE = {"rows": {"scores": 7}}


class Sink:
    """A delivery that answers when it is told to."""

    def __init__(self, position=PLACE, *, prompt=True):
        self.position, self.prompt, self.asked = position, prompt, []

    def mark(self, done):
        self.asked.append(done)
        if self.prompt:
            self.answer()

    def answer(self):
        self.asked.pop()(self.position)


class Log:
    """A journal that is only asked for its mark and for the disk."""

    def __init__(self):
        self.mark, self.synced, self.disk = "00" * 32, 0, lambda: None
        self.position = 10**9

    def expect_present(self):
        """Do nothing: it is there."""

    def syncing(self):
        def sync():
            self.disk()
            self.synced += 1

        return sync


class Rig:
    def __init__(self, folder):
        self.time, self.engine = Time(), engine_of()
        self.run = Run(folder, self.engine.config, {})
        self.journal = Log()
        self.saver = Saver(
            self.run, self.engine, self.journal, 2, elapsed=self.time.elapsed
        )

    def live(self, start, stop):
        for tick in ticks(start, stop):
            self.engine.observe(tick)
            self.engine.learn()

    def bytes(self):
        """Give the file of the state as it is now."""
        path = self.run.folder / "now"
        tensors.write(path, self.engine.snapshot()[0])
        return path.read_bytes()

    def saved(self):
        held = checkpoint.newest_good(self.run.checkpoints, pytest.fail)
        return None if held is None else held.manifest


@pytest.fixture
def rig(tmp_path):
    with_one = Rig(tmp_path)
    yield with_one
    with_one.saver.close()


def test_a_checkpoint_holds_where_every_sink_was(rig):
    rig.live(0, 10)
    rig.time.seconds = 3.0
    sinks = {"records": Sink(), "other": Sink({"bytes": 5})}
    rig.saver.begin(sinks).result(10)
    assert rig.saved()["seq"] == 10
    assert rig.saved()["sink"] == PLACE
    assert rig.saved()["sinks"] == {"other": {"bytes": 5}}
    assert rig.saver.saved.seq == 10
    rig.time.seconds = 5.0
    assert rig.saver.age() == 2.0
    assert not rig.saver.busy


def test_it_waits_for_the_slowest_sink_and_is_of_the_moment_it_was_begun(rig):
    rig.live(0, 10)
    slow = Sink(prompt=False)
    written, expected = rig.saver.begin({"slow": slow, "records": Sink()}), rig.bytes()
    rig.live(10, 20)
    assert rig.saver.busy
    assert rig.saved() is None
    slow.answer()
    written.result(10)
    assert rig.saved()["seq"] == rig.saved()["engine"]["seq"] == 10
    state = checkpoint.latest(rig.run.checkpoints) / checkpoint.STATE
    assert state.read_bytes() == expected


def test_a_full_disk_is_a_problem_until_the_next_one_is_written(
    rig, monkeypatch, caplog
):
    def full(*_):
        message = "the disk is full"
        raise CheckpointError("checkpoints", message)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(CheckpointError):
            rig.saver.begin({"records": Sink()}).result(10)
    assert rig.saver.problem == "checkpoints: the disk is full"
    (line,) = caplog.records
    assert (line.levelname, line.problem) == ("ERROR", rig.saver.problem)
    rig.saver.begin({"records": Sink()}).result(10)
    assert rig.saver.problem == ""


def test_no_more_than_asked_for_are_kept(rig):
    for stop in (5, 10, 15):
        rig.live(stop - 5, stop)
        rig.saver.begin({"records": Sink()}).result(10)
    kept = sorted(path.name for path in rig.run.checkpoints.iterdir())
    assert kept == ["000000000010", "000000000015"]


def test_a_checkpoint_ahead_of_the_journal_counts_once_the_journal_goes_on(rig):
    rig.live(0, 5)
    rig.saver.begin({"records": Sink()}).result(10)
    rig.journal.position = 5
    rig.live(5, 9)
    rig.saver.note()
    rig.time.seconds = 3.0
    rig.saver.begin({"records": Sink()}, "ff" * 32).result(10)
    assert (rig.saver.saved.seq, rig.saver.waited()) == (5, 3.0)
    rig.saver.joined()
    assert (rig.saver.saved.seq, rig.saver.waited()) == (9, 0.0)


def test_a_sink_that_answers_after_the_end_is_not_heard(rig):
    slow = Sink(prompt=False)
    rig.saver.begin({"slow": slow})
    rig.saver.close()
    slow.answer()
    assert rig.saved() is None


def test_the_journal_is_on_disk_before_the_checkpoint_that_names_it(rig):
    rig.live(0, 10)
    rig.journal.mark, seen = "ab" * 32, []
    rig.journal.disk = lambda: seen.append(rig.saved())
    rig.saver.begin({"records": Sink()}).result(10)
    assert (seen, rig.journal.synced) == ([None], 1)
    assert rig.saved()["journal"] == "ab" * 32


def test_a_journal_that_cannot_be_put_on_disk_is_a_problem_and_no_checkpoint(rig):
    rig.live(0, 10)
    rig.journal.disk = full_disk
    with pytest.raises(CheckpointError, match="journal: the disk is full"):
        rig.saver.begin({"records": Sink()}).result(10)
    assert "the disk is full" in rig.saver.problem
    assert rig.saved() is None


def test_what_waits_is_the_oldest_event_that_is_in_no_checkpoint(rig):
    assert rig.saver.waited() == 0.0
    rig.time.seconds = 100.0  # a feed that was silent has nothing to save
    rig.live(0, 10)
    rig.saver.note()
    rig.time.seconds = 103.0
    rig.saver.note()
    assert rig.saver.waited() == 3.0
    slow = Sink(prompt=False)
    written = rig.saver.begin({"records": Sink(), "slow": slow})
    rig.time.seconds = 104.0
    rig.saver.note()
    rig.time.seconds = 106.0
    assert rig.saver.waited() == 6.0
    slow.answer()
    written.result(10)
    assert rig.saver.waited() == 2.0


def test_what_a_failed_checkpoint_did_not_save_still_waits(rig):
    rig.live(0, 10)
    rig.saver.note()
    rig.journal.disk = full_disk
    with pytest.raises(CheckpointError):
        rig.saver.begin({"records": Sink()}).result(10)
    rig.time.seconds = 7.0
    rig.saver.note()
    assert rig.saver.waited() == 7.0


def test_a_checkpoint_waits_no_longer_for_a_sink_that_is_gone(tmp_path):
    rig, slow = Rig(tmp_path), Sink(prompt=False)
    rig.live(0, 5)
    done = rig.saver.begin({"records": Sink(), "jsonl": slow})
    assert not done.done()
    rig.saver.forget("jsonl")
    done.result(20)
    slow.answer()
    assert rig.saved()["sinks"] == {}
    assert not rig.saver.busy


def test_a_sink_that_answers_twice_counts_once(tmp_path):
    rig, first, second = Rig(tmp_path), Sink(prompt=False), Sink(prompt=False)
    rig.live(0, 5)
    done = rig.saver.begin({"records": first, "jsonl": second})
    again = first.asked[0]
    first.answer()
    again(PLACE)
    assert not done.done()
    second.answer()
    done.result(20)


def test_an_unforeseen_error_is_told_and_the_next_try_is_made(rig, monkeypatch):
    rig.live(0, 10)

    def fail(*_):
        raise RuntimeError("what nobody thought of")

    with monkeypatch.context() as broken:
        broken.setattr(checkpoint, "save", fail)
        with pytest.raises(CheckpointError, match="what nobody thought of"):
            rig.saver.begin({"records": Sink()}).result(10)
    assert "what nobody thought of" in rig.saver.problem
    assert not rig.saver.busy
    rig.saver.begin({"records": Sink()}).result(10)
    assert (rig.saver.problem, rig.saved()["seq"]) == ("", 10)


def test_a_state_that_cannot_be_gathered_is_told_and_the_next_try_is_made(
    rig, monkeypatch
):
    rig.live(0, 10)
    with monkeypatch.context() as broken:
        broken.setattr(Moment, "arrays", full_disk)
        with pytest.raises(CheckpointError, match="cannot be written"):
            rig.saver.begin({"records": Sink()}).result(10)
    assert not rig.saver.busy
    rig.saver.begin({"records": Sink()}).result(10)
    assert (rig.saver.problem, rig.saved()["seq"]) == ("", 10)


def test_a_journal_without_a_handle_to_sync_is_a_problem_and_no_checkpoint(
    rig, monkeypatch
):
    def none_left():
        raise JournalError("journal", "too many open files")

    rig.live(0, 10)
    rig.saver.note()
    with monkeypatch.context() as broken:
        broken.setattr(rig.journal, "syncing", none_left)
        with pytest.raises(JournalError, match="too many open files"):
            rig.saver.begin({"records": Sink()}).result(10)
    assert rig.saver.problem == "journal: too many open files"
    assert not rig.saver.busy
    rig.time.seconds = 3.0
    assert rig.saver.waited() == rig.saver.since_tried() == 3.0
    rig.saver.begin({"records": Sink()}).result(10)
    assert (rig.saver.problem, rig.saved()["seq"]) == ("", 10)


def test_too_little_memory_for_room_is_a_problem_and_the_next_try_is_made(
    rig, monkeypatch
):
    def none_left(size):
        raise MemoryError(f"Unable to allocate {size} bytes")

    rig.live(0, 10)
    with monkeypatch.context() as broken:
        broken.setattr(saver, "_room", none_left)
        while not rig.saver.has_room():
            concurrent.futures.wait([rig.saver._room])
        with pytest.raises(CheckpointError, match=r"cannot be written.*Unable to"):
            rig.saver.begin({"records": Sink()}).result(10)
    assert "Unable to allocate" in rig.saver.problem
    assert not rig.saver.busy
    rig.saver.begin({"records": Sink()}).result(10)
    assert (rig.saver.problem, rig.saved()["seq"]) == ("", 10)


def test_memory_is_given_back_once_it_is_written_or_has_failed(rig, monkeypatch):
    held, hold = [], rig.engine.hold

    def watched(room):
        moment, meta = hold(room)
        held.append(moment)
        return moment, meta

    monkeypatch.setattr(rig.engine, "hold", watched)
    rig.live(0, 10)
    rig.saver.begin({"records": Sink()})
    rig.journal.disk = full_disk
    rig.saver.begin({"records": Sink()})
    rig.saver.close()
    assert [moment.is_over for moment in held] == [True, True]


def test_rows_that_change_are_kept_in_room_that_was_made_before(rig, monkeypatch):
    rooms, hold = [], rig.engine.hold
    monkeypatch.setattr(
        rig.engine, "hold", lambda room: rooms.append(room) or hold(room)
    )
    rig.live(0, 5)
    while not rig.saver.has_room():
        rig.saver._room.result(10)
    for _ in range(2):
        rig.saver.begin({"records": Sink()}).result(10)
    assert list(map(len, rooms)) == [rig.engine.nbytes, 0]
