"""Records that the engine returns (forecasts, scores, ...), one by one or as columns.

`Records` is a block of records: for each kind, a dict of columns of equal length. A
text column holds codes into a table of texts, so that no string is made per tick.
`rows` turns columns into single records; sinks write the columns themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KINDS", "REJECTED_REASONS", "SKIPPED_REASONS", "VOIDED_REASONS", "Choice",
    "Decision", "Forecast", "Record", "Records", "Rejected", "Score", "Update",
    "Voided",
]  # fmt: skip


class Forecast(msgspec.Struct, frozen=True, tag="forecast"):
    """A forecast of a target, made at one tick for one horizon.

    Attributes:
        seq: the engine's count of events at the origin; equals the journal position.
        stream: name of the stream.
        target: name of the target.
        horizon: how far ahead, e.g. `10` ticks or `1s`.
        origin: number of the tick, in its stream from 0, at which it is made.
        time: time of the origin, ns.
        due: number of the tick, or time in ns, at which the truth is settled.
        mean: the forecast, in the target's units.
        lower: lower bound of the widest interval; None until enough forecasts are
            scored.
        upper: upper bound of the widest interval; None as above.
        weights: weight of each expert [E].
        amplitude: root mean square of |R| over the states, per frequency [K]; given
            with the first horizon of each tick and target, empty for the others.
        quantiles: bounds of all intervals [2L], from the lowest to the highest: of
            `forecast.levels` p, the quantiles (1 - p) / 2 and (1 + p) / 2; empty until
            enough forecasts are scored.
    """

    seq: int
    stream: str
    target: str
    horizon: str
    origin: int
    time: int
    due: int
    mean: float
    lower: float | None
    upper: float | None
    weights: tuple[float, ...]
    amplitude: tuple[float, ...]
    quantiles: tuple[float, ...] = ()


class Score(msgspec.Struct, frozen=True, tag="score"):
    """A forecast compared with the truth.

    Attributes:
        seq: count of events at which the truth was settled.
        stream: name of the stream.
        target: name of the target.
        horizon: how far ahead.
        origin: number of the tick at which the forecast was made.
        time: time of the event that brought the truth, ns.
        truth: the target's value when due.
        mean: the forecast.
        naive: the target's value at the origin.
        covered: whether the truth lay in the widest interval; None if there was no
            interval.
        winkler: interval score of the widest interval, in the target's units: its
            width, and 2 / (1 - level) times the truth's distance from it.
        crps: weighted interval score of the mean and all intervals, which approaches
            the continuous ranked probability score, in the target's units.
    """

    seq: int
    stream: str
    target: str
    horizon: str
    origin: int
    time: int
    truth: float
    mean: float
    naive: float
    covered: bool | None
    winkler: float | None = None
    crps: float | None = None


class Update(msgspec.Struct, frozen=True, tag="update"):
    """One step of the optimiser.

    Attributes:
        seq: count of events after which the step was taken.
        stream: name of the stream.
        target: name of the target.
        version: number of updates of this target's weights so far.
        labels: number of labels in the step.
        loss: mean squared error over these labels, in scaled units.
        norm: norm of the gradient before clipping.
        skipped: why the weights were not changed, or empty.
    """

    seq: int
    stream: str
    target: str
    version: int
    labels: int
    loss: float
    norm: float
    skipped: str


class Voided(msgspec.Struct, frozen=True, tag="voided"):
    """A forecast whose truth can never be known.

    Attributes:
        seq: count of events at which the forecast was voided.
        stream: name of the stream.
        target: name of the target.
        horizon: how far ahead.
        origin: number of the tick at which the forecast was made.
        reason: one of `VOIDED_REASONS`.
    """

    seq: int
    stream: str
    target: str
    horizon: str
    origin: int
    reason: str


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """An event that the engine refused.

    Attributes:
        seq: number of the event.
        stream: name of the stream.
        time: time of the event, ns.
        field: the field at fault, or empty.
        reason: one of `REJECTED_REASONS`.
    """

    seq: int
    stream: str
    time: int
    field: str
    reason: str


class Decision(msgspec.Struct, frozen=True, tag="decision"):
    """A control that the engine received; its action takes effect from this event on.

    Attributes:
        seq: number of the event.
        stream: name of the stream, or empty for all streams.
        time: time of the event, ns.
        action: one of `events.CONTROLS`.
    """

    seq: int
    stream: str
    time: int
    action: str


class Choice(msgspec.Struct, frozen=True, tag="choice"):
    """A field that a target chose: from now on its changes are an input of the target.

    Attributes:
        seq: count of events at which it was chosen.
        stream: name of the stream.
        target: name of the target.
        place: rank of the field among those chosen, from 0, the most correlated.
        field: name of the chosen field.
        correlation: partial correlation of the field's last change with the target's
            next move, given the target's own last change.
        least: threshold that the size of the correlation had to exceed.
    """

    seq: int
    stream: str
    target: str
    place: int
    field: str
    correlation: float
    least: float


Record: TypeAlias = Forecast | Score | Update | Voided | Rejected | Decision | Choice
KINDS: Mapping[str, type[msgspec.Struct]] = {
    "forecasts": Forecast,
    "scores": Score,
    "updates": Update,
    "voided": Voided,
    "rejected": Rejected,
    "decisions": Decision,
    "choices": Choice,
}
IN_ORDER = (
    "decisions", "rejected", "voided", "scores", "forecasts", "choices", "updates",
)  # fmt: skip
"""The order of the kinds among the records of one event."""
MAY_BE_UNKNOWN = frozenset({"lower", "upper", "winkler", "crps"})
"""Columns of numbers in which NaN stands for None."""
VOIDED_REASONS = ("gap", "too many pending", "label unknown")
SKIPPED_REASONS = ("", "non-finite loss", "non-finite gradient")
REJECTED_REASONS = (
    "time could not be read",
    "time outside the years 1850 to 2100, or of a clock that was not set",
    "time before the stream's last tick",
    "value is infinite",
    "value is missing",
    "stream not in stream.symbols",
    "more streams than stream.max_streams",
)


@dataclass(frozen=True, slots=True)
class Records:
    """Records as columns.

    Attributes:
        columns: per kind, column name to array; all arrays of a kind equally long.
        tables: per text column, the texts for which its codes stand.

    Examples:
        >>> columns = {"seq": np.array([3]), "stream": np.array([0]),
        ...            "time": np.array([60]), "field": np.array([1]),
        ...            "reason": np.array([3])}
        >>> tables = {"stream": ("hall",), "rejected.field": ("", "celsius"),
        ...           "rejected.reason": REJECTED_REASONS}
        >>> records = Records({"rejected": columns}, tables)
        >>> len(records), records.count("scores")
        (1, 0)
        >>> for record in records.rows():
        ...     print(record.seq, record.stream, record.field, record.reason)
        3 hall celsius value is infinite
    """

    columns: Mapping[str, Mapping[str, NDArray[Any]]]
    tables: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return sum(len(kind["seq"]) for kind in self.columns.values())

    def count(self, kind: str) -> int:
        """Give the number of records of a kind."""
        return len(self.columns[kind]["seq"]) if kind in self.columns else 0

    def rows(self) -> Iterator[Record]:
        """Give the records one by one, in the order in which the engine made them.

        That order is by `seq`, and within one event: decisions, rejected, voided,
        scores, forecasts, choices, updates.
        """
        found: list[tuple[int, int, Record]] = []
        for rank, kind in enumerate(IN_ORDER):
            if kind in self.columns:
                found += [(r.seq, rank, r) for r in self._of(kind)]
        found.sort(key=lambda item: item[:2])
        return (record for _, _, record in found)

    def lists(self, kind: str) -> list[list[Any]]:
        """Give the columns of a kind as lists, in the order of the record's fields."""
        columns = self.columns[kind]
        return [
            self._plain(kind, name, columns) for name in KINDS[kind].__struct_fields__
        ]

    def _of(self, kind: str) -> list[Any]:
        return [KINDS[kind](*values) for values in zip(*self.lists(kind), strict=True)]

    def _plain(
        self, kind: str, name: str, columns: Mapping[str, NDArray[Any]]
    ) -> list[Any]:
        column = columns[name]
        table = self.tables.get(f"{kind}.{name}") or self.tables.get(name)
        if table is not None:
            return [table[code] for code in column.tolist()]
        if name == "covered":
            return [None if c < 0 else bool(c) for c in column.tolist()]
        if name in MAY_BE_UNKNOWN:
            return [None if v != v else v for v in column.tolist()]
        if column.ndim > 1:
            return [() if _absent(v) else tuple(v) for v in column.tolist()]
        plain: list[Any] = column.tolist()
        return plain


def _absent(values: list[float]) -> bool:
    return not values or np.isnan(values[0])
