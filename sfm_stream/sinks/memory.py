"""Records in a list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfm_stream.records import Record, Records


class MemorySink:
    """Keeps records in a list.

    Attributes:
        records: what was written, block by block.
    """

    def __init__(self) -> None:
        self.records: list[Records] = []

    def write(self, records: Records) -> None:
        """Take records, in order."""
        self.records.append(records)

    def rows(self) -> Iterator[Record]:
        """Give all records one by one."""
        return (row for records in self.records for row in records.rows())

    def flush(self) -> None:
        """Do nothing: all records are where they should be."""

    def position(self) -> dict[str, Any]:
        """Say how many blocks were written."""
        return {"blocks": len(self.records)}

    def close(self) -> None:
        """Do nothing: the list stays."""
