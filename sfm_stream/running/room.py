"""Whether a model fits, said before memory is touched, and how long a tick takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from sfm_stream.config import each_feed
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.events import Block
from sfm_stream.feeds import FIRST_TIME
from sfm_stream.running.rss import available_mib
from sfm_stream.state import inputs, layout
from sfm_stream.units import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfm_stream.config import Config

MIB = 2**20
LESS = (
    "lower model.states, learn.window, target.horizons, or the number of targets or "
    "streams"
)
TIMED = 16
"""Ticks of a stream that are timed, as many as are learned from together."""


def streams(settings: Config) -> int:
    """Count the streams a configuration names; 1 if it names none."""
    return max(1, sum(len(one.stream.symbols) for one in each_feed(settings)))


def expect(settings: Config, fields: Sequence[str]) -> float:
    """Give the MiB that a model needs, if this machine has them.

    Args:
        settings: of the run.
        fields: of its ticks.

    Raises:
        ConfigError: if it has not, or a target or input names what is not there.
    """
    laid = layout.lay_out(settings, inputs.plan(settings, fields))
    count = streams(settings)
    needed = layout.size(laid, count * len(laid.plan.targets)) / MIB
    free = available_mib()
    if free is not None and needed > free:
        problem = (
            f"expected at most the {free:,.0f} MiB of memory that are free, "
            f"was {needed:,.0f} MiB for {count} stream(s) of "
            f"{len(laid.plan.targets)} target(s)"
        )
        raise ConfigError("model", problem, LESS)
    return needed


def tick_us(settings: Config, fields: Sequence[str]) -> float | None:
    """Measure how long a tick of one stream takes, here and now, on made-up values.

    Args:
        settings: of the run.
        fields: of its ticks.

    Returns:
        Microseconds, updates shared out among ticks; None until kernels are compiled.
    """
    engine = Engine(settings, fields)
    if not engine.backend.is_ready():
        return None
    random = np.random.default_rng(0)
    count = settings.learn.window + 2 * TIMED
    values = 100 + random.standard_normal((count, len(fields))).cumsum(axis=0)
    times = FIRST_TIME + np.arange(count, dtype=np.int64) * SECOND
    ticks = Block.ticks(times, values, streams=("a stream",))
    engine.run(ticks[:-TIMED])
    begun = time.perf_counter()
    engine.run(ticks[-TIMED:])
    return (time.perf_counter() - begun) / TIMED * 1e6
