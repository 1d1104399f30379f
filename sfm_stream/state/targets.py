"""What a forecast is about, and when its truth is known.

A forecast made at tick o for a horizon of h ticks is due at tick o + h. A horizon in
time is due at the origin's time plus the horizon, and settled by the last tick at or
before that moment, which is known once the first later tick or heartbeat arrives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config

# What the model predicts, see `Target.predict`.
PREDICT = {"change": 0, "log-return": 1, "level": 2}
PREDICT_CHANGE, PREDICT_LOG_RETURN, PREDICT_LEVEL = range(3)


def horizon_table(config: Config) -> NDArray[np.int64]:
    """Give the horizons [Q, 2] as (ticks, ns), one of which is 0."""
    rows = [(h.ticks, h.ns) for h in config.target.horizons]
    return np.array(rows, np.int64)


def labels(config: Config) -> tuple[str, ...]:
    """Name the horizons as records do."""
    return tuple(h.label for h in config.target.horizons)


def longest_wait(config: Config) -> int:
    """Give the most ticks a forecast can wait for its truth."""
    table = horizon_table(config)
    if np.any(table[:, 1]):
        return config.learn.max_pending
    return int(table[:, 0].max())
