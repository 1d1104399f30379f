"""The layout of a point (a tick with its forecasts), as sent and as kept in memory.

A forecast is sent as its difference from the value, so that four bytes hold the
difference to seven digits, for values of any size. In memory each difference takes two
bytes, scaled by the largest one of the tick, and skill and lag take two bytes each:
enough for a chart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.cell.frequencies import period

if TYPE_CHECKING:
    from sfm_stream.engine import Engine
    from sfm_stream.events import Floats

FARTHEST, UNKNOWN = 32_767, -32_768
"""A kept difference in parts: of the largest one of a tick, and of an unknown one."""
LARGEST = float(np.finfo(np.float16).max)
FARTHEST_TOLD = 1e38
"""A larger number is sent as NaN."""
LEAST_UNIT = float(np.finfo(np.float32).tiny)
ABSENT = np.iinfo(np.uint32).max
"""Origin of an empty place."""
PARTS = 255
"""The byte for a weight of 1."""
STEPS, MIDDLE = 16, 128
"""The byte of an amplitude: `MIDDLE` plus its logarithm to base 2 times `STEPS`."""
NS_PER_MS = 1e6
OF_HORIZONS = ("forecast", "skill", "weights")

Points = NDArray[np.void]
Bytes = NDArray[np.uint8]


class Shape(NamedTuple):
    """The names and sizes behind the points of a run.

    Attributes:
        targets: names of the targets [Tg].
        horizons: names of the horizons [Q].
        ticks: ticks of each horizon; 0 for a horizon in time.
        ns: nanoseconds of each horizon; 0 for a horizon in ticks.
        experts: names of the experts [E].
        periods: periods of the frequencies [K], in ticks; None for the constant one.
        level: nominal coverage of the interval.
    """

    targets: tuple[str, ...]
    horizons: tuple[str, ...]
    ticks: tuple[int, ...]
    ns: tuple[int, ...]
    experts: tuple[str, ...]
    periods: tuple[float | None, ...]
    level: float


def shape_of(engine: Engine) -> Shape:
    """Give the shape of an engine's points."""
    horizons = engine.config.target.horizons
    return Shape(
        targets=tuple(engine.targets),
        horizons=tuple(engine.horizons),
        ticks=tuple(h.ticks for h in horizons),
        ns=tuple(h.ns for h in horizons),
        experts=tuple(engine.experts),
        periods=tuple(map(period, engine.frequencies.tolist())),
        level=engine.config.forecast.levels[-1],
    )


def point(shape: Shape, horizons: int | None = None) -> np.dtype[np.void]:
    """Give the layout of a point as it is sent.

    Args:
        shape: shape of the run's points.
        horizons: number of horizons; None: all of the run.

    Returns:
        `time` (event's, ms), `value`, `forecast` [Q, 3] (mean and bounds less the
        value), `skill` [Q], `lag` (ms from event to receipt), `origin` (number of the
        tick), `weights` [Q, E], `amplitude` [K].
    """
    q = len(shape.horizons) if horizons is None else horizons
    return np.dtype([
        ("time", "<f8"), ("value", "<f8"), ("forecast", "<f4", (q, 3)),
        ("skill", "<f4", (q,)), ("lag", "<f4"), ("origin", "<u4"),
        ("weights", "u1", (q, len(shape.experts))),
        ("amplitude", "u1", (len(shape.periods),)),
    ])  # fmt: skip


def nothing(kind: np.dtype[np.void], places: int, length: int) -> Points:
    """Give empty points [places, length], in either layout."""
    made: Points = np.zeros((places, length), kind)
    made["origin"] = ABSENT
    return made


def kept_point(shape: Shape) -> np.dtype[np.void]:
    """Give the layout of a point as it is kept in memory.

    Returns:
        As `point`, but with `base` (the value, or a forecast where it is unknown) in
        place of the value, and `parts` [Q, 3] times `unit` in place of the differences.
        `unit` is negative where the value is unknown.
    """
    q = len(shape.horizons)
    return np.dtype([
        ("time", "<f8"), ("base", "<f8"), ("unit", "<f4"), ("origin", "<u4"),
        ("parts", "<i2", (q, 3)), ("skill", "<f2", (q,)), ("lag", "<f2"),
        ("weights", "u1", (q, len(shape.experts))),
        ("amplitude", "u1", (len(shape.periods),)),
    ])  # fmt: skip


