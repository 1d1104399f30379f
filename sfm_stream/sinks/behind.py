"""Writes to a sink in a thread of its own, so that a replay need not wait for it."""

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
"""Rows that may be queued: writing a full part takes as long as computing a few blocks.
A mark counts as half of them; a block of more rows is queued alone."""
NOTHING = -1
"""Limit for queued rows that lets not even a block without rows stay queued."""


class Behind:
    """Writes to another sink with a delay: a later call raises the error of a write.

    After a write that failed no later block is written: the caller must go back to the
    position of a checkpoint.

    Args:
        sink: the sink, used by one thread at a time.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, "sfm-stream records")
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._rows = 0
        self._failed = False

    def write(self, records: Records) -> None:
        """Queue records, in order; the caller does not change them afterwards.

        Raises:
            SinkError: if records of an earlier call could not be written.
        """
        self._add(partial(self._sink.write, records), len(records))

    def mark(self, done: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `done` with the sink's position when all records so far are on disk.

        `done` is called in the sink's thread; a later call raises its errors.

        Raises:
            SinkError: if records of an earlier call could not be written.
        """

        def reach() -> None:
            self._sink.flush()
            done(self._sink.position())

        self._add(reach, MOST_ROWS // 2)

    def flush(self) -> None:
        """Write all queued records, and wait until they are on disk.

        Raises:
            SinkError: if they could not be written.
        """
        self._settle(NOTHING)
        self._sink.flush()

    def position(self) -> dict[str, Any]:
        """Give the sink's position; to be called after `flush`."""
        return self._sink.position()

    def close(self) -> None:
        """Write all queued records, and close the sink.

        Raises:
            SinkError: if they could not be written.
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
        """Run the tasks one after another; after a failure run none."""
        if self._failed:
            return
        self._failed = True
        work()
        self._failed = False

    def _settle(self, most: int) -> None:
        """Wait until at most this many rows are queued.

        Raises:
            SinkError: if a write failed; each later call raises it too.
        """
        waiting = self._waiting
        while waiting and (self._rows > most or waiting[0][0].done()):
            first, rows = waiting[0]
            first.result()
            waiting.popleft()
            self._rows -= rows
