from __future__ import annotations

import threading

import pytest

from sfm_stream.errors import SinkError
from sfm_stream.sinks import MemorySink
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


def test_a_failure_is_told_by_every_call_from_then_on():
    held = Failing()
    sink = Behind(held)
    blocks = [some(start, 4) for start in (0, 4, 8)]
    sink.write(blocks[0])
    sink.write(blocks[1])  # fails behind
    for call in (lambda: sink.write(blocks[2]), sink.flush, sink.close):
        with pytest.raises(SinkError, match="the disk is full"):
            call()
    assert held.taken[0] is blocks[0]
    assert len(held.taken) == 1
    assert not held.closed
