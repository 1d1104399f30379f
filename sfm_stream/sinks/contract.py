"""What a sink must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sfm_stream.records import Records

ANEW = "give it an empty position, and it begins anew"
NOT_RESUMED = "resume with the run's checkpoint or choose another place"


class Sink(Protocol):
    """A place for records; what it is given stays as it is from then on.

    One that finds no longer what its position says raises `RecordsLost` where it is
    opened. One that finds that later, in `write` or `flush`, has begun anew when it
    raises it, and takes the same call when it is made again.
    """

    def write(self, records: Records) -> None:
        """Take records, in order.

        Raises:
            SinkError: if they could not be written; then none of them was taken, and
                the same call may be made again.
        """

    def flush(self) -> None:
        """Wait until all records taken so far are where they should be.

        Raises:
            SinkError: if they could not be written; they wait for the next call.
        """

    def position(self) -> dict[str, Any]:
        """Say how far the sink has come, in values JSON can hold; after `flush`."""

    def close(self) -> None:
        """Flush and let go.

        Raises:
            SinkError: if what was left could not be written.
        """
