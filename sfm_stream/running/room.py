"""Memory that a model needs, checked before a run, and the time of a tick."""

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
from sfm_stream.settings.units import SECOND
from sfm_stream.state import inputs, layout, ring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfm_stream.config import Config
    from sfm_stream.state.inputs import Plan

MIB = 2**20
LESS = (
    "lower model.states, model.frequencies, learn.window, target.horizons, or the "
    "number of targets or streams"
)
TIMED = 16
"""Number of ticks that are timed."""
PATIENCE_S = 5.0
"""Seconds after which the time of a large model is estimated from fewer ticks."""


def streams(settings: Config) -> int:
    """Count the streams a configuration names; 1 if it names none."""
    return max(1, sum(len(one.stream.symbols) for one in each_feed(settings)))


def expect(settings: Config, fields: Sequence[str]) -> float:
    """Give the MiB that a model needs at the start; refuse more than is available.

    Args:
        settings: settings of the run.
        fields: fields of its ticks.

    Raises:
        ConfigError: if the machine lacks the memory, or a target or input names an
            unknown field.
    """
    plan, count = inputs.plan(settings, fields), streams(settings)
    needed = _mib(settings, plan, ring.first(settings))
    free = available_mib()
    if free is not None and needed > free:
        problem = (
            f"expected at most the {free:,.0f} MiB of memory that are free, "
            f"was {needed:,.0f} MiB for {count} stream(s) of "
            f"{len(plan.targets)} target(s)"
        )
        raise ConfigError("model", problem, LESS)
    return needed


def most(settings: Config, fields: Sequence[str]) -> float:
    """Give the MiB that a model needs when `learn.max_pending` forecasts are pending.

    Without a horizon in time a model does not grow.
    """
    return _mib(settings, inputs.plan(settings, fields), ring.whole(settings))


def _mib(settings: Config, plan: Plan, slots: int) -> float:
    laid = layout.lay_out(settings, plan, slots)
    return layout.size(laid, streams(settings) * len(plan.targets)) / MIB


def tick_us(settings: Config, fields: Sequence[str]) -> float | None:
    """Measure the time of a tick of one stream on this machine, with random values.

    After `PATIENCE_S` seconds the mean of the ticks so far is given.

    Args:
        settings: settings of the run.
        fields: fields of its ticks.

    Returns:
        Mean microseconds per tick, updates included; None until kernels are compiled.
    """
    engine = Engine(settings, fields)
    if not engine.backend.is_ready():
        return None
    random = np.random.default_rng(0)
    count = settings.learn.window + 2 * TIMED
    values = 100 + random.standard_normal((count, len(fields))).cumsum(axis=0)
    times = FIRST_TIME + np.arange(count, dtype=np.int64) * SECOND
    ticks = Block.ticks(times, values, streams=("a stream",))
    begun = time.perf_counter()
    for done in range(1, count - TIMED + 1):
        engine.run(ticks[done - 1 : done])
        if (spent := time.perf_counter() - begun) > PATIENCE_S:
            return spent / done * 1e6
    begun = time.perf_counter()
    engine.run(ticks[-TIMED:])
    return (time.perf_counter() - begun) / TIMED * 1e6
