from __future__ import annotations

import gc
import json
import os
from concurrent.futures import Future

import pytest
from msgspec.structs import replace

from sfm_stream.daemon import named_sinks, rejoining, worker
from sfm_stream.daemon.recovery import recover
from sfm_stream.daemon.worker import REPLAY, ROW_BYTES, Witness, Worker
from sfm_stream.errors import CheckpointError, Fenced, JournalError, SinkError
from sfm_stream.events import Control, Gap
from sfm_stream.notices import Level
from sfm_stream.records import Decision
from sfm_stream.sinks import Status, open_sink
from sfm_stream.storage import atomic, checkpoint, journal
from sfm_stream.storage.journal import Journal, active, writer
from tests.daemon_rig import START, block, full_disk, settings_of, ticks
from tests.test_daemon_recovery import Source

AT_EVERY_BATCH = {"checkpoint_every": "1ns", "drain": "10s"}


def refuse_journal(*_):
    raise JournalError("journal", "full")


class Rig:
    """A worker on a folder; what it says and publishes is kept."""

    def __init__(self, folder, **tree):
        self.folder, self.said, self.published = folder, [], []
        self.config = settings_of(**tree)
        found = recover(self.config, Source(), folder, say=self.said.append)
        self.engine = found.engine
        self.worker = Worker(
            found, self.config, Witness(self._publish), self.said.append, lambda: START
        )
        self.worker.begin().result(10)

    def _publish(self, records):
        self.published += records.rows()

    def kinds(self):
        return [type(r).__name__ for r in self.published]

    def actions(self):
        return [r.action for r in self.published if isinstance(r, Decision)]

    def journalled(self):
        return list(journal.read(self.folder / "journal"))

    def lines(self, name="records.jsonl"):
        text = (self.folder / name).read_text()
        return [json.loads(line) for line in text.splitlines()]

    def newest(self):
        held = checkpoint.newest_good(self.folder / "checkpoints", pytest.fail)
        return held.manifest["seq"]


def test_records_reach_every_sink_and_whoever_listens(tmp_path):
    rig = Rig(tmp_path, sink=[{"kind": "jsonl"}])
    rig.worker.take(block(ticks(0, 20)))
    rig.worker.close()
    assert [r["type"] for r in rig.lines()] == [k.lower() for k in rig.kinds()]
    assert rig.kinds().count("Forecast") == 20


def test_closing_saves_what_there_is(tmp_path):
    rig = Rig(tmp_path)
    rig.worker.take(block(ticks(0, 20)))
    rig.worker.close()
    assert rig.newest() == 20
    assert rig.said == []


def test_a_checkpoint_is_taken_when_it_is_time(tmp_path):
    rig = Rig(tmp_path, daemon=AT_EVERY_BATCH)
    assert not rig.worker.is_due()
    rig.worker.take(block(ticks(0, 5)))
    assert rig.worker.is_due()
    rig.worker.save()
    assert not rig.worker.is_due()
    rig.worker.saver._writing.result(10)
    assert rig.newest() == 5
    rig.worker.close()


def test_time_alone_brings_a_checkpoint_when_the_feed_is_quiet(tmp_path):
    rig = Rig(tmp_path, daemon=AT_EVERY_BATCH)
    rig.worker.take(block(ticks(0, 5)))
    rig.worker.saver.has_room()
    rig.worker.saver._room.result(10)
    rig.worker.beat()
    rig.worker.saver._writing.result(10)
    assert rig.newest() == 5
    rig.worker.beat()  # nothing new: nothing to save
    assert not rig.worker.saver.busy
    rig.worker.close()


def test_a_checkpoint_that_costs_more_than_it_saves_waits(tmp_path):
    rig = Rig(tmp_path, daemon={"checkpoint_every": "1ms", "drain": "10s"})
    worker = rig.worker
    worker.take(block(ticks(0, 1)))
    worker.save()
    worker.saver._writing.result(10)
    worker.take(block(ticks(1, 3)))
    assert worker.engine.nbytes > 100_000
    worker.saver.since_tried = lambda: 0.002
    assert not worker.is_due()  # two ticks for so many bytes
    worker.saver.since_tried = lambda: 0.061
    assert worker.is_due()  # but not without end
    worker.saver.since_tried = lambda: 0.002
    worker._since.seconds = REPLAY
    assert worker.is_due()  # a recovery would take long
    worker._since.seconds = 0.0
    worker._since.rows = worker.engine.nbytes // ROW_BYTES + 1
    assert worker.is_due()  # journal and records have grown as much
    del worker.saver.since_tried
    worker.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_folder_that_is_gone_or_another_halts_it(tmp_path, replaced):
    folder = tmp_path / "run"
    rig = Rig(folder)
    rig.worker.take(block(ticks(0, 5)))
    folder.rename(tmp_path / "moved")
    other = Rig(folder) if replaced else None
    rig.worker.take(block(ticks(5, 7)))
    rig.worker._synced -= 10
    with pytest.raises(JournalError, match="folder was removed or replaced"):
        rig.worker.beat()
    rig.worker.close()
    assert folder.exists() is replaced
    if other is not None:
        assert other.newest() is None or other.newest() == 0
        other.worker.close()


