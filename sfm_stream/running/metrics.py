"""Prequential metrics, as folds over scores.

To add a metric, write a function from columns of scores to the values to average, and
name it in `METRICS`; then every summary has it.

Skill is 1 - MSE / MSE of the last value at the origin, over the same scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from sfm_stream import sinks

if TYPE_CHECKING:
    import polars as pl

    from sfm_stream.events import Floats

T = TypeVar("T")

NAMES = ("stream", "target", "horizon")


class Scores(NamedTuple):
    """Scores as columns, named as in `records.Score`.

    Attributes:
        truth: float64 [n].
        mean: float64 [n], the forecast.
        naive: float64 [n], the last value at the origin.
        covered: int8 [n], whether the interval held the truth; -1 without one.
        winkler: float64 [n], interval score; NaN without an interval.
        crps: float64 [n], weighted interval score; NaN without one.
    """

    truth: Floats
    mean: Floats
    naive: Floats
    covered: NDArray[np.int8]
    winkler: Floats
    crps: Floats


Metric: TypeAlias = Callable[[Scores], NDArray[Any]]
Summary: TypeAlias = dict[str, float | None]


def squared(scores: Scores) -> NDArray[Any]:
    """Squared errors of the forecasts, in squared units of the target."""
    return np.square(scores.truth - scores.mean)


def absolute(scores: Scores) -> NDArray[Any]:
    """Absolute errors of the forecasts, in units of the target."""
    return np.abs(scores.truth - scores.mean)


def naive_squared(scores: Scores) -> NDArray[Any]:
    """Squared errors of the last value at the origin."""
    return np.square(scores.truth - scores.naive)


def naive_absolute(scores: Scores) -> NDArray[Any]:
    """Absolute errors of the last value at the origin."""
    return np.abs(scores.truth - scores.naive)


def covered(scores: Scores) -> NDArray[Any]:
    """Whether the truth lay in the interval, for forecasts with an interval."""
    answers = scores.covered
    return answers[answers >= 0]


def winkler(scores: Scores) -> NDArray[Any]:
    """Interval scores of the widest interval, in units of the target."""
    return scores.winkler[scores.covered >= 0]


def crps(scores: Scores) -> NDArray[Any]:
    """Weighted interval scores, which approach the CRPS, in units of the target."""
    return scores.crps[scores.covered >= 0]


def sign(scores: Scores) -> NDArray[Any]:
    """Whether forecast and target moved the same way, for targets that moved."""
    went = np.sign(scores.truth - scores.naive)
    said = np.sign(scores.mean - scores.naive)
    moved: NDArray[np.bool_] = went != 0
    return np.equal(said[moved], went[moved])


METRICS: Mapping[str, Metric] = {
    "mse": squared,
    "mae": absolute,
    "naive_mse": naive_squared,
    "naive_mae": naive_absolute,
    "coverage": covered,
    "winkler": winkler,
    "crps": crps,
}
OF_A_STREAM: Mapping[str, Metric] = {"mse": squared, "naive_mse": naive_squared}
MANY = 2
"""With at least this many streams, each has a summary of its own too."""
OVER_STREAMS = {"skill_median": "median stream", "skill_worst": "worst stream"}
"""Skills over the streams, and their names in tables."""
COMPARED: Mapping[str, Metric] = {**METRICS, "sign": sign}


class Fold:
    """Sums over the scores of one target and horizon.

    Args:
        metrics: metrics by name.
    """

    def __init__(self, metrics: Mapping[str, Metric] = METRICS) -> None:
        self._metrics = metrics
        self._scored = 0
        self._sums = dict.fromkeys(metrics, 0.0)
        self._counts = dict.fromkeys(metrics, 0)

    def add(self, scores: Scores) -> None:
        """Add scores."""
        self._scored += len(scores.truth)
        with np.errstate(over="ignore"):  # a mean too large for a float is None
            self._sum_up(scores)

    def _sum_up(self, scores: Scores) -> None:
        for name, metric in self._metrics.items():
            values = metric(scores)
            self._sums[name] += float(values.sum(dtype=np.float64))
            self._counts[name] += len(values)

    def summary(self) -> Summary:
        """Give `scored`, the means by name, and `skill`.

        None where undefined, or too large for a float.
        """
        means: Summary = {
            name: _finite(self._sums[name] / count) if count else None
            for name, count in self._counts.items()
        }
        own = skill(means["mse"], means["naive_mse"])
        return {"scored": self._scored, **means, "skill": own}


def first_scored(warmup: float, ticks: Mapping[str, int]) -> dict[str, int]:
    """Give the first tick of each stream that is scored.

    Args:
        warmup: `run.warmup`, a count (int) or a share (float) of each stream's ticks.
        ticks: number of ticks per stream.
    """
    if isinstance(warmup, float):
        return {name: int(warmup * count) for name, count in ticks.items()}
    return dict.fromkeys(ticks, warmup)


def fold_scores(
    folder: Path,
    warmup: Mapping[str, int],
    metrics: Mapping[str, Metric] = METRICS,
) -> dict[str, Any]:
    """Summarise the scores of a run, part by part.

    Args:
        folder: folder of a `ParquetSink`.
        warmup: per stream, the first origin that counts; 0 where absent.
        metrics: metrics by name.

    Returns:
        `{"horizons": {horizon: summary}}` in the order of the run's tables. With
        several targets this is the mean over them, and there is
        `"targets": {target: {"horizons": ...}}`. With several streams a summary also
        has `skill_median` and `skill_worst` over them, and each target
        `"skills": {horizon: {stream: skill}}`: streams with the largest moves dominate
        a pooled skill.

    Raises:
        SinkError: if the records cannot be read.
    """
    folds: dict[str, dict[str, Fold]] = {}
    streams: dict[tuple[str, str], dict[str, Fold]] = {}
    for part in counted(folder, warmup):
        _know(folds, part, lambda: Fold(metrics))
        for (target, horizon, stream), scores in part.group_by(
            "target", "horizon", "stream", maintain_order=True
        ):
            columns = _columns(scores)
            folds[str(target)][str(horizon)].add(columns)
            own = streams.setdefault((str(target), str(horizon)), {})
            own.setdefault(str(stream), Fold(OF_A_STREAM)).add(columns)
    targets = {
        target: _of_target(
            horizons, {h: streams.get((target, h), {}) for h in horizons}
        )
        for target, horizons in folds.items()
    }
    if len(targets) > 1:
        return {"horizons": mean_over(targets), "targets": targets}
    return next(iter(targets.values()), {"horizons": {}})


def _of_target(
    folds: Mapping[str, Fold], streams: Mapping[str, Mapping[str, Fold]]
) -> dict[str, Any]:
    """Summarise one target; with several streams, also the skill of each."""
    horizons = {h: fold.summary() for h, fold in folds.items()}
    skills = {
        h: {name: fold.summary()["skill"] for name, fold in sorted(own.items())}
        for h, own in streams.items()
    }
    if all(len(own) < MANY for own in skills.values()):
        return {"horizons": horizons}
    for h, own in skills.items():
        horizons[h] |= over_streams(own)
    return {"horizons": horizons, "skills": skills}


def over_streams(skills: Mapping[str, float | None]) -> Summary:
    """Give `skill_median` and `skill_worst` of the skills of streams that have one."""
    known = [one for one in skills.values() if one is not None]
    median = float(np.median(known)) if known else None
    return {"skill_median": median, "skill_worst": min(known, default=None)}


def mean_over(targets: Mapping[str, Any]) -> dict[str, Summary]:
    """Average each metric, skill too, over the targets; `scored` is the total.

    Args:
        targets: summaries as `fold_scores` gives them, with equal horizons and metrics.
    """
    trees = [tree["horizons"] for tree in targets.values()]
    return {
        horizon: {name: _mean([t[horizon][name] for t in trees]) for name in summary}
        | {"scored": sum(t[horizon]["scored"] for t in trees)}
        for horizon, summary in trees[0].items()
    }


def blocks(
    folder: Path, warmup: Mapping[str, int], count: int = 20
) -> dict[str, dict[str, list[Summary]]]:
    """Summarise the scores of equal stretches of a run.

    Each stream is cut, per target and horizon, into stretches with the same number of
    scores; the same stretch of all streams has one summary.

    Args:
        folder: folder of a `ParquetSink`.
        warmup: per stream, the first origin that counts; 0 where absent.
        count: number of stretches.

    Returns:
        `count` summaries per target and horizon, in order of time.

    Raises:
        SinkError: if the records cannot be read.
    """
    import polars as pl

    progress = _progress(counted(folder, warmup, ()))
    folds: dict[str, dict[str, list[Fold]]] = {}
    for part in counted(folder, warmup):
        _know(folds, part, lambda: [Fold() for _ in range(count)])
        known = part.join(progress, on=NAMES, maintain_order="left")
        number = pl.int_range(pl.len()).over(NAMES) + pl.col("passed")
        placed = known.with_columns(block=number * count // pl.col("total"))
        for (target, horizon, block), scores in placed.group_by(*NAMES[1:], "block"):
            folds[str(target)][str(horizon)][int(str(block))].add(_columns(scores))
        progress = _advanced(progress, part)
    return {
        target: {h: [fold.summary() for fold in row] for h, row in horizons.items()}
        for target, horizons in folds.items()
    }


def total(stretch: Summary, name: str) -> float:
    """Give the sum behind a mean of a summary; 0 without scores.

    The sum is infinite where it is too large for a float.

    Args:
        stretch: a summary.
        name: name of a metric that is a mean over all scores.
    """
    scored, mean = stretch["scored"] or 0, stretch[name]
    return scored * (math.inf if mean is None else mean) if scored else 0.0


def skill(mse: float | None, naive_mse: float | None) -> float | None:
    """Give the skill; None where undefined, or where a mean is None or infinite."""
    if mse is None or naive_mse is None or not np.isfinite([mse, naive_mse]).all():
        return None
    if naive_mse == 0:  # no value moved: the skill is 0 or undefined
        return 0.0 if mse == 0 else None
    return 1 - mse / naive_mse


def _finite(mean: float) -> float | None:
    return None if math.isinf(mean) else mean


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def counted(
    folder: Path, warmup: Mapping[str, int], values: Sequence[str] = Scores._fields
) -> Iterator[pl.DataFrame]:
    """Yield the scores after the warm-up, part by part.

    Args:
        folder: folder of a `ParquetSink`.
        warmup: per stream, the first origin that counts; 0 where absent.
        values: columns beside stream, target, horizon and origin.

    Raises:
        SinkError: if the records cannot be read.
    """
    for part in sinks.read(folder, "scores", [*NAMES, "origin", *values]):
        yield after_warm_up(part, warmup)


def after_warm_up(scores: pl.DataFrame, warmup: Mapping[str, int]) -> pl.DataFrame:
    """Give the scores after the warm-up, in their order.

    Args:
        scores: with the columns stream and origin.
        warmup: per stream, the first origin that counts; 0 where absent.
    """
    import polars as pl

    if not warmup:
        return scores
    first = pl.col("stream").replace_strict(
        list(warmup), list(warmup.values()), default=0, return_dtype=pl.Int64
    )
    return scores.filter(pl.col("origin") >= first)


def _know(
    folds: dict[str, dict[str, T]], part: pl.DataFrame, make: Callable[[], T]
) -> None:
    """Make a fold for each target and horizon of the run, even without scores."""
    for target in _table(part, "target"):
        for horizon in _table(part, "horizon"):
            folds.setdefault(target, {}).setdefault(horizon, make())


def _table(part: pl.DataFrame, name: str) -> list[str]:
    return cast("pl.Enum", part.schema[name]).categories.to_list()


def _columns(frame: pl.DataFrame) -> Scores:
    import polars as pl

    answered = frame.with_columns(
        pl.col("covered").cast(pl.Int8).fill_null(-1),
        pl.col("winkler", "crps").fill_null(math.nan),
    )
    return Scores(*(answered[name].to_numpy() for name in Scores._fields))


def _progress(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Count `total` and `passed` (0) scores per stream, target and horizon."""
    import polars as pl

    total = pl.DataFrame()
    for part in parts:
        counts = part.group_by(NAMES).len("total")
        both = pl.concat([total, counts], how="diagonal")
        total = both.group_by(NAMES).sum()
    return total.with_columns(passed=pl.lit(0, pl.Int64))


def _advanced(progress: pl.DataFrame, part: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    counts = part.group_by(NAMES).len()
    passed = pl.col("passed") + pl.col("len").fill_null(0)
    return progress.join(counts, on=NAMES, how="left").select(
        *NAMES, "total", passed=passed
    )
