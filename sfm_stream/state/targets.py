"""The targets and horizons of forecasts, and the moment when a truth is known.

A forecast made at tick o for a horizon of h ticks is due at tick o + h. A forecast for
a horizon in time is due at the origin's time plus the horizon. The last tick at or
before that moment settles it; that tick is known when the first later tick or heartbeat
comes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config

# Codes of `Target.predict`.
PREDICT = {"change": 0, "log-return": 1, "level": 2}
PREDICT_CHANGE, PREDICT_LOG_RETURN, PREDICT_LEVEL = range(3)


def horizon_table(config: Config) -> NDArray[np.int64]:
    """Give the horizons [Q, 2] as (ticks, ns); one of the two is 0."""
    rows = [(h.ticks, h.ns) for h in config.target.horizons]
    return np.array(rows, np.int64)


def labels(config: Config) -> tuple[str, ...]:
    """Give the names of the horizons, as in records."""
    return tuple(h.label for h in config.target.horizons)


def longest_wait(config: Config) -> int:
    """Give the largest number of ticks until a forecast's truth is known."""
    table = horizon_table(config)
    if np.any(table[:, 1]):
        return config.learn.max_pending
    return int(table[:, 0].max())
