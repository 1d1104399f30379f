"""A sink written to by a thread of its own, so that a replay goes on meanwhile."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfm_stream.records import Records
    from sfm_stream.sinks.contract import Sink


class Behind:
    """Writes to another sink one block behind: a failure is the next call's error.

    A block that failed was not taken, and none after it is: whoever is told goes on
    from the position of a checkpoint.

    Args:
        sink: written to by one thread at a time.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, "sfm-stream records")
        self._writing: Future[None] | None = None

    def write(self, records: Records) -> None:
        """Take records, in order; what they lie in stays as it is from then on.

        Raises:
            SinkError: if those of the last call could not be written.
        """
        self._wait()
        self._writing = self._thread.submit(self._sink.write, records)

    def flush(self) -> None:
        """Put on disk what waits.

        Raises:
            SinkError: if it could not be written.
        """
        self._wait()
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
            self._wait()
        finally:
            self._thread.shutdown()
        self._sink.close()

    def _wait(self) -> None:
        """Wait for the block that is being written.

        Raises:
            SinkError: if it could not be written; so says each call from then on.
        """
        if self._writing is not None:
            self._writing.result()
            self._writing = None
