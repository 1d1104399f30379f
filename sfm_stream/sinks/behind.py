"""A sink written to by a thread of its own, so that a replay goes on meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfm_stream.records import Records
    from sfm_stream.sinks.contract import Sink

MOST_ROWS = 131_072
"""Rows that wait: a full part takes as long to write as a few blocks take to compute.
A mark counts for half of them, and a block of more rows waits alone."""
NOTHING = -1
"""A limit of rows that may wait: with this one not even a block without rows may."""


class Behind:
    """Writes to another sink some rows behind: a failure is a later call's error.

    A block that failed was not taken, and none after it is: whoever is told goes on
    from the position of a checkpoint.

    Args:
        sink: written to by one thread at a time.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, "sfm-stream records")
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._rows = 0
        self._failed = False

    def write(self, records: Records) -> None:
        """Take records, in order; what they lie in stays as it is from then on.

        Raises:
            SinkError: if those of an earlier call could not be written.
        """
        self._add(partial(self._sink.write, records), len(records))

    def mark(self, done: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `done` with the sink's position when all before is on disk.

        It is called in the sink's thread; what it raises is a later call's error.

        Raises:
            SinkError: if records of an earlier call could not be written.
        """

        def reach() -> None:
            self._sink.flush()
            done(self._sink.position())

        self._add(reach, MOST_ROWS // 2)

    def flush(self) -> None:
        """Put on disk what waits.

        Raises:
            SinkError: if it could not be written.
        """
        self._settle(NOTHING)
        self._sink.flush()

    def position(self) -> dict[str, Any]:
        """Say how far the sink has come; after `flush`."""
        return self._sink.position()

    def close(self) -> None:
        """Flush and let go.

        Raises:
            SinkError: if what was left could not be written.
        """
        try:
            self._settle(NOTHING)
        finally:
            self._thread.shutdown()
        self._sink.close()

    def _add(self, work: Callable[[], None], rows: int) -> None:
        self._settle(MOST_ROWS - rows)
        self._waiting.append((self._thread.submit(self._carry_out, work), rows))
        self._rows += rows

    def _carry_out(self, work: Callable[[], None]) -> None:
        """Do one thing after the other, and nothing behind what failed."""
        if self._failed:
            return
        self._failed = True
        work()
        self._failed = False

    def _settle(self, most: int) -> None:
        """Wait until so many rows wait at most.

        Raises:
            SinkError: if one could not be written; so says each call from then on.
        """
        waiting = self._waiting
        while waiting and (self._rows > most or waiting[0][0].done()):
            first, rows = waiting[0]
            first.result()
            waiting.popleft()
            self._rows -= rows
