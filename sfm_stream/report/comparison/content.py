"""The content of the report of a comparison, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream import sinks
from sfm_stream.errors import SinkError
from sfm_stream.report import charts
from sfm_stream.report.run_report import curves, figures
from sfm_stream.running import metrics

if TYPE_CHECKING:
    import polars as pl

    from sfm_stream.events import Floats

STEPS = 300
"""Number of moments in the curves of skill since the start."""
PACES = ("ticks_per_s", "peak_rss_mib")


@np.errstate(over="ignore")  # a value too large for a float is not shown
def gather(
    folder: Path, names: Sequence[str], warmup: float, paces: Mapping[str, Any]
) -> dict[str, Any]:
    """Gather the content of the report.

    Args:
        folder: with the records of each model in a folder of its name.
        names: of the models.
        warmup: a count (int) or a share (float) of each stream's ticks.
        paces: per model, `PACES`.

    Returns:
        Plain data: `name`, `stream`, `models` and `parts`, one per target and horizon.

    Raises:
        SinkError: if there are no scores, or records cannot be read.
    """
    scores = {name: _scores(folder / name, warmup) for name in names}
    some = scores[names[0]]
    stream = charts.longest(some)
    return {
        "name": folder.name,
        "stream": stream,
        "streams": some["stream"].n_unique(),
        "models": [
            {"name": name, **{pace: paces[name].get(pace) for pace in PACES}}
            for name in names
        ],
        "parts": list(_parts(scores, some, stream)),
    }


def _scores(folder: Path, warmup: float) -> pl.DataFrame:
    """Read the scores of a model after the warm-up; fail if there are none."""
    import polars as pl

    scores = sinks.whole(folder, "scores", curves.SCORES)
    if scores is None:
        raise _none(folder)
    text = (pl.col(n).cast(pl.String) for n in ("stream", "target", "horizon"))
    found = scores.with_columns(*text)
    lasts = found.group_by("stream").agg(pl.col("origin").max() + 1)
    first = metrics.first_scored(warmup, dict(lasts.rows()))
    counted = metrics.after_warm_up(found, first)
    if not len(counted):
        raise _none(folder)
    return counted


def _none(folder: Path) -> SinkError:
    hint = "a longer run, a smaller run.warmup or fewer gaps would give some"
    return SinkError(str(folder), "expected scores, was none", hint)


def _parts(
    scores: Mapping[str, pl.DataFrame], some: pl.DataFrame, stream: str
) -> Iterator[dict[str, Any]]:
    """Give figures and curves of all models, per target and horizon."""
    import polars as pl

    pairs = some.select("target", "horizon").unique(maintain_order=True).rows()
    for target, horizon in sorted(pairs, key=lambda pair: (pair[0], _size(pair[1]))):
        chosen = (pl.col("target") == target) & (pl.col("horizon") == horizon)
        tables = {name: table.filter(chosen) for name, table in scores.items()}
        here = {n: t.filter(pl.col("stream") == stream) for n, t in tables.items()}
        yield {
            "target": target,
            "horizon": horizon,
            "models": {name: figures.of(table) for name, table in tables.items()},
            "so far": _so_far(here),
            "last": _last(here),
        }


def _size(horizon: str) -> tuple[int, str]:
    """Give a sort key for a horizon: the number in its name, then the name."""
    digits = "".join(c for c in horizon if c.isdigit())
    return (int(digits or 0), horizon)


def _so_far(tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Give the skill since the start, at the same moments for all models."""
    longest = max(tables.values(), key=len)
    at = np.unique(np.linspace(0, len(longest) - 1, STEPS).astype(np.int64))
    times = longest["time"].to_numpy()[at] / curves.NS_PER_S
    return {
        "time": times.tolist(),
        "models": {
            name: _at(times, table) for name, table in tables.items() if len(table)
        },
    }


def _at(times: Floats, table: pl.DataFrame) -> list[float | None]:
    squared, naive = figures.squares(table)
    skill = curves.ratio_skill(np.cumsum(squared), np.cumsum(naive))
    skill[: curves.FEW] = np.nan
    scored = table["time"].to_numpy() / curves.NS_PER_S
    rows = np.searchsorted(scored, times, "right") - 1
    told = np.where(rows >= 0, skill[np.maximum(rows, 0)], np.nan).tolist()
    return [curves.rounded(value, 6) for value in told]


def _last(tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Give the last truths, and the forecasts of each model for them."""
    import polars as pl

    longest = max(tables.values(), key=len).tail(curves.ZOOM)
    times = longest["time"]
    columns = {}
    for name, table in tables.items():
        mine = table.select("origin", pl.col("mean").alias("said"))
        joined = longest.join(mine, on="origin", how="left", maintain_order="left")
        columns[name] = [curves.rounded(value, 6) for value in joined["said"].to_list()]
    return {
        "time": (times.to_numpy() / curves.NS_PER_S).tolist(),
        "truth": [curves.rounded(value, 6) for value in longest["truth"].to_list()],
        "models": columns,
    }