def test_a_started_run_begins_with_a_gap_only_if_it_was_there_before(tmp_path):
    rig = Rig(tmp_path)
    rig.worker.take(block(ticks(0, 2)))
    rig.worker.close()
    rig = Rig(tmp_path)
    rig.worker.take(block(ticks(2, 3)))
    rig.worker.close()
    first, second, gap, third = rig.journalled()
    assert [first, second, third] == ticks(0, 3)
    assert (type(gap), gap.stream, gap.reason) == (Gap, "", worker.RESTARTED)


def frozen_tree(enabled):
    return {"window": 8, "every": 8, "enabled": enabled}


@pytest.mark.parametrize(
    ("before", "after", "actions"),
    [
        (True, True, []),
        (True, False, ["caught-up", "freeze"]),
        (False, True, ["caught-up", "learn"]),
    ],
)
def test_a_restart_obeys_the_settings_it_finds(tmp_path, before, after, actions):
    for enabled in (before, after):
        rig = Rig(tmp_path, learn=frozen_tree(enabled))
        start = rig.engine.seq
        rig.worker.take(block(ticks(start, start + 3)))
        assert rig.engine.learning == enabled
        rig.worker.close()
    events = rig.journalled()[start:]
    assert [e.action for e in events if isinstance(e, Control)] == actions


def test_a_process_killed_while_it_caught_up_learns_again(tmp_path):
    rig = Rig(tmp_path)
    rig.worker.take(block([*ticks(0, 3), Control("", 0, "catch-up")]))
    assert not rig.engine.learning
    rig.worker.close()
    rig = Rig(tmp_path)
    rig.worker.take(block(ticks(3, 4)))
    assert rig.engine.learning
    rig.worker.close()


def test_a_decision_is_logged(tmp_path):
    rig = Rig(tmp_path)
    rig.worker.take(
        block([Control("", START, "freeze"), Control("a", START, "quarantine")])
    )
    rig.worker.close()
    assert rig.said == [
        "decided: freeze all streams (lag 0 s)", "decided: quarantine a (lag 0 s)",
    ]  # fmt: skip
    assert [notice.level for notice in rig.said] == [Level.INFO, Level.WARNING]


def test_a_journal_that_cannot_begin_again_in_time_is_told_with_the_reason(
    tmp_path, monkeypatch
):
    rig = Rig(tmp_path, daemon={**AT_EVERY_BATCH, "disk_full": "go-on"})
    rig.worker.stepper.problem = "journal: the disk is full"
    rig.worker.take(block([Control("", START, "unjournalled")]))
    with monkeypatch.context() as patch:
        patch.setattr(rejoining, "LONGEST", 0.001)
        patch.setattr(rig.worker.saver, "begin", lambda *_: Future())
        rig.worker.beat()
        rig.worker.beat()
    rig.worker.close()
    assert rig.said[:2] == [
        "decided: unjournalled all streams (journal: the disk is full)",
        "still without a journal: no checkpoint came to an end in 0.001 s",
    ]
    assert {notice.level for notice in rig.said[:2]} == {Level.ERROR}


def test_a_sink_in_trouble_does_not_hold_a_model_that_goes_on(tmp_path, monkeypatch):
    rig = Rig(tmp_path, daemon={**AT_EVERY_BATCH, "disk_full": "go-on"})
    rig.worker.stepper.problem = "journal: the disk is full"
    rig.worker.take(block(ticks(0, 5)))
    (sink,) = rig.worker.deliveries.values()
    states = iter(["", "", "no space left"])
    told = lambda: Status("records", "parquet", 0, 0, 0, 0, 0.0, next(states))  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(rejoining, "LONGEST", 60.0)
        patch.setattr(sink, "state", told)
        patch.setattr(rig.worker.saver, "begin", lambda *_: Future())
        rig.worker.beat()
    assert "still without a journal: sink records: no space left" in rig.said
    rig.worker.close()


