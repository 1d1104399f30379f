from __future__ import annotations

import errno
import os

import pytest

from sfm_stream.daemon.stepper import Stepper
from sfm_stream.errors import ConfigError, JournalError, ShapeError
from sfm_stream.events import Block, Control, Gap, Tick
from sfm_stream.records import Decision, Forecast, Score, Update
from sfm_stream.storage import atomic, journal
from tests.daemon_rig import START, Time, block, daemon_of, engine_of, tick, ticks

NAN = float("nan")
MARK = "5f" * 32


class Rig:
    """A stepper whose records are kept."""

    def __init__(self, folder, **settings):
        self.time, self.engine = Time(), engine_of()
        self.log = journal.Journal(folder)
        self.said, self.latencies = [], []
        self.settings = daemon_of(**settings)
        self.stepper = Stepper(
            self.engine, self.log, self.settings, self._deliver, self._watch,
            now=self.time.now, elapsed=self.time.elapsed,
        )  # fmt: skip
        self.journalled_at = []

    def _deliver(self, records):
        self.said += records.rows()
        self.journalled_at.append(self.log.position)

    def _watch(self, latencies):
        self.latencies += latencies.tolist()

    def of(self, kind):
        return [r for r in self.said if isinstance(r, kind)]

    def actions(self):
        return [d.action for d in self.of(Decision)]

    def replayed(self):
        """What another engine says of the journal."""
        events = list(self.log.read())
        return list(engine_of().run(Block.of(events, 1)).rows())


@pytest.fixture
def rig(tmp_path):
    with_one = Rig(tmp_path / "journal", quarantine_after=3)
    yield with_one
    with_one.log.close()


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_events_are_journalled_before_anything_is_said(rig):
    rig.stepper.take(block(ticks(0, 5)))
    assert rig.journalled_at == [5, 5]
    assert list(rig.log.read()) == ticks(0, 5)
    assert len(rig.of(Forecast)) == 5


def test_what_is_said_is_what_a_replay_of_the_journal_says(rig):
    for start, stop in ((0, 1), (1, 30), (30, 31), (31, 90)):
        rig.time.seconds = stop / 1000
        rig.stepper.take(block(ticks(start, stop)))
    assert len(rig.of(Update)) == 11
    assert list(map(repr, rig.said)) == list(map(repr, rig.replayed()))


def test_a_latency_is_measured_from_receipt_to_delivery(rig):
    rig.time.seconds = 0.25
    rig.stepper.take(block([tick(0), Gap("a", START, "cut off"), tick(100)]))
    assert rig.latencies == pytest.approx([0.25, 0.15])
    assert sorted(rig.stepper.latencies.values()) == pytest.approx([0.15, 0.25])


def test_a_clock_that_is_set_back_makes_no_negative_latency(rig):
    rig.time.seconds = -5.0
    rig.stepper.take(block([tick(0)]))
    assert rig.latencies == [0.0]
    assert rig.stepper.lag == 0.0


def test_learning_pauses_while_the_oldest_event_is_too_old(rig):
    rig.stepper.take(block(ticks(0, 64)))
    before = len(rig.of(Update))
    rig.time.seconds = 2.5
    rig.stepper.take(block(ticks(64, 128)))
    assert rig.stepper.catching_up
    rig.time.seconds = 0.9  # still above a quarter of the patience
    rig.stepper.take(block(ticks(128, 192)))
    assert len(rig.of(Update)) == before
    assert len(rig.of(Forecast)) == 192
    rig.time.seconds = 0.6
    rig.stepper.take(block(ticks(192, 256)))
    assert not rig.stepper.catching_up
    assert len(rig.of(Update)) > before
    assert rig.actions() == ["catch-up", "caught-up"]
    assert list(map(repr, rig.said)) == list(map(repr, rig.replayed()))


def test_when_no_event_waits_nothing_is_late_and_learning_goes_on(rig):
    rig.stepper.take(block(ticks(0, 64)))
    rig.time.seconds = 2.5
    rig.stepper.take(block(ticks(64, 128)))
    rig.stepper.rest()
    rig.stepper.rest()
    assert (rig.stepper.lag, rig.stepper.catching_up) == (0.0, False)
    assert rig.engine.learning
    assert rig.actions() == ["catch-up", "caught-up"]
    assert list(map(repr, rig.said)) == list(map(repr, rig.replayed()))


def test_an_operators_decision_comes_before_the_next_batch(rig):
    rig.stepper.decide(Control("", START, "freeze"))
    rig.stepper.take(block(ticks(0, 20)))
    assert rig.of(Decision) == [Decision(0, "", START, "freeze")]
    assert rig.of(Update) == []
    assert not rig.engine.learning


