"""The content of the report of a run, as plain data: tables, curves and a verdict."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sfm_stream import config, sinks
from sfm_stream.errors import SinkError
from sfm_stream.report import charts
from sfm_stream.report.run_report import curves, figures
from sfm_stream.running import metrics
from sfm_stream.storage import run_folder

if TYPE_CHECKING:
    import polars as pl

    from sfm_stream.events import Floats

POINTS, FEWER_POINTS = 1_000, 200
"""Buckets of a curve, for up to ten targets and horizons, and beyond."""
MANY = 10
SHOWN_STREAMS = 200
STEPS = 400
"""Points of slow curves: rolling skill, coverage, weights."""
ROLLING = 50
"""Rolling figures average over one part of this many parts of a run."""
DAY_S, HOUR_S, HOURS, DAYS = 86_400, 3_600, 24, 7
EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; 0 is Monday."""
BOUNDS = ("stream", "target", "horizon", "origin", "lower", "upper")
COUNTED = {"voided": "reason", "rejected": "reason", "updates": "skipped",
           "decisions": "action"}  # fmt: skip


@np.errstate(over="ignore")  # a value too large for a float is not shown
def gather(run: run_folder.Run) -> dict[str, Any]:
    """Gather the content of the report.

    Args:
        run: with records and a summary.

    Returns:
        Plain data: `about`, `summary`, `parts` (one per target and horizon, with
        figures of all streams), `streams`, `counts`. The curves of `parts`, `weights`
        and `spectrogram` are those of one stream, the longest.

    Raises:
        SinkError: if there are no scores, or records cannot be read.
    """
    scores = _all(run, "scores", curves.SCORES)
    warmup = metrics.first_scored(run.config.run.warmup, _ticks(run))
    scores = metrics.after_warm_up(scores, warmup)
    if not len(scores):
        raise _none(run, "scores")
    streams = _streams(scores)
    shown = charts.longest(scores)
    return {
        "about": _about(run, shown, len(streams)),
        "summary": summary(run),
        "streams": streams[:SHOWN_STREAMS],
        "parts": list(_parts(run, scores, shown)),
        "weights": _weights(run, shown),
        "spectrogram": _spectrogram(run, shown),
        "counts": {kind: _counts(run, kind, by) for kind, by in COUNTED.items()},
    }


def _all(run: run_folder.Run, kind: str, columns: Sequence[str]) -> pl.DataFrame:
    """Read all records of a kind; fail if there are none."""
    found = sinks.whole(run.records, kind, columns)
    if found is None:
        raise _none(run, kind)
    return found


def _none(run: run_folder.Run, kind: str) -> SinkError:
    """Make the error for absent records, with the reasons for their absence."""
    done = summary(run)
    idle = [] if not done or done["ticks"] else ["no tick was taken"]
    causes = done.get("account", {}).get("causes", ()) if idle else ()
    why = [*done.get("remarks", ()), *idle, *causes]
    hint = "; ".join(why) or "let it run on"
    return SinkError(str(run.records), f"expected {kind}, was none", hint)


def summary(run: run_folder.Run) -> dict[str, Any]:
    """Read the figures of a run; the dict is empty until the run has ended."""
    path = run.folder / run_folder.SUMMARY
    if not path.exists():
        return {}
    found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return found


def _about(run: run_folder.Run, shown: str, streams: int) -> dict[str, Any]:
    return {
        "name": run.folder.name,
        "stream": shown,
        "streams": streams,
        "settings": _changed(config.to_tree(run.config)),
        "fingerprint": {
            name: value
            for name, value in run.info["fingerprint"].items()
            if name != "cpu_features"
        },
        "source": run.info["source"],
        "again": _again(run),
    }


def _again(run: run_folder.Run) -> dict[str, str]:
    """Give the command that makes a run again, or that a live run goes on with."""
    folder, settings = (
        shlex.quote(str(path)) for path in (run.folder, run.folder / run_folder.CONFIG)
    )
    if run.journal.is_dir():
        command = f"sfm-stream daemon {settings} --out {folder}"
        return {"title": "Go on with it", "command": command}
    warm = " --from RUN  # the run it began with" if run.start.is_dir() else ""
    return {"title": "Make it again", "command": f"sfm-stream replay {settings}{warm}"}


