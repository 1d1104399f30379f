"""Times single ticks, as a live feed brings them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sfm_stream.engine import Engine
    from sfm_stream.events import Event

NS_PER_US = 1_000


def each_tick_us(engine: Engine, events: Iterable[Event]) -> list[float]:
    """Give the microseconds to observe and learn each event."""
    taken = []
    for event in events:
        begun = time.perf_counter_ns()
        engine.observe(event)
        engine.learn()
        taken.append((time.perf_counter_ns() - begun) / NS_PER_US)
    return taken


def percentiles(taken_us: Sequence[float]) -> dict[str, float]:
    """Give the median `p50_us` and the 99th percentile `p99_us` of some durations.

    Without any values both are NaN.
    """
    if not taken_us:
        return dict.fromkeys(("p50_us", "p99_us"), math.nan)
    p50, p99 = np.percentile(taken_us, [50, 99])
    return {"p50_us": float(p50), "p99_us": float(p99)}