def test_a_lag_is_told_as_the_reason_for_catching_up_without_a_journal_too(tmp_path):
    rig = Rig(tmp_path, daemon={"disk_full": "go-on"})
    rig.worker.stepper.problem = "journal: the disk is full"
    rig.worker.take(block([Control("", START, "catch-up")]))
    rig.worker.close()
    assert rig.said[0] == "decided: catch-up all streams (lag 0 s)"


def test_settings_that_may_change_are_gone_by(tmp_path):
    rig = Rig(tmp_path, sink=[{"kind": "jsonl", "path": "one.jsonl"}])
    rig.worker.take(block(ticks(0, 10)))
    config = settings_of(
        sink=[{"kind": "jsonl", "path": "two.jsonl"}],
        learn=frozen_tree(enabled=False),
        daemon={"catch_up_after": "9s"},
    )
    rig.worker.obey(config)
    rig.worker.take(block(ticks(10, 20)))
    rig.worker.close()
    assert rig.worker.stepper._patience == 9.0
    assert not rig.engine.learning
    assert {r["seq"] for r in rig.lines("one.jsonl")} == set(range(10))
    assert min(r["seq"] for r in rig.lines("two.jsonl")) == 10
    # a restart knows both the new sink's position and that the old one is gone
    again = Rig(tmp_path, sink=[{"kind": "jsonl", "path": "two.jsonl"}])
    again.worker.close()


def test_a_changed_choice_of_a_sink_and_number_of_checkpoints_is_gone_by(tmp_path):
    rig = Rig(tmp_path, sink=[{"kind": "jsonl"}])
    rig.worker.take(block(ticks(0, 10)))
    sink = [{"kind": "jsonl", "records": ["scores"]}]
    rig.worker.obey(settings_of(sink=sink, daemon={"checkpoints": 1}))
    rig.worker.saver._writing.result(10)
    rig.worker.take(block(ticks(10, 20)))
    rig.worker.close()
    assert {r["type"] for r in rig.lines() if r["seq"] >= 10} == {"score"}
    assert {r["type"] for r in rig.lines() if r["seq"] < 10} >= {"score", "forecast"}
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert kept.name == f"{20:012d}"


def test_a_sink_that_cannot_be_opened_changes_nothing(tmp_path):
    rig = Rig(tmp_path, sink=[{"kind": "jsonl"}])
    (tmp_path / "old.jsonl").write_text("precious\n")
    config = replace(rig.config, sink=settings_of(
        sink=[{"kind": "jsonl", "path": "old.jsonl"}]).sink)  # fmt: skip
    with pytest.raises(SinkError, match="holds records already"):
        rig.worker.obey(config)
    rig.worker.take(block(ticks(0, 3)))
    rig.worker.close()
    assert len(rig.lines()) == 5


def test_of_new_sinks_none_stays_open_if_one_cannot_be_opened(tmp_path, monkeypatch):
    rig, opened = Rig(tmp_path), []
    (tmp_path / "old.jsonl").write_text("precious\n")
    paths = ("new.jsonl", "old.jsonl")
    config = settings_of(sink=[{"kind": "jsonl", "path": path} for path in paths])

    def watched(*given):
        opened.append(open_sink(*given))
        return opened[-1]

    monkeypatch.setattr(named_sinks, "open_sink", watched)
    with pytest.raises(SinkError, match="holds records already"):
        rig.worker.obey(config)
    (sink,) = opened
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sink.sink._handle)
    (tmp_path / "old.jsonl").unlink()
    rig.worker.obey(config)
    assert len(rig.worker.deliveries) == 3
    rig.worker.close()


def test_the_journal_is_synced_once_a_second(tmp_path, monkeypatch):
    rig = Rig(tmp_path)
    synced, now = [], [0.0]
    monkeypatch.setattr(rig.worker.stepper, "sync", lambda: synced.append(now[0]))
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    rig.worker._synced = 0.0
    for now[0] in (0.5, 1.0, 1.5, 1.9, 2.1):
        rig.worker.beat()
    assert synced == [1.0, 2.1]
    monkeypatch.undo()
    rig.worker.close()