def pack(points: Points, kind: np.dtype[np.void]) -> Points:
    """Pack points for memory.

    Args:
        points: points in the layout of `point`, of any shape.
        kind: layout of `kept_point`.
    """
    kept: Points = np.zeros(points.shape, kind)
    for name in ("time", "origin", "weights", "amplitude"):
        kept[name] = points[name]
    for name in ("skill", "lag"):
        kept[name] = np.clip(points[name], -LARGEST, LARGEST)
    value, told = points["value"], points["forecast"].astype(np.float64)
    unknown = np.isnan(value)
    base = np.where(unknown, np.nan_to_num(told[..., 0, 0]), value)
    told[unknown] -= base[unknown][..., None, None]
    far = np.nan_to_num(np.abs(told)).max(axis=(-2, -1))
    unit = np.maximum(far / FARTHEST, LEAST_UNIT).astype(np.float32)
    parts = np.clip(np.rint(told / unit[..., None, None]), -FARTHEST, FARTHEST)
    kept["parts"] = np.where(np.isnan(told), UNKNOWN, np.nan_to_num(parts))
    kept["base"], kept["unit"] = base, np.where(unknown, -unit, unit)
    return kept


def unpack(kept: Points, kind: np.dtype[np.void]) -> Points:
    """Unpack points for sending.

    Args:
        kept: points as `pack` gives them, of any shape.
        kind: layout of `point`.
    """
    points: Points = np.zeros(kept.shape, kind)
    for name in ("time", "origin", "weights", "amplitude", "skill", "lag"):
        points[name] = kept[name]
    unknown = kept["unit"] < 0
    points["value"] = np.where(unknown, np.nan, kept["base"])
    told = offsets(kept["parts"], kept["unit"][..., None, None])
    told[unknown] += kept["base"][unknown][..., None, None]
    points["forecast"] = narrow(told)
    return points


def offsets(parts: NDArray[Any], unit: NDArray[Any]) -> Floats:
    """Give the differences of forecasts from their base; NaN where unknown."""
    return np.where(parts == UNKNOWN, np.nan, parts * np.abs(unit.astype(np.float64)))


def narrow(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Turn numbers into float32; NaN if too large."""
    return np.where(np.abs(numbers) <= FARTHEST_TOLD, numbers, np.nan).astype("f4")


def layout(kind: np.dtype[np.void]) -> dict[str, Any]:
    """Give type, offset and shape of each field, for clients that read the bytes."""
    fields: Mapping[str, Any] = kind.fields or {}
    return {
        "size": kind.itemsize,
        "fields": {
            name: [inner.base.str.lstrip("<|"), offset, list(inner.shape)]
            for name, (inner, offset, *_) in fields.items()
        },
    }


def shares(weights: Floats) -> Bytes:
    """Turn weights from 0 to 1 into bytes."""
    return np.rint(np.clip(weights, 0, 1) * PARTS).astype(np.uint8)


def loudness(amplitudes: NDArray[Any]) -> Bytes:
    """Turn amplitudes into bytes b with amplitude 2 ** ((b - 128) / 16); 0 for 0."""
    known = np.where(amplitudes > 0, amplitudes, np.nan)
    steps = np.rint(STEPS * np.log2(known) + MIDDLE)
    found: Bytes = np.nan_to_num(np.clip(steps, 1, PARTS)).astype(np.uint8)
    return found


def some(points: Points, kind: np.dtype[np.void], horizons: list[int]) -> Points:
    """Give points with only some horizons.

    Args:
        points: [n], with all horizons.
        kind: layout with the number of chosen horizons.
        horizons: numbers of the chosen horizons.
    """
    chosen: Points = np.zeros(points.shape, kind)
    for name in kind.names or ():
        column = points[name]
        chosen[name] = column[:, horizons] if name in OF_HORIZONS else column
    return chosen
