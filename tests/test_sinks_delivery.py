from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from sfm_stream import settings, sinks
from sfm_stream.errors import Fenced, RecordsLost
from sfm_stream.notices import Level
from sfm_stream.records import Records
from sfm_stream.sinks import Chosen, Delivery, JsonlSink
from sfm_stream.sinks import delivery as subject
from sfm_stream.storage import atomic
from tests.records_rig import cut, refuse, some
from tests.sinks_rig import Moody, settle

BLOCK = some(0, 60)
ROWS = list(BLOCK.rows())
DEADLINE_S = 30


@pytest.fixture
def moody():
    sink = Moody()
    yield sink
    sink.open.set()  # threads that wait for it may go


def deliver(sink, folder, say=lambda _: None, name="moody", **changes):
    wanted = settings.Sink(kind="ours", **changes)
    return Delivery(name, Chosen(sink), wanted, folder, say)


def ticks():
    """Give the records event by event, as a live feed does."""
    return cut(BLOCK, *range(1, 60))


def shut(sink, delivery):
    """Let the sink block on an empty call, so that all that follows has to wait."""
    sink.open.clear()
    sink.entered.clear()
    delivery.mark(lambda _: None)
    assert sink.entered.wait(DEADLINE_S)


class Lines:
    """Lines of the log, which a test can wait for."""

    def __init__(self):
        self.lines, self._more = [], threading.Condition()

    def __call__(self, line):
        with self._more:
            self.lines.append(line)
            self._more.notify_all()

    def wait_for(self, text):
        def said():
            return any(text in line for line in self.lines)

        with self._more:
            assert self._more.wait_for(said, DEADLINE_S), self.lines


def spilled(folder):
    return sorted(path.name for path in Path(folder).rglob("*.bin"))


def test_records_arrive_in_order_and_positions_after_them(tmp_path, moody):
    delivery, seen = deliver(moody, tmp_path), []
    for i, records in enumerate(ticks()):
        delivery.offer(records)
        if i % 7 == 0:
            delivery.mark(lambda _: seen.append(sum(map(len, moody.records))))
    settle(delivery)
    assert list(moody.rows()) == ROWS
    expected = [len(list(cut(BLOCK, i + 1)[0].rows())) for i in range(0, 60, 7)]
    assert seen == expected
    assert delivery.close(DEADLINE_S)
    assert moody.calls[-2:] == ["flush", "close"]
    state = delivery.state()
    assert (state.queued, state.written, state.dropped) == (0, len(ROWS), 0)
    assert state.error == ""


def test_close_delivers_what_waits(tmp_path, moody):
    delivery = deliver(moody, tmp_path)
    for records in ticks():
        delivery.offer(records)
    assert delivery.close(DEADLINE_S)
    assert list(moody.rows()) == ROWS


def test_sink_that_blocks_does_not_hold_up_who_offers(tmp_path, moody):
    delivery = deliver(moody, tmp_path)
    shut(moody, delivery)
    for records in ticks():
        delivery.offer(records)
    state = delivery.state()
    assert (state.name, state.kind) == ("ours", "ours")
    assert (state.queued, state.written) == (len(ROWS), 0)
    assert 0 < state.blocked_s < DEADLINE_S
    moody.open.set()
    settle(delivery)
    assert list(moody.rows()) == ROWS
    assert delivery.state().blocked_s == 0


@pytest.mark.parametrize("overload", ["spill", "drop"])
def test_overload_is_said_once_and_once_when_it_ends(
    tmp_path, moody, overload, monkeypatch
):
    monkeypatch.setattr(subject, "CALM_S", 0.0)
    said = Lines()
    delivery = deliver(moody, tmp_path, said, queue=40, overload=overload)
    shut(moody, delivery)
    for records in ticks():
        delivery.offer(records)
    said.wait_for("is too slow")
    moody.open.set()
    settle(delivery)
    said.wait_for("keeps up again")
    rows, state = list(moody.rows()), delivery.state()
    assert len(said.lines) == 2
    assert (state.queued, state.spilled) == (0, 0)
    assert state.dropped + state.written == len(ROWS)
    assert state.written == len(rows)
    assert spilled(tmp_path) == []
    if overload == "spill":
        assert rows == ROWS
    else:
        assert f"{state.dropped} records were lost" in said.lines[1]
        assert 0 < state.dropped < len(ROWS)
        assert [row for row in ROWS if row in rows] == rows