def test_old_segments_go_when_a_checkpoint_covers_them(tmp_path):
    tree = {"daemon": {**AT_EVERY_BATCH, "retention": "1ns"}}
    rig = Rig(tmp_path, **tree)
    rig.worker._found.journal._limit = 1
    for start in range(0, 50, 10):
        rig.worker.take(block(ticks(start, start + 10)))
        rig.worker.save()
        rig.worker.saver._writing.result(10)
    rig.worker.close()
    assert journal.unbroken(tmp_path / "journal") > 0
    again = Rig(tmp_path, **tree)
    assert again.engine.seq == 50
    again.worker.close()


def test_segments_that_cannot_be_deleted_are_an_alarm_and_the_run_goes_on(
    tmp_path, monkeypatch
):
    rig = Rig(tmp_path, daemon={**AT_EVERY_BATCH, "retention": "1ns"})
    rig.worker.journal._limit = 1
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "delete_before", refuse_journal)
        for start in range(0, 20, 10):
            rig.worker.take(block(ticks(start, start + 10)))
            rig.worker.save()
            rig.worker.saver._writing.result(10)
    assert rig.worker.problem == rig.said[-1] == "old segments stay: journal: full"
    assert rig.said[-1].level == Level.WARNING
    rig.worker.save()
    assert rig.worker.problem == ""
    rig.worker.close()


def test_without_a_last_checkpoint_the_sinks_are_closed_all_the_same(
    tmp_path, monkeypatch
):
    rig = Rig(tmp_path, sink=[{"kind": "jsonl"}])
    rig.worker.take(block(ticks(0, 20)))
    monkeypatch.setattr(rig.worker.journal, "syncing", refuse_journal)
    rig.worker.close()
    assert rig.said == ["no last checkpoint: journal: full; the journal has the rest"]
    assert len(rig.lines()) == len(rig.published)


def test_after_a_full_disk_the_journal_goes_on_behind_a_checkpoint(
    tmp_path, monkeypatch
):
    rig = Rig(tmp_path, daemon={**AT_EVERY_BATCH, "disk_full": "go-on"})
    monkeypatch.setattr(rejoining, "LONGEST", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "append", full_disk)
        rig.worker.take(block(ticks(0, 5)))
        patch.setattr(atomic, "write", full_disk)
        rig.worker.beat()
        assert rig.worker.stepper.problem
    rig.worker.saver._writing.result(10)  # the sink has tried again
    rig.worker.beat()
    assert rig.worker.stepper.problem == ""
    rig.worker.take(block(ticks(5, 8)))
    rig.worker.close()
    assert rig.kinds().count("Decision") == 2
    again = Rig(tmp_path)
    assert again.engine.seq == 10
    again.worker.close()


def test_without_a_journal_no_checkpoint_pushes_out_those_that_fit(
    tmp_path, monkeypatch
):
    daemon = {**AT_EVERY_BATCH, "disk_full": "go-on", "checkpoints": 1}
    rig = Rig(tmp_path, daemon=daemon)
    rig.worker.take(block(ticks(0, 5)))
    rig.worker.saver.begin(rig.worker.deliveries).result(10)
    with monkeypatch.context() as patch:
        for call in ("append", "skip_to"):
            patch.setattr(Journal, call, refuse_journal)
        rig.worker.take(block(ticks(5, 8)))
        for start in (8, 9, 10):
            rig.worker.take(block(ticks(start, start + 1)))
            rig.worker.beat()
        rig.worker.obey(replace(rig.config, sink=settings_of(
            sink=[{"kind": "jsonl"}]).sink))  # fmt: skip
        assert not rig.worker.saver.busy
        assert rig.worker.saver.saved.seq == 5
        rig.worker.close()
    again = Rig(tmp_path, daemon=daemon)
    assert (again.engine.seq, again.worker.recovered) == (5, 0)
    again.worker.close()


@pytest.mark.parametrize("limit", [2, writer.SEGMENT_BYTES])
def test_a_sync_that_failed_once_costs_no_event(tmp_path, monkeypatch, limit):
    rig = Rig(tmp_path, daemon={**AT_EVERY_BATCH, "disk_full": "go-on"})
    log = rig.worker.journal
    log._limit = limit  # a small one is turned over in the same beat
    rig.worker.take(block(ticks(0, 5)))
    with monkeypatch.context() as patch:
        patch.setattr(active, "_note", full_disk)
        log.sync_soon()
        log._worker.submit(bool).result()
    rig.worker._synced -= 10
    rig.worker.beat()
    assert rig.worker.stepper.problem == ""
    rig.worker.take(block(ticks(5, 10)))
    rig.worker.close()
    assert rig.actions() == ["unjournalled", "journalled"]
    assert len(rig.journalled()) == 12
    assert journal.unbroken(tmp_path / "journal") == 0
    again = Rig(tmp_path)
    assert again.engine.seq == 12
    assert again.said == []
    again.worker.close()


