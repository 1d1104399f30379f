"""Chooses the records that a client of the websocket wants, before they are encoded.

Rows are chosen by the code of their stream in the columns: for a client of one stream
among a thousand, only its own rows are encoded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sfm_stream.records import KINDS, Record, Records
from sfm_stream.settings import RecordKind

KIND = {record: kind for kind, record in KINDS.items()}
FASTEST = 1_000.0


class Subscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The records that a client wants.

    Attributes:
        streams: names of streams; empty: all.
        records: kinds of records; empty: all.
        targets: names of targets; empty: all. Records without a target always pass.
        horizons: names of horizons, in the same way.
        hz: most frames per second, with only the latest forecasts; 0: all forecasts.
    """

    streams: frozenset[str] = frozenset()
    records: frozenset[RecordKind] = frozenset()
    targets: frozenset[str] = frozenset()
    horizons: frozenset[str] = frozenset()
    hz: Annotated[float, Meta(ge=0, le=FASTEST)] = 0.0

    @property
    def pause(self) -> float:
        """Least seconds between frames."""
        return 1 / self.hz if self.hz else 0.0

    def wants(self, record: Record) -> bool:
        """Say whether a record's stream, kind, target and horizon are wanted."""
        return (
            (not self.streams or not record.stream or record.stream in self.streams)
            and (not self.records or KIND[type(record)] in self.records)
            and _among(self.targets, getattr(record, "target", None))
            and _among(self.horizons, getattr(record, "horizon", None))
        )


class Choice:
    """Chooses rows, and remembers the codes of the wanted streams."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[tuple[str, ...], frozenset[str], Any]] = {}

    def rows(
        self, records: Records, wanted: Collection[Subscription]
    ) -> Iterator[tuple[Record, list[Subscription]]]:
        """Yield the wanted records in order, each with the subscriptions to it."""
        of_all = [one for one in wanted if not one.streams]
        by_stream: dict[str, list[Subscription]] = {}
        for one in wanted:
            for name in one.streams:
                by_stream.setdefault(name, []).append(one)
        names = frozenset(by_stream)
        chosen = records if of_all else self._of_streams(records, names)
        for record in chosen.rows():
            near = [*of_all, *by_stream.get(record.stream, ())]
            takers = [
                one for one in (near if record.stream else wanted) if one.wants(record)
            ]
            if takers:
                yield record, takers

    def _of_streams(self, records: Records, names: frozenset[str]) -> Records:
        """Give the records of some streams, and the records about all streams."""
        columns: dict[str, Mapping[str, NDArray[Any]]] = {}
        for kind, there in records.columns.items():
            if not len(there["seq"]):
                continue
            keep = self._wanted(kind, records, names)[there["stream"]]
            if keep.any():
                columns[kind] = {name: column[keep] for name, column in there.items()}
        return Records(columns, records.tables)

    def _wanted(
        self, kind: str, records: Records, names: frozenset[str]
    ) -> NDArray[np.bool_]:
        """Give for each code of a stream whether the stream is wanted."""
        own = f"{kind}.stream"
        name = own if own in records.tables else "stream"
        table = records.tables[name]
        known = self._codes.get(name)
        if known is None or known[0] is not table or known[1] != names:
            codes = np.array([not one or one in names for one in table], np.bool_)
            known = self._codes[name] = (table, names, codes)
        found: NDArray[np.bool_] = known[2]
        return found


def _among(names: frozenset[str], name: str | None) -> bool:
    return not names or name is None or name in names
