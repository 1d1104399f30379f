"""The sink that keeps records in a list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfm_stream.records import Record, Records


class MemorySink:
    """Keeps records in a list.

    Attributes:
        records: the blocks written so far.
    """

    def __init__(self) -> None:
        self.records: list[Records] = []

    def write(self, records: Records) -> None:
        """Append a block of records."""
        self.records.append(records)

    def rows(self) -> Iterator[Record]:
        """Give all records one by one."""
        return (row for records in self.records for row in records.rows())

    def flush(self) -> None:
        """Do nothing: all records are stored already."""

    def position(self) -> dict[str, Any]:
        """Give the number of blocks written."""
        return {"blocks": len(self.records)}

    def close(self) -> None:
        """Do nothing: the list stays."""
