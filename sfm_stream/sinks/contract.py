"""The interface of a sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sfm_stream.records import Records

ANEW = "give it an empty position, and it begins anew"
NOT_RESUMED = "resume the run that wrote them, move them away, or name another place"


class Sink(Protocol):
    """Takes records; the caller does not change them afterwards.

    A sink whose written records are gone raises `RecordsLost` when it is opened with a
    position. If it notices that later, in `write` or `flush`, it begins a new place
    before it raises the error, and the same call may be made again.
    """

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if they could not be written; then no record was taken, and the
                same call may be made again.
        """

    def flush(self) -> None:
        """Wait until all records taken so far are stored.

        Raises:
            SinkError: if they could not be written; the next call tries again.
        """

    def position(self) -> dict[str, Any]:
        """Give the position, in values JSON can hold; to be called after `flush`."""

    def close(self) -> None:
        """Flush and close.

        Raises:
            SinkError: if the last records could not be written.
        """
