"""A filter before a sink: passes on only records of some kinds and streams."""

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
    """Passes on records of the chosen kinds and streams to a sink.

    Args:
        sink: takes the chosen records.
        kinds: kinds of records; if empty, all.
        streams: names of streams; if empty, all. Records about all streams always
            pass.

    Attributes:
        sink: the sink.
        written: number of records that the sink has taken.
    """

    def __init__(
        self, sink: Sink, kinds: Collection[str] = (), streams: Collection[str] = ()
    ) -> None:
        self.sink, self.written = sink, 0
        self.flush, self.position, self.close = sink.flush, sink.position, sink.close
        self.choose(kinds, streams)

    def choose(self, kinds: Collection[str], streams: Collection[str]) -> None:
        """Choose other records from the next call of `write` on.

        Args:
            kinds: kinds of records; if empty, all.
            streams: names of streams; if empty, all. Records about all streams always
                pass.
        """
        self._kinds = set(kinds or KINDS)
        self._streams = {ALL, *streams} if streams else None

    def write(self, records: Records) -> None:
        """Pass on the chosen ones of these records.

        Raises:
            SinkError: as the sink raises it.
        """
        found = {
            kind: self._of_streams(kind, columns, records)
            for kind, columns in records.columns.items()
            if kind in self._kinds
        }
        chosen = Records(found, records.tables)
        self.sink.write(chosen)
        self.written += len(chosen)

    def _of_streams(self, kind: str, columns: Columns, records: Records) -> Columns:
        if self._streams is None:
            return columns
        table = records.tables.get(f"{kind}.stream") or records.tables["stream"]
        wanted = np.array([name in self._streams for name in table], bool)
        kept = wanted[columns["stream"]]
        return {name: column[kept] for name, column in columns.items()}
