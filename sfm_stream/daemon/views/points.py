"""One tick as it goes over the wire, and as it is kept for looking at.

A forecast is told less the value beside it: so four bytes tell it to seven digits of
how far it is away, whatever the size of the value. Kept are two bytes of each, in parts
of the farthest one of the tick, and two of skill and lag: what a picture can show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sfm_stream.engine import Engine
    from sfm_stream.events import Floats

FARTHEST, UNKNOWN = 32_767, -32_768
"""Of a kept forecast: parts to the farthest one of its tick; that of none."""
LARGEST = float(np.finfo(np.float16).max)
FARTHEST_TOLD = 1e38
"""What four bytes can tell; beyond, a number is as good as unknown."""
LEAST_UNIT = float(np.finfo(np.float32).tiny)
ABSENT = np.iinfo(np.uint32).max
"""Origin of a place that nothing was written to."""
PARTS = 255
"""A weight of 1."""
STEPS, MIDDLE = 16, 128
"""Of a byte of an amplitude: its logarithm to base 2 in sixteenths, around 1."""
CONSTANT = 1e-12
"""Radians per tick below which a frequency is none."""
NS_PER_MS = 1e6
OF_HORIZONS = ("forecast", "skill", "weights")

Points = NDArray[np.void]
Bytes = NDArray[np.uint8]


class Shape(NamedTuple):
    """What the points of a run consist of.

    Attributes:
        targets: names [Tg].
        horizons: names [Q].
        ticks: of each horizon; 0 for one in time.
        ns: of each horizon; 0 for one in ticks.
        experts: names [E].
        periods: of the frequencies [K], in ticks; None for the constant one.
        level: share of truths that the interval should hold.
    """

    targets: tuple[str, ...]
    horizons: tuple[str, ...]
    ticks: tuple[int, ...]
    ns: tuple[int, ...]
    experts: tuple[str, ...]
    periods: tuple[float | None, ...]
    level: float


def shape_of(engine: Engine) -> Shape:
    """Give the shape of what an engine says."""
    horizons = engine.config.target.horizons
    return Shape(
        targets=tuple(engine.targets),
        horizons=tuple(engine.horizons),
        ticks=tuple(h.ticks for h in horizons),
        ns=tuple(h.ns for h in horizons),
        experts=tuple(engine.experts),
        periods=tuple(
            math.tau / w if w > CONSTANT else None for w in engine.frequencies.tolist()
        ),
        level=engine.config.forecast.levels[-1],
    )


def point(shape: Shape, horizons: int | None = None) -> np.dtype[np.void]:
    """Give the layout of a point.

    Args:
        shape: of the run.
        horizons: how many; None: all of the run's.

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
    """Give points [places, length], kept ones or not, at which nothing was written."""
    made: Points = np.zeros((places, length), kind)
    made["origin"] = ABSENT
    return made


def kept_point(shape: Shape) -> np.dtype[np.void]:
    """Give the layout of a point as it is kept.

    Returns:
        As `point`, but for `base` (the value, or where it is unknown what forecasts are
        less of), `unit` (of a part, below 0 where the value is unknown), and `parts`
        [Q, 3] of the forecasts.
    """
    q = len(shape.horizons)
    return np.dtype([
        ("time", "<f8"), ("base", "<f8"), ("unit", "<f4"), ("origin", "<u4"),
        ("parts", "<i2", (q, 3)), ("skill", "<f2", (q,)), ("lag", "<f2"),
        ("weights", "u1", (q, len(shape.experts))),
        ("amplitude", "u1", (len(shape.periods),)),
    ])  # fmt: skip


def pack(points: Points, kind: np.dtype[np.void]) -> Points:
    """Give points as they are kept.

    Args:
        points: of any shape, laid out as `point` says.
        kind: `kept_point` of the same shape of a run.
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
    """Give kept points as they go over the wire.

    Args:
        kept: of any shape, as `pack` gave them.
        kind: `point` of the same shape of a run.
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
    """Give forecasts less their base; NaN where there is none."""
    return np.where(parts == UNKNOWN, np.nan, parts * np.abs(unit.astype(np.float64)))


def narrow(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Give numbers as four bytes each; NaN for those that are too large for that."""
    return np.where(np.abs(numbers) <= FARTHEST_TOLD, numbers, np.nan).astype("f4")


def layout(kind: np.dtype[np.void]) -> dict[str, Any]:
    """Say where each field of a point lies, for those who read the bytes."""
    fields: Mapping[str, Any] = kind.fields or {}
    return {
        "size": kind.itemsize,
        "fields": {
            name: [inner.base.str.lstrip("<|"), offset, list(inner.shape)]
            for name, (inner, offset, *_) in fields.items()
        },
    }


def shares(weights: Floats) -> Bytes:
    """Give weights from 0 to 1 as bytes."""
    return np.rint(np.clip(weights, 0, 1) * PARTS).astype(np.uint8)


def loudness(amplitudes: NDArray[Any]) -> Bytes:
    """Give amplitudes as bytes: 2 ** ((byte - 128) / 16); 0 for none."""
    known = np.where(amplitudes > 0, amplitudes, np.nan)
    steps = np.rint(STEPS * np.log2(known) + MIDDLE)
    found: Bytes = np.nan_to_num(np.clip(steps, 1, PARTS)).astype(np.uint8)
    return found


def some(points: Points, kind: np.dtype[np.void], horizons: list[int]) -> Points:
    """Give points with these horizons alone.

    Args:
        points: [n], with all horizons.
        kind: layout with as many as are wanted.
        horizons: their numbers.
    """
    chosen: Points = np.zeros(points.shape, kind)
    for name in kind.names or ():
        column = points[name]
        chosen[name] = column[:, horizons] if name in OF_HORIZONS else column
    return chosen