def test_a_stream_of_garbage_is_shut_out_and_replays_so(rig):
    for i in range(6):
        rig.stepper.take(block([tick(i, "bad", NAN), tick(i, "good")]))
    assert rig.actions() == ["quarantine"]
    assert rig.stepper.counts.ticks == {"bad": 6, "good": 6}
    assert rig.stepper.counts.rejected == {"bad": 6}
    assert rig.stepper.counts.reasons == {
        "value is missing": (3, "stream 'bad' event 0 field 'x'"),
        "stream is shut out": (3, "stream 'bad'"),
    }
    assert rig.stepper.counts.received["bad"] == tick(5).received
    assert rig.stepper.totals() == (
        6, {"value is missing": 3, "stream is shut out": 3},
    )  # fmt: skip
    assert len({f.seq for f in rig.of(Forecast)}) == 6
    assert list(map(repr, rig.said)) == list(map(repr, rig.replayed()))


def test_other_settings_neither_forget_nor_let_in_streams_that_are_shut_out(rig):
    for i in range(5):
        rig.stepper.take(block([tick(i, "bad", NAN)]))
    rig.stepper.obey(daemon_of(quarantine_after=3, ready_lag="9s"))
    rig.stepper.take(block([tick(5, "bad", NAN)]))
    assert rig.stepper.totals() == (0, {"value is missing": 3, "stream is shut out": 3})


def test_ticks_gaps_and_rejections_are_counted(rig):
    rig.stepper.take(
        block([tick(0), tick(1, "b"), tick(2), Gap("a", START, "cut off")])
    )
    rig.stepper.take(block([tick(1)]))
    counts = rig.stepper.counts
    assert counts.ticks == {"a": 3, "b": 1}
    assert counts.rejected == {"a": 1}
    assert counts.reasons == {
        "time before the stream's last tick": (1, "stream 'a' event 4")
    }
    assert counts.gaps == 1
    assert counts.received == {"a": tick(1).received, "b": tick(1).received}


def test_ticks_the_engine_would_refuse_are_never_journalled(rig):
    with pytest.raises(ShapeError):
        rig.stepper.take(Block.of([Tick("a", START, (1.0, 2.0))], 2))
    assert rig.log.position == rig.engine.seq == 0


def test_a_decision_that_nobody_knows_is_never_journalled(rig):
    rig.stepper.decide(Control("", START, "dance"))
    with pytest.raises(ConfigError):
        rig.stepper.take(block(ticks(0, 1)))
    assert rig.log.position == rig.engine.seq == 0


def test_a_full_disk_halts_before_the_engine_sees_anything(rig, monkeypatch):
    rig.stepper.take(block(ticks(0, 5)))
    monkeypatch.setattr(atomic, "append", full)
    with pytest.raises(JournalError, match="the disk is full"):
        rig.stepper.take(block(ticks(5, 6)))
    assert rig.engine.seq == 5
    assert len(rig.of(Forecast)) == 5


def test_a_full_disk_may_be_outlived_without_a_journal(tmp_path, monkeypatch):
    rig = Rig(tmp_path / "journal", disk_full="go-on")
    rig.stepper.take(block(ticks(0, 5)))
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "append", full)
        rig.stepper.take(block(ticks(5, 8)))
        rig.stepper.take(block(ticks(8, 10)))
    assert "the disk is full" in rig.stepper.problem
    assert rig.actions() == ["unjournalled"]
    assert [s.origin for s in rig.of(Score)] == list(range(9))
    assert rig.log.position == 5
    rig.stepper.go_on_journalled(MARK)
    rig.stepper.take(block(ticks(10, 12)))
    assert rig.stepper.problem == ""
    assert rig.actions() == ["unjournalled", "journalled"]
    assert rig.log.position == rig.engine.seq == 14
    assert list(rig.log.read(11)) == [
        Control("", START, "journalled"), *ticks(10, 12)
    ]  # fmt: skip
    rig.log.close()


def test_a_disk_that_refuses_to_sync_is_met_as_a_full_one_is(tmp_path, monkeypatch):
    rig = Rig(tmp_path / "journal", disk_full="go-on")
    rig.stepper.take(block(ticks(0, 5)))

    def refuse():
        full_disk = JournalError("journal", "the disk is full")
        raise full_disk

    monkeypatch.setattr(rig.log, "sync_soon", refuse)
    rig.stepper.sync()
    rig.stepper.sync()
    rig.stepper.take(block(ticks(5, 6)))
    assert rig.actions() == ["unjournalled"]
    assert rig.log.position == 5
    monkeypatch.undo()
    rig.log.close()