def test_a_run_killed_while_its_disk_was_full_goes_on_before_the_hole(
    tmp_path, monkeypatch
):
    tree = {"daemon": {**AT_EVERY_BATCH, "disk_full": "go-on"}}
    rig = Rig(tmp_path, sink=[{"kind": "jsonl"}], **tree)
    rig.worker.take(block(ticks(0, 5)))
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "append", full_disk)
        rig.worker.take(block(ticks(5, 9)))
        patch.setattr(Worker, "_rejoin", lambda *_: None)
        rig.worker.close()
    again = Rig(tmp_path, sink=[{"kind": "jsonl"}], **tree)
    assert again.engine.seq == 5
    again.worker.close()
    assert {r["seq"] for r in again.lines()} == set(range(5))


def test_a_run_stopped_in_order_after_its_disk_was_full_keeps_what_it_learned(
    tmp_path, monkeypatch
):
    tree = {"daemon": {**AT_EVERY_BATCH, "disk_full": "go-on"}}
    rig = Rig(tmp_path, sink=[{"kind": "jsonl"}], **tree)
    rig.worker.take(block(ticks(0, 5)))
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "append", full_disk)
        rig.worker.take(block(ticks(5, 9)))
    rig.worker.close()
    ended = rig.engine.seq
    again = Rig(tmp_path, sink=[{"kind": "jsonl"}], **tree)
    assert again.engine.seq == ended == 11  # and two decisions
    again.worker.close()


def test_a_last_checkpoint_that_fails_is_told_and_loses_nothing(tmp_path, monkeypatch):
    rig = Rig(tmp_path)
    rig.worker.take(block(ticks(0, 5)))

    def refuse(*_):
        message = "the disk is full"
        raise CheckpointError("checkpoints", message)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", refuse)
        rig.worker.close()
    assert "no last checkpoint: checkpoints: the disk is full" in rig.said[-1]
    again = Rig(tmp_path)
    assert again.engine.seq == 5
    again.worker.close()


def test_whoever_holds_the_engine_sees_it_between_batches(tmp_path):
    rig = Rig(tmp_path)
    with rig.worker.stepper.lock:
        assert rig.engine.seq == 0
    rig.worker.take(block(ticks(0, 1)))
    assert rig.worker.steps == 1
    rig.worker.close()


def test_what_it_holds_does_not_grow_with_what_it_has_seen(tmp_path):
    rig = Rig(tmp_path, sink=[{"kind": "jsonl"}])

    def held_after(start, stop):
        for at in range(start, stop, 32):
            rig.worker.take(block(ticks(at, at + 32)))
        rig.worker.saver.begin(rig.worker.deliveries).result(60)
        rig.published.clear()
        gc.collect()
        return len(gc.get_objects())

    before = held_after(0, 4_096)
    # one object per tick would be 8,192 more
    assert held_after(4_096, 12_288) < before + 2_000
    rig.worker.close()


def test_a_fenced_worker_says_nothing_of_a_batch_and_saves_nothing(tmp_path):
    config, published, fence = settings_of(sink=[{"kind": "jsonl"}]), [], []

    def guard():
        if fence:
            raise Fenced("run", "epoch 1 is over")

    found = recover(config, Source(), tmp_path, say=pytest.fail, guard=guard)
    witness = Witness(lambda records: published.extend(records.rows()))
    alive = Worker(found, config, witness, [].append, lambda: START)
    alive.begin().result(10)
    alive.take(block(ticks(0, 20)))
    taken = alive.engine.seq
    alive.saver.begin(alive.deliveries).result(10)
    said, lines = len(published), (tmp_path / "records.jsonl").read_bytes()
    fence.append("up")
    with pytest.raises(Fenced):
        alive.take(block(ticks(20, 40)))
    assert alive.engine.seq == taken
    alive.close()
    assert len(published) == said
    assert (tmp_path / "records.jsonl").read_bytes() == lines
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
