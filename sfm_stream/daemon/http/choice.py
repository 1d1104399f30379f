"""Which records a client of the websocket wants, chosen before anything is encoded.

Rows are chosen by their stream's code in the columns: a client of one stream among a
thousand costs a look at a column, and the encoding of its own rows alone.
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
    """What a client wants.

    Attributes:
        streams: their names; empty: all.
        records: kinds of records; empty: all.
        targets: their names; empty: all. Records that have none are wanted too.
        horizons: the same.
        hz: most frames a second, with the latest forecasts alone; 0: all of them.
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
        """Say whether a record is of a stream, kind, target and horizon wanted."""
        return (
            (not self.streams or not record.stream or record.stream in self.streams)
            and (not self.records or KIND[type(record)] in self.records)
            and _among(self.targets, getattr(record, "target", None))
            and _among(self.horizons, getattr(record, "horizon", None))
        )


class Choice:
    """Chooses rows, and remembers which codes the wanted streams have."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[tuple[str, ...], frozenset[str], Any]] = {}

    def rows(
        self, records: Records, wanted: Collection[Subscription]
    ) -> Iterator[tuple[Record, list[Subscription]]]:
        """Give the records that someone wants, in order, with those who do."""
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
        """Give the records of some streams, and those of all."""
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
        """Say of each code of a stream whether it is wanted."""
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
