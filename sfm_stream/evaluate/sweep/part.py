"""A part of a sweep: several settings in one pass over their ticks.

Each setting has its own engine, so its result is the same as in a run alone. A part
does not depend on other parts: it can run in any process, on any machine with the
package and the source.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfm_stream import sinks
from sfm_stream.engine import Engine
from sfm_stream.records import Records
from sfm_stream.running import judgement, metrics, precompile, room

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.events import Block
    from sfm_stream.feeds import Feed

KINDS = ("scores", "voided", "rejected")
STRETCHES = 50
"""Stretches of a run, from which the bootstrap draws."""


def measure(
    configs: Sequence[Config], open_feed: Callable[[Config], Feed]
) -> list[dict[str, Any]]:
    """Run several settings over all ticks of their feed.

    Args:
        configs: settings, all with the same feed.
        open_feed: opens the feed.

    Returns:
        For each setting `cells`, one per target and horizon: `target`, `horizon`, the
        metrics of `metrics.COMPARED`, `skill`, and `ours` and `theirs`, sums of squared
        errors over `STRETCHES` stretches; `seconds` of computing; `account` of the
        events that were not accepted; `remarks`, the reasons for absent figures.

    Raises:
        ConfigError, FeedError, SinkError: as in a replay.
    """
    feed = open_feed(configs[0])
    with tempfile.TemporaryDirectory(prefix="sfm-stream-") as place:
        runs = [_Run(one, feed, Path(place) / str(i)) for i, one in enumerate(configs)]
        for block in feed.blocks(configs[0].run.block):
            for run in runs:
                run.take(block)
        return [run.result() for run in runs]


class _Run:
    """The run of one setting over the ticks."""

    def __init__(self, config: Config, feed: Feed, folder: Path) -> None:
        room.expect(config, feed.fields)
        precompile.call(config, feed.fields)
        self._config, self._feed, self._folder = config, feed, folder
        self._engine = Engine(config, feed.fields)
        self._sink = sinks.ParquetSink(folder, {"experts": config.forecast.experts})
        self._seconds = 0.0

    def take(self, block: Block) -> None:
        begun = time.perf_counter()
        records = self._engine.run(block)
        self._seconds += time.perf_counter() - begun
        kept = {kind: records.columns[kind] for kind in KINDS}
        self._sink.write(Records(kept, records.tables))

    def result(self) -> dict[str, Any]:
        self._sink.close()
        config, folder, ticks = self._config, self._folder, self._engine.ticks
        first = metrics.first_scored(config.run.warmup, ticks)
        account = judgement.of_run(
            folder, self._feed, config, sum(ticks.values()), self._engine.seq
        )
        whole = metrics.fold_scores(folder, first, metrics.COMPARED)
        return {
            "cells": _cells(folder, first, whole),
            "seconds": self._seconds,
            "account": account,
            "remarks": judgement.remarks(
                folder, config, self._feed.fields, ticks, whole
            ),
        }


def _cells(
    folder: Path, first: Mapping[str, int], whole: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Give figures per target and horizon, and squared errors per stretch."""
    stretches = metrics.blocks(folder, first, STRETCHES)
    known = whole.get("targets") or dict.fromkeys(stretches, whole)
    return [
        {
            "target": target,
            "horizon": horizon,
            **known[target]["horizons"][horizon],
            "ours": [metrics.total(one, "mse") for one in parts],
            "theirs": [metrics.total(one, "naive_mse") for one in parts],
        }
        for target, horizons in stretches.items()
        for horizon, parts in horizons.items()
    ]
