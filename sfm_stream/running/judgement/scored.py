"""Remarks on targets and horizons whose figures are missing or misleading."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sfm_stream import sinks
from sfm_stream.errors import SHOWN, amount, listed
from sfm_stream.records import VOIDED_REASONS
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
"""The square of a larger number overflows."""
SMALLEST = sys.float_info.min
"""A smaller number is subnormal: it has lost digits."""
GAP, CROWDED, _ = VOIDED_REASONS
MUCH = 0.01
"""A run reports dropped forecasts above this share."""


def remarks(
    records: Path,
    config: Config,
    fields: Sequence[str],
    ticks: Mapping[str, int],
    figures: Mapping[str, Any],
) -> list[str]:
    """List remarks on missing or misleading figures; empty if all is well.

    Args:
        records: folder of a `ParquetSink`, with scores and voided forecasts.
        config: settings of the run.
        fields: fields of its ticks.
        ticks: number of accepted ticks, per stream.
        figures: figures of the run, as `metrics.fold_scores` gives them.

    Raises:
        SinkError: if the records cannot be read.
    """
    names = inputs.plan(config, fields).targets
    cells = [(name, h) for name in names for h in targets.labels(config)]
    known = figures.get("targets") or dict.fromkeys(names, figures)
    total = sum(ticks.values())
    if not total:
        return []
    found = {cell: known.get(cell[0], {}).get("horizons", {}).get(cell[1], {})
             for cell in cells}  # fmt: skip
    without = [cell for cell in cells if found[cell].get("mse") is None]
    still = [cell for cell in cells if _is_still(found[cell])]
    first = metrics.first_scored(config.run.warmup, ticks)
    counted = _counts(metrics.counted(records, first, ())) if without else Counter()
    silent = [cell for cell in without if not counted[cell]]
    huge = dict.fromkeys(name for name, h in without if counted[name, h])
    return [
        *(_unscored(records, config, total, silent) if silent else ()),
        *(_too_large(records, first, list(huge)) if huge else ()),
        *_crowded(records, config, total, [c for c in cells if c not in silent]),
        *(_unmoved(records, config, first, still) if still else ()),
        *_short(config, ticks, first),
        *_absent(config, ticks),
    ][:SHOWN]


def _is_still(figures: Mapping[str, Any]) -> bool:
    """Say whether the scored values hardly moved within a horizon."""
    moved = figures.get("naive_mse")
    return bool(figures.get("scored")) and moved is not None and moved < SMALLEST


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
    """Say what became of the forecasts of targets and horizons without a score."""
    early = _counts(sinks.read(records, "scores", CELL))
    voided = _counts(sinks.read(records, "voided", [*CELL, "reason"]), "reason")
    pause = config.stream.max_gap.text
    keys = {CROWDED: f" (learn.max_pending = {config.learn.max_pending})"}
    keys |= {GAP: f" (stream.max_gap = {pause})"} if pause else {}
    together: dict[str, list[str]] = {}
    for cell in cells:
        fates = {f"within run.warmup = {config.run.warmup}": early[cell]} | {
            f"voided: {reason}{keys.get(reason, '')}": count
            for (*key, reason), count in voided.items()
            if tuple(key) == cell
        }
        fates["not due before the end"] = total - sum(fates.values())
        told = ", ".join(f"{n:,} {fate}" for fate, n in fates.items() if n)
        together.setdefault(told, []).append(f"{cell[0]} {cell[1]} ahead")
    for told, names in together.items():
        yield f"no score of {listed(names, NAMED)}; of {total:,} forecasts: {told}"


def _crowded(
    records: Path, config: Config, total: int, cells: Sequence[Cell]
) -> Iterator[str]:
    """Name targets and horizons with many forecasts dropped from a full queue."""
    voided = _counts(sinks.read(records, "voided", [*CELL, "reason"]), "reason")
    together: dict[int, list[str]] = {}
    for name, horizon in cells:
        count = voided[name, horizon, CROWDED]
        if count > MUCH * total:
            together.setdefault(count, []).append(f"{name} {horizon} ahead")
    for count, names in together.items():
        yield (
            f"{count:,} of {total:,} forecasts ({count / total:.0%}) of "
            f"{listed(names, NAMED)} were thrown away: too many waited for their "
            f"truth; raise learn.max_pending (= {config.learn.max_pending})"
        )


def _short(
    config: Config, ticks: Mapping[str, int], first: Mapping[str, int]
) -> Iterator[str]:
    """Name the streams that end within the warm-up, if other streams do not."""
    short = [name for name, count in ticks.items() if 0 < count <= first[name]]
    if short and len(short) < len(ticks):
        yield (
            f"no score of {len(short):,} of {len(ticks):,} streams, "
            f"{listed(short, NAMED)}: they have no more ticks than "
            f"run.warmup = {config.run.warmup}"
        )


def _absent(config: Config, ticks: Mapping[str, int]) -> Iterator[str]:
    """Name the streams of `stream.symbols` that had no tick."""
    absent = [name for name in config.stream.symbols if not ticks.get(name)]
    if absent:
        yield f"no tick of {listed(absent, NAMED)}, which stream.symbols names"


def _unmoved(
    records: Path, config: Config, first: Mapping[str, int], cells: Sequence[Cell]
) -> Iterator[str]:
    """Say why values did not move within a horizon although the target moved."""
    import polars as pl

    truth, errors = pl.col("truth"), (pl.col("truth") - pl.col("mean", "naive")).abs()
    parts = [
        part.group_by(*CELL, "stream").agg(
            pl.max_horizontal(errors.max()).alias("error"),
            truth.min().alias("low"),
            truth.max().alias("high"),
        )
        for part in metrics.counted(records, first, ("truth", "mean", "naive"))
    ]
    streams = pl.concat(parts).group_by(*CELL, "stream").agg(
        pl.col("error", "high").max(), pl.col("low").min()
    )  # fmt: skip
    moved = streams.filter((pl.col("error") > 0) | (pl.col("high") > pl.col("low")))
    largest = moved.group_by(*CELL).agg(pl.col("error").max()).rows()
    most = {(str(name), str(horizon)): error for name, horizon, error in largest}
    times = {h.label for h in config.target.horizons if h.ns}
    for name, horizon in cells:
        error = most.get((name, horizon))
        if error:
            yield (
                f"the figures of {name} {horizon} ahead mean nothing: its errors, at "
                f"most {error:.3g}, are too small to square; scale the values up"
            )
        elif error is not None and horizon in times:
            yield (
                f"the figures of {name} {horizon} ahead mean nothing: no tick came so "
                "soon, so every truth is the value forecast from; give a longer one in "
                "target.horizons"
            )


def _too_large(
    records: Path, first: Mapping[str, int], names: Sequence[str]
) -> Iterator[str]:
    """Count the values of targets that are too large to square, with the first time."""
    import polars as pl

    errors = (pl.col("truth") - pl.col(name) for name in ("mean", "naive"))
    is_huge = pl.any_horizontal(error.abs() > LARGEST for error in errors)
    values = ("time", "truth", "mean", "naive")
    parts = metrics.counted(records, first, values)
    rows = pl.concat(part.filter(is_huge) for part in parts)
    for name in names:
        mine = rows.filter(pl.col("target") == name)
        truths = mine.filter(pl.col("truth").abs() > LARGEST)
        what = "value" if len(truths) else "error"
        found = (truths if len(truths) else mine).unique(["stream", "time"])
        when = "" if not len(found) else f", first at {_time(found['time'].min())}"
        yield (
            f"no mean square and no skill of {name}; too large to square: "
            f"{amount(len(found), what)}{when}; is it a mistake of the source?"
        )


def _time(ns: Any) -> str:  # noqa: ANN401 as polars gives it
    return f"{np.datetime64(ns, 'ns').astype('datetime64[ms]')}Z"
