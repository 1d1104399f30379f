"""Computes the figures of scores: skill and its interval, error, coverage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.running import bootstrap, metrics

if TYPE_CHECKING:
    import polars as pl

    from sfm_stream.events import Floats

BLOCKS, FEWEST = 50, 20
"""Stretches of the bootstrap; fewest scores with an interval."""


def of(rows: pl.DataFrame) -> dict[str, Any]:
    """Give the figures of the scores of one target and horizon, over all streams.

    Args:
        rows: in the order of records, so that a stretch of rows is a stretch of time.

    Returns:
        `scored`, `skill` (None, or the skill with the ends of its 90 % interval), `mae`
        and `coverage`. With several streams also `skill_median` and `skill_worst` over
        them.
    """
    covered = rows["covered"].mean()
    found, streams = skill_interval(*squares(rows)), of_streams(rows)
    return {
        "scored": len(rows),
        "skill": None if found is None else list(found),
        "mae": mean_error(rows),
        "coverage": covered if isinstance(covered, float) else None,
        **(metrics.over_streams(streams) if len(streams) >= metrics.MANY else {}),
    }


def of_streams(rows: pl.DataFrame) -> dict[str, float | None]:
    """Give the skill of each stream, in the order of their first scores."""
    import polars as pl

    error, naive = pl.col("truth") - pl.col("mean"), pl.col("truth") - pl.col("naive")
    means = rows.group_by(pl.col("stream").cast(pl.String), maintain_order=True).agg(
        mse=error.pow(2).mean(), naive_mse=naive.pow(2).mean()
    )
    return {name: metrics.skill(*both) for name, *both in means.rows()}


def squares(rows: pl.DataFrame) -> tuple[Floats, Floats]:
    """Give the squared errors of the forecasts and of the last values of scores [n]."""
    truth = rows["truth"].to_numpy()
    missed, moved = truth - rows["mean"].to_numpy(), truth - rows["naive"].to_numpy()
    return np.square(missed), np.square(moved)


def mean_error(rows: pl.DataFrame) -> float | None:
    """Give the mean absolute error of scores; None if there are no scores."""
    errors = rows["truth"].to_numpy() - rows["mean"].to_numpy()
    return float(np.abs(errors).mean()) if len(errors) else None


def skill_interval(squared: Floats, naive: Floats) -> tuple[float, float, float] | None:
    """Give the skill and its 90 % interval by the block bootstrap.

    Args:
        squared: squared errors of the forecasts [n].
        naive: squared errors of the last values [n].

    Returns:
        Skill, lower and upper end; None with fewer than `FEWEST` scores, if the last
        value was never wrong, or if squares are too large for a float.
    """
    total, missed = float(naive.sum()), float(squared.sum())
    if len(squared) < FEWEST or total <= 0 or not math.isfinite(total + missed):
        return None
    blocks = min(BLOCKS, len(squared) // 4)
    starts = np.linspace(0, len(squared), blocks + 1).astype(np.int64)[:-1]
    ours, theirs = np.add.reduceat(squared, starts), np.add.reduceat(naive, starts)
    ends = bootstrap.interval(bootstrap.skills(ours, theirs))
    return ends and (1 - missed / total, *ends)
