from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from sfm_stream.errors import SinkError
from sfm_stream.sinks import MemorySink, behind
from sfm_stream.sinks.behind import Behind
from tests.records_rig import some


class Failing:
    """A sink that fails at its second block, and notes what it took."""

    def __init__(self):
        self.taken, self.closed = [], False

    def write(self, records):
        if len(self.taken) == 1:
            raise SinkError("there", "the disk is full")
        self.taken.append(records)

    def flush(self):
        self.taken.append("flush")

    def close(self):
        self.closed = True


def test_records_arrive_in_order_and_are_there_after_a_flush():
    held = MemorySink()
    sink = Behind(held)
    blocks = [some(start, 4) for start in range(0, 40, 4)]
    for block in blocks:
        sink.write(block)
    sink.flush()
    assert sink.position() == held.position()
    assert list(map(id, held.records)) == list(map(id, blocks))
    sink.close()


def test_a_block_is_written_while_the_writer_goes_on():
    going, done = threading.Event(), threading.Event()

    class Slow(MemorySink):
        def write(self, records):
            assert going.wait(60)
            super().write(records)
            done.set()

    sink = Behind(Slow())
    sink.write(some(0, 4))  # comes back though nothing is written
    assert not done.is_set()
    going.set()
    sink.flush()
    assert done.is_set()
    sink.close()


def test_a_mark_is_reached_when_all_before_it_is_flushed_and_nothing_after():
    going, held, seen = threading.Event(), MemorySink(), []

    class Slow(MemorySink):
        def write(self, records):
            assert going.wait(60)
            held.write(records)

        def position(self):
            return held.position()

    sink = Behind(Slow())
    sink.write(some(0, 4))
    sink.mark(seen.append)  # comes back though nothing is written
    sink.write(some(4, 4))
    assert not seen
    going.set()
    sink.close()
    assert seen == [{"blocks": 1}]


def test_so_many_rows_wait_at_most(monkeypatch):
    monkeypatch.setattr(behind, "MOST_ROWS", 2 * len(some(0, 4)))
    going, begun, past = threading.Event(), threading.Event(), threading.Event()

    class Slow(MemorySink):
        def write(self, records):
            assert going.wait(60)
            super().write(records)

    sink = Behind(Slow())

    def write_all():
        for start in (0, 4):
            sink.write(some(start, 4))
        begun.set()
        sink.write(some(8, 40))  # of more rows than may wait: alone
        past.set()

    writer = threading.Thread(target=write_all)
    writer.start()
    assert begun.wait(60)
    assert not past.is_set()  # nor can it be, before the first block is written
    going.set()
    writer.join(60)
    assert past.is_set()
    sink.close()


def test_nothing_is_written_behind_what_failed():
    held, marks = Failing(), []
    sink = Behind(held)
    sink.write(some(0, 4))
    with suppress(SinkError):  # told as soon as it is known
        for start in (4, 8, 12):
            sink.write(some(start, 4))
        sink.mark(marks.append)
    with pytest.raises(SinkError, match="the disk is full"):
        sink.close()
    assert len(held.taken) == 1
    assert not marks


def test_a_failure_is_told_by_every_call_from_then_on():
    held = Failing()
    sink = Behind(held)
    blocks = [some(start, 4) for start in (0, 4, 8)]
    sink.write(blocks[0])
    sink.write(blocks[1])  # fails behind
    for call in (sink.flush, lambda: sink.write(blocks[2]), sink.close):
        with pytest.raises(SinkError, match="the disk is full"):
            call()
    assert held.taken[0] is blocks[0]
    assert len(held.taken) == 1
    assert not held.closed
