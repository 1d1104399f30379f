"""Why targets and horizons have no figures, each in a sentence with its numbers."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sfm_stream import sinks
from sfm_stream.errors import SHOWN, listed
from sfm_stream.running import metrics
from sfm_stream.state import inputs, targets

if TYPE_CHECKING:
    import polars as pl

    from sfm_stream.config import Config

Cell: TypeAlias = tuple[str, str]
"""A target and a horizon."""
CELL = ("target", "horizon")
NAMED = 6
LARGEST = math.sqrt(sys.float_info.max)
"""A larger number has no square."""


def remarks(
    records: Path,
    config: Config,
    fields: Sequence[str],
    ticks: Mapping[str, int],
    figures: Mapping[str, Any],
) -> list[str]:
    """Say why there are no figures where there are none; nothing if all is well.

    Args:
        records: folder where a `ParquetSink` wrote, scores and voided forecasts.
        config: of the run.
        fields: of its ticks.
        ticks: that were taken, per stream.
        figures: of the run, as `metrics.fold_scores` gives them.

    Raises:
        SinkError: if the records cannot be read.
    """
    names = inputs.plan(config, fields).targets
    cells = [(name, h) for name in names for h in targets.labels(config)]
    known = figures.get("targets") or dict.fromkeys(names, figures)
    without = [cell for cell in cells if not _has_mse(known, cell)]
    if not (without and any(ticks.values())):
        return []
    first = metrics.first_scored(config.run.warmup, ticks)
    counted = _counts(metrics.counted(records, first, ()))
    silent = [cell for cell in without if not counted[cell]]
    huge = dict.fromkeys(name for name, h in without if counted[name, h])
    return [
        *(_unscored(records, config, sum(ticks.values()), silent) if silent else ()),
        *(_too_large(records, first, list(huge)) if huge else ()),
    ][:SHOWN]


def _has_mse(known: Mapping[str, Any], cell: Cell) -> bool:
    name, horizon = cell
    horizons = known.get(name, {}).get("horizons", {})
    return horizons.get(horizon, {}).get("mse") is not None


def _counts(parts: Iterator[pl.DataFrame], *by: str) -> Counter[tuple[str, ...]]:
    """Count rows per target and horizon, and by other columns."""
    found: Counter[tuple[str, ...]] = Counter()
    for part in parts:
        for *key, count in part.group_by(*CELL, *by).len().rows():
            found[tuple(map(str, key))] += count
    return found


def _unscored(
    records: Path, config: Config, total: int, cells: Sequence[Cell]
) -> Iterator[str]:
    """Say what became of all forecasts of targets and horizons without a score."""
    early = _counts(sinks.read(records, "scores", CELL))
    voided = _counts(sinks.read(records, "voided", [*CELL, "reason"]), "reason")
    pause = config.stream.max_gap.text
    gap = f" (stream.max_gap = {pause})" if pause else ""
    together: dict[str, list[str]] = {}
    for cell in cells:
        fates = {f"within run.warmup = {config.run.warmup}": early[cell]} | {
            f"voided: {reason}{gap if reason == 'gap' else ''}": count
            for (*key, reason), count in voided.items()
            if tuple(key) == cell
        }
        fates["not due before the end"] = total - sum(fates.values())
        told = ", ".join(f"{n:,} {fate}" for fate, n in fates.items() if n)
        together.setdefault(told, []).append(f"{cell[0]} {cell[1]} ahead")
    for told, names in together.items():
        yield f"no score of {listed(names, NAMED)}; of {total:,} forecasts: {told}"


def _too_large(
    records: Path, first: Mapping[str, int], names: Sequence[str]
) -> Iterator[str]:
    """Say how many values of targets have no square, and when the first was."""
    import polars as pl

    errors = (pl.col("truth") - pl.col(name) for name in ("mean", "naive"))
    is_huge = pl.any_horizontal(error.abs() > LARGEST for error in errors)
    values = ("time", "truth", "mean", "naive")
    parts = metrics.counted(records, first, values)
    rows = pl.concat(part.filter(is_huge) for part in parts)
    for name in names:
        mine = rows.filter(pl.col("target") == name)
        truths = mine.filter(pl.col("truth").abs() > LARGEST)
        what = "values" if len(truths) else "errors"
        found = (truths if len(truths) else mine).unique(["stream", "time"])
        when = "" if not len(found) else f", first at {_time(found['time'].min())}"
        yield (
            f"no mean square and no skill of {name}; {len(found):,} {what} are too "
            f"large to square{when}; are they mistakes of the source?"
        )


def _time(ns: Any) -> str:  # noqa: ANN401 as polars gives it
    return f"{np.datetime64(ns, 'ns').astype('datetime64[ms]')}Z"