def test_losses_soon_after_one_another_are_said_once(tmp_path, moody):
    said = Lines()
    delivery, dropped = deliver(moody, tmp_path, said, queue=40, overload="drop"), 0
    for _ in range(2):
        shut(moody, delivery)
        for records in ticks():
            delivery.offer(records)
        moody.open.set()
        settle(delivery)
        assert delivery.state().dropped > dropped
        dropped = delivery.state().dropped
    assert said.lines == [f"sink ours {subject.LOSES}"]
    assert delivery.close(DEADLINE_S)


def test_spilled_records_wait_on_disk(tmp_path, moody):
    said = Lines()
    delivery = deliver(moody, tmp_path, said, queue=40)
    shut(moody, delivery)
    for records in ticks():
        delivery.offer(records)
    said.wait_for("is too slow: records wait on disk")
    assert spilled(tmp_path / "moody")
    state = delivery.state()
    assert state.spilled
    assert state.queued + state.spilled == len(ROWS)


def test_disk_that_takes_no_spill_is_seen_and_what_is_lost_is_counted(tmp_path, moody):
    (tmp_path / "moody").write_text("a file where the folder should be")
    said = Lines()
    delivery = deliver(moody, tmp_path, said, queue=40)
    shut(moody, delivery)
    for records in ticks():
        delivery.offer(records)
    said.wait_for("records are lost")
    assert "moody" in delivery.state().error
    moody.open.set()
    settle(delivery)
    state = delivery.state()
    assert state.dropped > 0
    assert state.dropped + state.written == len(ROWS)


def test_calls_that_fail_are_made_again_in_order(tmp_path, moody, monkeypatch):
    monkeypatch.setattr(sinks.delivery, "RETRY_S", 0.001)
    said = Lines()
    delivery = deliver(moody, tmp_path, said)
    moody.failures = 4
    shut(moody, delivery)
    for records in ticks():
        delivery.offer(records)
    moody.open.set()
    settle(delivery)
    assert list(moody.rows()) == ROWS
    assert moody.calls[:5] == ["flush"] * 5
    assert said.lines == [
        "sink ours: there: the other side is away",
        "sink ours: works again",
    ]
    assert [line.level for line in said.lines] == [Level.ERROR, Level.INFO]
    assert delivery.state().error == ""


def test_trouble_of_the_sink_shows_while_it_lasts(tmp_path, moody):
    said = Lines()
    delivery = deliver(moody, tmp_path, said)
    moody.failures = 10**9
    for records in ticks():
        delivery.offer(records)
    said.wait_for("the other side is away")
    assert delivery.state().error == "there: the other side is away"
    assert delivery.state().written == 0
    assert not delivery.close(0.05)


def test_that_records_were_lost_stays_to_be_seen(tmp_path, moody, monkeypatch):
    monkeypatch.setattr(sinks.delivery, "RETRY_S", 0.001)
    gone = RecordsLost("there", "expected its own file, was removed")
    delivery, write, once = deliver(moody, tmp_path), moody.write, [gone]

    def lose(records):
        if once:
            raise once.pop()
        write(records)

    moody.write = lose
    for records in ticks():
        delivery.offer(records)
    settle(delivery)
    assert list(moody.rows()) == ROWS
    assert (delivery.state().error, delivery.state().lost) == ("", str(gone))