def _changed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that differ from the defaults, by key."""
    usual = dict(config.leaves(config.to_tree(config.Config())))
    return {
        key: value
        for key, value in config.leaves(tree)
        if usual.get(key) != value
    }  # fmt: skip


def _ticks(run: run_folder.Run) -> dict[str, int]:
    """Count the ticks of each stream: each tick is an origin of forecasts."""
    import polars as pl

    lasts: dict[str, int] = {}
    for part in sinks.read(run.records, "forecasts", ("stream", "origin")):
        for name, last in part.group_by("stream").agg(pl.col("origin").max()).rows():
            lasts[name] = max(last, lasts.get(name, last))
    if not lasts:
        raise _none(run, "forecasts")
    return {name: last + 1 for name, last in lasts.items()}


def _streams(scores: pl.DataFrame) -> list[dict[str, Any]]:
    """Give figures per stream, the lowest skill first."""
    import polars as pl

    error, naive = pl.col("truth") - pl.col("mean"), pl.col("truth") - pl.col("naive")
    table = scores.group_by(name=pl.col("stream").cast(pl.String)).agg(
        scored=pl.len(),
        mae=error.abs().mean(),
        skill=1 - error.pow(2).sum() / naive.pow(2).sum(),
        coverage=pl.col("covered").mean(),
    )
    finite = pl.when(pl.col("skill").is_finite()).then("skill")
    return (
        table.with_columns(skill=finite)
        .sort("skill", "name", nulls_last=True)
        .to_dicts()
    )


def _parts(
    run: run_folder.Run, scores: pl.DataFrame, shown: str
) -> Iterator[dict[str, Any]]:
    """Give figures of all streams and curves of one, per target and horizon."""
    import polars as pl

    targets, horizons = run.info["targets"], run.info["horizons"]
    points = POINTS if len(targets) * len(horizons) <= MANY else FEWER_POINTS
    bounds = _all(run, "forecasts", BOUNDS).filter(
        pl.col("stream").cast(pl.String) == shown
    )
    here = scores.filter(pl.col("stream").cast(pl.String) == shown)
    for target in targets:
        for horizon in horizons:
            chosen = (pl.col("target") == target) & (pl.col("horizon") == horizon)
            found = figures.of(scores.filter(chosen))
            rows = here.filter(chosen).join(
                bounds.filter(chosen).select("origin", "lower", "upper"),
                on="origin", how="left", maintain_order="left",
            )  # fmt: skip
            if found["scored"]:
                yield {
                    "target": target,
                    "horizon": horizon,
                    **found,
                    "verdict": _verdict(found),
                    "curves": _curves(rows, points) if len(rows) else None,
                }


def _curves(rows: pl.DataFrame, points: int) -> dict[str, Any]:
    squared, naive = figures.squares(rows)
    last = slice(max(0, len(rows) - curves.ZOOM), len(rows))
    return {
        "whole": _rows(rows, curves.extremes(rows["truth"].to_numpy(), points)),
        "zooms": {
            "the first forecasts": _rows(rows, slice(0, curves.ZOOM)),
            "the worst stretch": _rows(rows, curves.worst(squared)),
            "the last forecasts": _rows(rows, last),
        },
        "over_time": _over_time(rows, squared, naive),
        "where": _where(rows),
        **_by_clock(rows, squared, naive),
    }


def _verdict(found: Mapping[str, Any]) -> str:
    if found["skill"] is None:
        return (
            "Too few scores, a target that never moved, or values too large to "
            "square: nothing to say yet."
        )
    skill, low, high = found["skill"]
    told = f"skill {skill:.3f}, 90 % interval {low:.3f} to {high:.3f}"
    for key, name in metrics.OVER_STREAMS.items():
        if found.get(key) is not None:
            told += f"; {name} {found[key]:.3f}"
    if low > 0:
        return f"Better than the last value: {told}."
    if high < 0:
        return f"Worse than the last value: {told}."
    return f"Not told apart from the last value: {told}."


def _rows(rows: pl.DataFrame, chosen: Any) -> dict[str, list[Any]]:  # noqa: ANN401 a slice or rows
    """Give the chosen rows as columns: seconds, truth, forecast and bounds."""
    at = np.arange(len(rows))[chosen]
    picked = rows[at.tolist()]
    times = picked["time"].to_numpy() / curves.NS_PER_S
    columns = (picked[name].cast(float) for name in ("truth", "mean", "lower", "upper"))
    return {
        "time": times.tolist(),
        **{
            column.name: [curves.rounded(value, 7) for value in column.to_list()]
            for column in columns
        },
    }


def _over_time(rows: pl.DataFrame, squared: Floats, naive: Floats) -> dict[str, Any]:
    """Give rolling and cumulative skill and rolling coverage at `STEPS` moments."""
    width = max(curves.FEW, len(rows) // ROLLING)
    at = np.unique(np.linspace(0, len(rows) - 1, STEPS).astype(np.int64))
    rolled = curves.ratio_skill(
        curves.rolling(squared, width), curves.rolling(naive, width)
    )
    whole = curves.ratio_skill(np.cumsum(squared), np.cumsum(naive))
    rolled[: curves.FEW] = whole[: curves.FEW] = np.nan
    covered = rows["covered"].cast(float).fill_null(np.nan).to_numpy()
    known = np.isfinite(covered)
    share = np.full(len(rows), np.nan)
    share[known] = curves.rolling(covered[known], width)
    share[np.flatnonzero(known)[: curves.FEW]] = np.nan
    return {
        "time": (rows["time"].to_numpy()[at] / curves.NS_PER_S).tolist(),
        "rolling skill": [curves.rounded(v) for v in rolled[at]],
        "skill so far": [curves.rounded(v) for v in whole[at]],
        "coverage": [curves.rounded(v) for v in share[at]],
        "width": width,
    }


def _where(rows: pl.DataFrame) -> dict[str, float]:
    """Give the share of truths in each part of the interval and outside it."""
    known = rows.drop_nulls(["lower", "upper"])
    if not len(known):
        return {}
    truth, mean, lower, upper = (
        known[name].cast(float).to_numpy()
        for name in ("truth", "mean", "lower", "upper")
    )
    parts = {
        "below": truth < lower,
        "lower half": (truth >= lower) & (truth < mean),
        "upper half": (truth >= mean) & (truth <= upper),
        "above": truth > upper,
    }
    return {name: float(part.mean()) for name, part in parts.items()}


def _by_clock(
    rows: pl.DataFrame, squared: Floats, naive: Floats
) -> dict[str, list[float | None]]:
    """Give the skill by hour of the day and by day of the week, UTC."""
    seconds = rows["time"].to_numpy() // curves.NS_PER_S
    hour = seconds % DAY_S // HOUR_S
    day = (seconds // DAY_S + EPOCH_WEEKDAY) % DAYS
    return {
        name: [
            curves.rounded(v)
            for v in curves.ratio_skill(
                curves.grouped(keys, squared, count), curves.grouped(keys, naive, count)
            )
        ]
        for name, keys, count in (("by_hour", hour, HOURS), ("by_weekday", day, DAYS))
    }


def _weights(run: run_folder.Run, shown: str) -> dict[str, Any]:
    """Give the experts' mean weights over time for the first target and horizon."""
    import polars as pl

    experts = run.info["experts"]
    names = [f"weight_{expert}" for expert in experts]
    columns = ["stream", "target", "horizon", "time", *names]
    first = (
        (pl.col("stream").cast(pl.String) == shown)
        & (pl.col("target") == run.info["targets"][0])
        & (pl.col("horizon") == run.info["horizons"][0])
    )
    rows = pl.concat(
        part.filter(first) for part in sinks.read(run.records, "forecasts", columns)
    )
    if not len(rows):
        return {}
    step = max(1, math.ceil(len(rows) / STEPS))
    means = rows.group_by(pl.int_range(pl.len()) // step, maintain_order=True).agg(
        pl.col("time").first(), *(pl.col(name).mean() for name in names)
    )
    return {
        "time": (means["time"].to_numpy() / curves.NS_PER_S).tolist(),
        "experts": {
            expert: [curves.rounded(v, 4) for v in means[name].to_list()]
            for expert, name in zip(experts, names, strict=True)
        },
    }


def _spectrogram(run: run_folder.Run, shown: str) -> dict[str, Any]:
    """Give mean amplitudes by time and frequency as bytes, and the periods."""
    target = run.info["targets"][0]
    try:
        times, amplitude = charts.amplitudes(run.records, shown, target)
    except SinkError:
        return {}
    order = np.argsort(run.info["frequencies"])
    top = float(amplitude.max()) or 1.0
    shades = np.round(255 * amplitude[:, order] / top).astype(np.uint8)
    return {
        "time": (times.astype(np.int64) / curves.NS_PER_S).tolist(),
        "periods": [charts.period_text(run.info["frequencies"][i]) for i in order],
        "top": top,
        "shades": shades.tolist(),
    }


def _counts(run: run_folder.Run, kind: str, by: str) -> dict[str, int]:
    """Count records of a kind by their reason."""
    import polars as pl

    found: dict[str, int] = {}
    for part in sinks.read(run.records, kind, [by]):
        for reason, count in part[by].cast(pl.String).value_counts().rows():
            found[reason or "carried out"] = (
                found.get(reason or "carried out", 0) + count
            )
    return found
