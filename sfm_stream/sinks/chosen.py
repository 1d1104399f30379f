"""Only the records of some kinds and streams."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from sfm_stream.records import KINDS, Records

if TYPE_CHECKING:
    from sfm_stream.sinks.contract import Sink
    from sfm_stream.sinks.gathering import Columns

ALL = ""


class Chosen:
    """Passes on to a sink what was chosen.

    Args:
        sink: where it goes.
        kinds: of records; all when none is named.
        streams: whose records; all when none is named. What is about all streams is
            about each of them.
    """

    def __init__(
        self, sink: Sink, kinds: Collection[str], streams: Collection[str]
    ) -> None:
        self._kinds = set(kinds or KINDS)
        self._streams = {ALL, *streams} if streams else None
        self._write = sink.write
        self.flush, self.position, self.close = sink.flush, sink.position, sink.close

    def write(self, records: Records) -> None:
        """Pass on what was chosen of these records.

        Raises:
            SinkError: as the sink does.
        """
        found = {
            kind: self._of_streams(kind, columns, records)
            for kind, columns in records.columns.items()
            if kind in self._kinds
        }
        self._write(Records(found, records.tables))

    def _of_streams(self, kind: str, columns: Columns, records: Records) -> Columns:
        if self._streams is None:
            return columns
        table = records.tables.get(f"{kind}.stream") or records.tables["stream"]
        wanted = np.array([name in self._streams for name in table], bool)
        kept = wanted[columns["stream"]]
        return {name: column[kept] for name, column in columns.items()}