def test_full_disk_delays_lines_and_doubles_none(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks.delivery, "RETRY_S", 0.001)
    said, append = Lines(), atomic.append
    delivery = deliver(JsonlSink(tmp_path / "records.jsonl"), tmp_path, said)
    monkeypatch.setattr(atomic, "append", refuse)
    for records in ticks():
        delivery.offer(records)
    said.wait_for("the disk is full")
    monkeypatch.setattr(atomic, "append", append)
    assert delivery.close(DEADLINE_S)
    lines = (tmp_path / "records.jsonl").read_bytes().splitlines()
    assert lines == list(map(msgspec.json.encode, ROWS))


def test_sink_that_blocks_for_ever_is_abandoned_at_the_deadline(tmp_path, moody):
    delivery = deliver(moody, tmp_path, name="abandoned")
    shut(moody, delivery)
    delivery.offer(BLOCK)
    assert not delivery.close(0.05)
    moody.open.set()
    threads = [t for t in threading.enumerate() if t.name == "sink abandoned"]
    assert len(threads) == 2
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        assert thread.daemon
    assert moody.calls[-1] == "close"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("ends", ["keeper", "sink"])
def test_error_that_is_no_sink_error_ends_the_delivery_and_shows(
    tmp_path, moody, monkeypatch, ends
):
    delivery = deliver(moody, tmp_path, name=ends)
    keeper, serving = (t for t in threading.enumerate() if t.name == f"sink {ends}")
    if ends == "keeper":
        monkeypatch.setattr(delivery._backlog, "add", lambda _: 1 / 0)
        delivery.offer(BLOCK)
        keeper.join(DEADLINE_S)
    else:
        delivery.mark(lambda _: 1 / 0)
        serving.join(DEADLINE_S)
        delivery.offer(BLOCK)
    assert not delivery.close(0.05)
    assert delivery.state().error == sinks.delivery.ENDED
    assert delivery.state().queued == len(ROWS)
    for thread in (keeper, serving):
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_box_that_nobody_empties_does_not_grow_for_ever(tmp_path, moody, monkeypatch):
    monkeypatch.setattr(sinks.delivery, "BOX", 3)
    delivery, entered = deliver(moody, tmp_path), threading.Event()
    add, free = delivery._backlog.add, threading.Event()

    def hang(item):  # as a disk may, to which the keeper spills
        entered.set()
        free.wait()
        add(item)

    monkeypatch.setattr(delivery._backlog, "add", hang)
    first, *others = ticks()
    delivery.offer(first)
    assert entered.wait(DEADLINE_S)
    for records in others:
        delivery.offer(records)
    kept = sum(map(len, [first, *others[:3]]))
    assert delivery.state().queued == kept
    assert delivery.state().dropped == len(ROWS) - kept
    free.set()
    assert delivery.close(DEADLINE_S)
    assert list(moody.rows()) == ROWS[:kept]


def test_nothing_is_not_delivered(tmp_path, moody):
    delivery = deliver(moody, tmp_path)
    delivery.offer(Records({}, {}))
    assert delivery.close(DEADLINE_S)
    assert moody.calls == ["flush", "close"]


def test_a_fenced_delivery_writes_nothing_more_and_says_why(tmp_path):
    path, may_write = tmp_path / "records.jsonl", threading.Event()
    may_write.set()

    def guard():
        if not may_write.is_set():
            raise Fenced("run", "epoch 1 is over")

    wanted, said = settings.Sink(kind="jsonl"), Lines()
    delivery = Delivery("own", Chosen(JsonlSink(path)), wanted, tmp_path, said, guard)
    delivery.offer(BLOCK)
    flushed = threading.Event()
    delivery.mark(lambda _: flushed.set())
    assert flushed.wait(DEADLINE_S)
    before = path.read_bytes()
    may_write.clear()
    delivery.offer(some(60, 90))
    said.wait_for("epoch 1 is over")
    assert not delivery.close(0.5)
    assert path.read_bytes() == before
    assert "epoch 1 is over" in delivery.state().error
