"""A sink that does as it is told, and a delivery to it."""

from __future__ import annotations

import threading

from sfm_stream.errors import SinkError
from sfm_stream.sinks import MemorySink


class Moody(MemorySink):
    """Keeps records, but waits while it is shut and fails as often as told."""

    def __init__(self):
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.failures = 0
        self.calls = []

    def write(self, records):
        self._obey("write")
        super().write(records)

    def flush(self):
        self._obey("flush")

    def close(self):
        self.calls.append("close")

    def _obey(self, call):
        self.calls.append(call)
        self.entered.set()
        self.open.wait()
        if self.failures:
            self.failures -= 1
            raise SinkError("there", "the other side is away")


def settle(delivery):
    """Wait until all offered so far is flushed; give the position."""
    done, positions = threading.Event(), []

    def note(position):
        positions.append(position)
        done.set()

    delivery.mark(note)
    assert done.wait(30), delivery.state()
    return positions[0]
