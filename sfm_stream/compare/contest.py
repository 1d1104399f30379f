"""One model on one stream of ticks: how well, how fast, and in how much memory.

All models meet the same ticks by the same rules: score, forecast, learn. What counts is
folded from the scores they wrote down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream import compiling, metrics, runner, sinks
from sfm_stream.compare import models
from sfm_stream.engine import Engine
from sfm_stream.memory import peak_rss_mib
from sfm_stream.records import Records

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.events import Event
    from sfm_stream.metrics import Summary
    from sfm_stream.runner import Feed

LIVE = 5_000
"""Events that are taken one by one to time a tick."""
BLOCKS = 20
FIGURES = ("mse", "mae", "skill", "sign", "block_median", "block_q10")
NS_PER_US = 1e3


def enter(
    config: Config,
    open_feed: Callable[[Config], Feed],
    model: str,
    folder: Path,
    kinds: Sequence[str] = ("scores",),
) -> dict[str, Any]:
    """Take one model through all a feed has.

    Args:
        config: of the ticks and the target; of the model too, where it is ours.
        open_feed: opens the feed it names.
        model: its name.
        folder: where its records go.
        kinds: of the records to keep.

    Returns:
        `horizons`, each with `FIGURES`; of several targets the mean, and each of them
        under `targets`; `ticks_per_s`, `p50_us`, `p99_us`, `peak_rss_mib`.

    Raises:
        FeedError: where the feed cannot be read on.
        SinkError: if records cannot be written.
    """
    feed = open_feed(config)
    settings = models.ENGINES[model](config)
    compiling.call(settings, feed.fields)
    engine = _Clocked(settings, feed.fields)
    sink = sinks.ParquetSink(folder, {"experts": engine.experts})
    runner.run_blocks(
        feed.blocks(config.run.block),
        engine,
        lambda records: sink.write(_only(records, kinds)),
        lambda: None,
    )
    sink.close()
    ticks = engine.ticks
    scored = _fold(folder, metrics.first_scored(config.run.warmup, ticks))
    return {
        **scored,
        "ticks_per_s": sum(ticks.values()) / engine.seconds,
        **_live(settings, feed),
        "peak_rss_mib": peak_rss_mib(),
    }


class _Clocked(Engine):
    """An engine that knows how long it took.

    Attributes:
        seconds: spent on blocks.
        ns: spent on each single event.
    """

    def __init__(self, settings: Config, fields: Sequence[str]) -> None:
        super().__init__(settings, fields)
        self.seconds = 0.0
        self.ns: list[int] = []

    def run(self, block: Any) -> Records:
        begun = time.perf_counter()
        records = super().run(block)
        self.seconds += time.perf_counter() - begun
        return records


def _only(records: Records, kinds: Sequence[str]) -> Records:
    return Records({kind: records.columns[kind] for kind in kinds}, records.tables)


def _live(settings: Config, feed: Feed) -> dict[str, float]:
    """Time the first ticks as a live feed would bring them, one by one."""
    engine, taken = Engine(settings, feed.fields), []

    def timed(event: Event) -> None:
        begun = time.perf_counter_ns()
        engine.observe(event)
        engine.learn()
        taken.append(time.perf_counter_ns() - begun)

    for event in next(feed.blocks(LIVE)).events():
        timed(event)
    return percentiles(taken)


def percentiles(ns: Sequence[int]) -> dict[str, float]:
    """Give the median and the 99th percentile of nanoseconds, in microseconds."""
    p50, p99 = np.percentile(ns, [50, 99]) / NS_PER_US
    return {"p50_us": float(p50), "p99_us": float(p99)}


def _fold(folder: Path, first: Mapping[str, int]) -> dict[str, Any]:
    """Fold scores into figures: per horizon, and per target where there are several."""
    whole = metrics.fold_scores(folder, first, metrics.COMPARED)
    stretches = metrics.blocks(folder, first, BLOCKS)
    known = whole.get("targets") or dict.fromkeys(stretches, whole)
    targets = {
        target: {
            "horizons": {
                horizon: {**figures, **_spread(stretches[target][horizon])}
                for horizon, figures in known[target]["horizons"].items()
            }
        }
        for target in known
    }
    each = {name: _plain(tree["horizons"]) for name, tree in targets.items()}
    if len(targets) == 1:
        return next(iter(each.values()))
    return {**_plain(metrics.mean_over(targets)), "targets": each}


def _plain(horizons: Mapping[str, Summary]) -> dict[str, Any]:
    return {"horizons": {h: {name: figures[name] for name in FIGURES}
                         for h, figures in horizons.items()}}  # fmt: skip


def _spread(stretches: Sequence[Summary]) -> Summary:
    """Give the median and the 10 % quantile of skill over stretches of time."""
    skills = [s["skill"] for s in stretches if s["skill"] is not None]
    if not skills:
        return {"block_median": None, "block_q10": None}
    median, q10 = np.quantile(np.array(skills, np.float64), [0.5, 0.1])
    return {"block_median": float(median), "block_q10": float(q10)}
