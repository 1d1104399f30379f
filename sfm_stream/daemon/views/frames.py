"""The frames of a view: a table of all streams, or the points of one stream.

Binary frames are little endian and begin with four uint32 numbers:

    1, rows, 0, 0                 then the rows, see `ROW`
    2, points, missed, begins     then `ahead`: time, value, forecasts [Q, 3], float64;
                                  then the points, laid out as the hello frame says

`missed` is the number of points that the client was too slow for; `begins` is 1 where
the history begins anew. All other frames are JSON, one object each.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sfm_stream.daemon.views.figures import FEW, LATELY, Figures, known
from sfm_stream.daemon.views.history import BUCKETS
from sfm_stream.daemon.views.points import Points, layout, narrow, point, some

if TYPE_CHECKING:
    from sfm_stream.daemon.views.watcher import Watcher

FASTEST = 50.0
"""Most frames per second."""
FIGURES_S = 1.0
"""Seconds between frames of figures."""
TABLE, POINTS = 1, 2
HEAD = struct.Struct("<4I")
NS_PER_S = 1e9
FINE, FEW_SCORES, SILENT, UNHEARD, SHUT_OUT = range(5)
STATES = (
    "", "too few scores", "nothing since a gap",
    "nothing since the start; the age is from the time of its last tick", "shut out",
)  # fmt: skip
"""Texts of the states of a stream."""
ROW = np.dtype([
    ("value", "<f8"), ("age", "<f4"), ("skill", "<f4"), ("coverage", "<f4"),
    ("winkler", "<f4"), ("state", "u1"),
])  # fmt: skip
Hz: TypeAlias = Annotated[float, Meta(gt=0, le=FASTEST)]


class OverviewWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wish to see all streams.

    Attributes:
        view: `overview`.
        target: target of the figures; empty: the first.
        horizon: horizon of the figures; empty: the first.
        hz: most frames per second.
    """

    view: str
    target: str = ""
    horizon: str = ""
    hz: Hz = 1.0


class StreamWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wish to see one stream.

    Attributes:
        view: `stream`.
        stream: name of the stream.
        target: name of a target; empty: the first.
        horizons: names of horizons; empty: all.
        hz: most frames per second.
    """

    view: str
    stream: str
    target: str = ""
    horizons: tuple[str, ...] = ()
    hz: Hz = 20.0


class Overview:
    """The table of all streams, for one client.

    Args:
        watcher: holds the data.
        wish: the client's wish.

    Raises:
        ValueError: if there is no such target or horizon.
    """

    def __init__(self, watcher: Watcher, wish: OverviewWish) -> None:
        self._watcher, shape = watcher, watcher.shape
        self._target = _number("target", wish.target, shape.targets)
        self._horizon = _number("horizon", wish.horizon, shape.horizons)
        self._named = 0
        self._hello: dict[str, Any] = {
            "view": "overview",
            "target": shape.targets[self._target],
            "horizon": shape.horizons[self._horizon],
            "level": shape.level,
            "few": FEW,
            "row": layout(ROW),
            "states": STATES,
        }

    def beat(self, shut: Mapping[str, float]) -> Iterator[bytes | str]:
        """Yield the frames of a beat.

        Args:
            shut: streams in quarantine.
        """
        names = self._watcher.streams
        if self._hello or len(names) > self._named:
            told = {**self._hello, "streams": names[self._named :], "from": self._named}
            self._hello, self._named = {}, len(names)
            yield _json(told)
        rows = table(self._watcher, self._target, self._horizon, shut)
        yield HEAD.pack(TABLE, len(rows), 0, 0) + rows.tobytes()


def table(
    watcher: Watcher, target: int, horizon: int, shut: Mapping[str, float]
) -> NDArray[np.void]:
    """Give a row for each stream, see `ROW`."""
    count, targets = len(watcher.streams), len(watcher.shape.targets)
    mine = np.arange(count) * targets + target
    figures = watcher.figures
    found = np.zeros(count, ROW)
    found["value"] = watcher.values[mine]
    found["age"] = (time.time_ns() - watcher.received) / NS_PER_S
    found["skill"] = narrow(figures.skill(lately=True)[mine, horizon])
    found["coverage"] = figures.coverage(lately=True)[mine, horizon]
    found["winkler"] = narrow(figures.winkler(lately=True)[mine, horizon])
    found["state"] = np.where(figures.scored[mine, horizon] < FEW, FEW_SCORES, FINE)
    found["state"][watcher.in_gap()] = SILENT
    found["state"][watcher.unheard()] = UNHEARD
    for name in shut:
        number = watcher.number(name)
        if number is not None:
            found["state"][number] = SHUT_OUT
    return found


class OneStream:
    """The points of one stream and target, for one client.

    Args:
        watcher: holds the data.
        wish: the client's wish.

    Raises:
        ValueError: if there is no such stream, target or horizon.
    """

    def __init__(self, watcher: Watcher, wish: StreamWish) -> None:
        shape = watcher.shape
        number = watcher.number(wish.stream)
        if number is None:
            raise ValueError(
                f"stream: expected one of those there, was {wish.stream!r}"
            )
        target = _number("target", wish.target, shape.targets)
        self._horizons = [
            _number("horizons", name, shape.horizons)
            for name in wish.horizons or shape.horizons
        ]
        self._watcher, self._stream = watcher, wish.stream
        self._row = number * len(shape.targets) + target
        self._target = shape.targets[target]
        self._kind = point(shape, len(self._horizons))
        self._origin, self._mark, self._told = -1, 0, -FIGURES_S
        self._is_new = True
        watcher.history.look(self._row)

    def beat(self, elapsed: float) -> Iterator[bytes | str]:
        """Yield the frames with new data.

        Args:
            elapsed: seconds of a monotonic clock.
        """
        marks = list(self._watcher.marks.since(self._mark, self._stream))
        if self._is_new:
            yield _json(self._hello())
        if marks or self._is_new:
            self._mark = marks[-1].number if marks else 0
            yield _json({"marks": marks})
        yield from self._points()
        if elapsed - self._told >= FIGURES_S:
            self._told = elapsed
            yield _json({"figures": self._figures()})

    def _points(self) -> Iterator[bytes]:
        """Yield a frame of new points; the first frame has all points."""
        history = self._watcher.history
        found = (
            history.whole(self._row)
            if self._is_new
            else history.since(self._row, self._origin)
        )
        if len(found) or self._is_new:
            missed = 0
            if not self._is_new:
                missed = int(found["origin"][0]) - self._origin - 1
            head = HEAD.pack(POINTS, len(found), max(missed, 0), self._is_new)
            self._is_new = False
            self._origin = int(found["origin"][-1]) if len(found) else self._origin
            points = some(found, self._kind, self._horizons)
            yield head + self._ahead(history.latest(self._row)) + points.tobytes()

    def _ahead(self, latest: Points) -> bytes:
        """Give the latest forecasts: time, value, forecasts [Q, 3]."""
        told = np.full((2 + 3 * len(self._horizons)), np.nan)
        if len(latest):
            value = float(latest["value"][0])
            told[:2] = latest["time"][0], value
            less = latest["forecast"][0][self._horizons].astype(np.float64)
            told[2:] = (less + (0 if value != value else value)).ravel()
        return told.tobytes()

    def _hello(self) -> dict[str, Any]:
        shape = self._watcher.shape
        return {
            "view": "stream",
            "stream": self._stream,
            "target": self._target,
            "targets": shape.targets,
            "all horizons": shape.horizons,
            "horizons": [
                {"name": shape.horizons[q], "ticks": shape.ticks[q], "ns": shape.ns[q]}
                for q in self._horizons
            ],
            "experts": shape.experts,
            "periods": shape.periods,
            "level": shape.level,
            "units": {"time": "ms since 1970, UTC", "lag": "ms", "periods": "ticks"},
            "few": FEW,
            "lately": LATELY,
            "kept": {"all": self._watcher.history.all, "two of each": BUCKETS},
            "point": layout(self._kind),
        }

    def _figures(self) -> list[dict[str, Any]]:
        figures, shape = self._watcher.figures, self._watcher.shape
        told = []
        for q in self._horizons:
            at = self._row, q
            scored = int(figures.scored[at])
            told.append({
                "horizon": shape.horizons[q],
                "scored": scored,
                "absurd": int(figures.absurd[at]),
                "skill": known(figures.skill()[at]),
                "skill lately": known(figures.skill(lately=True)[at]),
                "coverage": known(figures.coverage()[at]),
                "coverage lately": known(figures.coverage(lately=True)[at]),
                "winkler": known(figures.winkler(lately=True)[at]),
                "mae": _mean(figures, "absolute", at),
                "naive mae": _mean(figures, "naive absolute", at),
                "places": figures.places[at].tolist(),
            })  # fmt: skip
        return told


def _mean(figures: Figures, name: str, at: tuple[int, int]) -> float | None:
    scored = int(figures.scored[at])
    if scored < FEW:
        return None
    return float(figures.since_start(name)[at]) / scored


def _number(what: str, name: str, names: Sequence[str]) -> int:
    """Give the number of a name; an empty one is the first.

    Raises:
        ValueError: if the name is unknown.
    """
    if not name:
        return 0
    if name not in names:
        raise ValueError(f"{what}: expected one of {', '.join(names)}, was {name!r}")
    return names.index(name)


def _json(told: object) -> str:
    return msgspec.json.encode(told).decode()
