"""The benchmark suite: many data sets, each with its own configuration.

A stopped suite continues, and after a change only the affected results run again.
"""

from __future__ import annotations

import glob
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from sfm_stream import config
from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.evaluate import contest, kept, workers
from sfm_stream.evaluate.peers import registry
from sfm_stream.events import TICK
from sfm_stream.running import judgement
from sfm_stream.settings.sections import Section
from sfm_stream.storage import run_folder

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed

SUITE = "suite.toml"
KEPT = ("scores", "rejected")
"""Kinds of records that a run of the suite keeps."""


class Benchmark(Section, frozen=True):
    """A data set, its measure, and the best published figure.

    Attributes:
        name: of the set and of its configuration.
        title: of the set in the tables.
        measure: mean of z-scored squared errors, skill, or the median stream's skill.
        train: number of first rows that give the standard deviations for z-scores.
        files: globs, relative to the suite's folder; each file is a run. Without globs
            the set is one run.
        best: best published figure.
        source: of the published figure.
        optional: whether to leave out the set if its file is absent; users supply it.
    """

    name: str
    title: str
    measure: Literal["mse", "skill", "panel"] = "skill"
    train: Annotated[int, Meta(ge=0)] = 0
    files: tuple[str, ...] = ()
    best: float | None = None
    source: str = ""
    optional: bool = False


class Suite(Section, frozen=True):
    """The contents of `suite.toml`."""

    set: tuple[Benchmark, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One model on one file of one set.

    Attributes:
        benchmark: the set.
        run: name of the run, from its file.
        model: name.
        config: settings of the ticks, the target and our model.
        path: of the result's file.
        key: digest of everything that determines the result.
    """

    benchmark: Benchmark
    run: str
    model: str
    config: Config
    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class Source:
    """The functions that read configurations and open feeds.

    Attributes:
        load: reads a configuration file with overrides.
        open_feed: opens the feed that a configuration names.
    """

    load: Callable[[Path, list[str]], Config]
    open_feed: Callable[[Config], Feed]


Results = dict[str, dict[str, dict[str, Any]]]
"""Per set and model: `value`, `worst`, `sign`, and each run under `runs`."""


def read(folder: Path, chosen: Sequence[str] = ()) -> tuple[Benchmark, ...]:
    """Read the sets of a suite.

    Args:
        folder: with `suite.toml` and the configuration of each set.
        chosen: names of the wanted sets; all sets if empty.

    Raises:
        ConfigError: if `suite.toml` cannot be read, or a name is not one of its sets.
    """
    path = folder / SUITE
    try:
        suite = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Suite)
    except (OSError, ValueError, RecursionError) as e:
        raise ConfigError(str(path), f"cannot be read: {e}") from e
    known = {benchmark.name: benchmark for benchmark in suite.set}
    for name in chosen:
        if name not in known:
            problem = f"expected a set of the suite, was {name!r}"
            raise ConfigError("--sets", problem, did_you_mean(name, known))
    return tuple(known[name] for name in (chosen or known))


def carry_out(
    folder: Path,
    benchmarks: Sequence[Benchmark],
    names: Sequence[str],
    source: Source,
    out: Path,
    pool: Executor,
    *,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Results:
    """Run the tasks without a stored result, and give all results.

    Args:
        folder: of the suite.
        benchmarks: the sets to run.
        names: of the models.
        source: reads configurations and opens feeds.
        out: folder of the results.
        pool: runs the models, each in its own process.
        overrides: settings that override those of all sets.
        say: receives each figure when it is known, and a message where many rows were
            not accepted.

    Raises:
        ConfigError, FeedError: where a set cannot be read.
        SinkError: if the folder of the results holds other files.
        InvalidState: if a process was ended from outside.
    """
    registry.check(names)
    run_folder.expect_free(out, [one.name for one in read(folder, ())])
    benchmarks = [b for b in benchmarks if _is_there(folder, b, source, say)]
    tasks = [
        task
        for benchmark in benchmarks
        for task in _tasks(folder, benchmark, names, source, out, overrides)
    ]
    results: dict[tuple[str, str], dict[str, Any]] = {}
    waiting = _grouped(tasks)
    for task, result in _results(tasks, source, pool):
        pair = task.benchmark.name, task.model
        results.setdefault(pair, {})[task.run] = result
        if judgement.is_loud(result["account"]):
            first, *_ = judgement.lines(result["account"])
            say(f"{task.benchmark.name}, {task.run}, {task.model}: {first}")
        if set(results[pair]) == set(waiting[pair]):
            say(_line(task, summary(task.benchmark, results[pair])))
    found: Results = {}
    for benchmark in benchmarks:
        for name in names:
            runs_ = {run: results[benchmark.name, name][run]
                     for run in waiting[benchmark.name, name]}  # fmt: skip
            found.setdefault(benchmark.name, {})[name] = summary(benchmark, runs_)
    return found


def _is_there(
    folder: Path, benchmark: Benchmark, source: Source, say: Callable[[str], None]
) -> bool:
    """Say whether a set can run: False only if it is optional and a file is absent."""
    if not benchmark.optional:
        return True
    path = source.load(folder / f"{benchmark.name}.toml", []).feed.path
    there = all(
        Path(one).exists() for one in ([path] if isinstance(path, str) else path)
    )
    if not there:
        say(f"{benchmark.name:12} left out: {path} is absent")
    return there


def summary(benchmark: Benchmark, each: Mapping[str, Any]) -> dict[str, Any]:
    """Summarise the runs of one model on one set.

    Args:
        benchmark: the set.
        each: result of each run, by name, with `z_mse` where the measure is `mse`.

    Returns:
        `value` and `sign`, means over runs; `winkler` and `crps` in mean absolute
        moves; `worst`, the worst of the `values`; and the `runs`.
    """
    values = {run: _value(benchmark, result) for run, result in each.items()}
    known = [value for value in values.values() if value is not None]
    signs = [_over_horizons(result, "sign") for result in each.values()]
    worst = max if benchmark.measure == "mse" else min
    return {
        "value": _mean(known),
        "worst": worst(known, default=None),
        "sign": _mean([sign for sign in signs if sign is not None]),
        **{name: _in_moves(each.values(), name) for name in ("winkler", "crps")},
        "values": values,
        "runs": dict(each),
    }


def _value(benchmark: Benchmark, result: Mapping[str, Any]) -> float | None:
    if benchmark.measure == "mse":
        value: float | None = result["z_mse"]
        return value
    name = "skill_median" if benchmark.measure == "panel" else "skill"
    return _over_horizons(result, name)


def _in_moves(results: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Give a score of intervals divided by the mean absolute move, a mean over rows."""
    trees = [
        tree
        for result in results
        for tree in result.get("targets", {"": result}).values()
    ]
    return _mean(
        [
            figures[name] / figures["naive_mae"]
            for tree in trees
            for figures in tree["horizons"].values()
            if figures[name] is not None and figures["naive_mae"]
        ]
    )


def _over_horizons(result: Mapping[str, Any], name: str) -> float | None:
    values = [figures[name] for figures in result["horizons"].values()]
    return _mean([value for value in values if value is not None])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _line(task: Task, found: Mapping[str, Any]) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    line = f"{task.benchmark.name:12} {task.model:10} {task.benchmark.measure:5} "
    line += shown(found["value"])
    if len(found["values"]) > 1:
        each = " ".join(f"{run}={shown(v)}" for run, v in found["values"].items())
        line += f"  worst {shown(found['worst'])}  {each}"
    return (
        line
        if task.benchmark.measure == "mse"
        else (f"{line}  sign {shown(found['sign'])}")
    )


def _grouped(tasks: Sequence[Task]) -> dict[tuple[str, str], list[str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        grouped.setdefault((task.benchmark.name, task.model), []).append(task.run)
    return grouped


def _tasks(
    folder: Path,
    benchmark: Benchmark,
    names: Sequence[str],
    source: Source,
    out: Path,
    overrides: Sequence[str],
) -> Iterator[Task]:
    settings = source.load(folder / f"{benchmark.name}.toml", list(overrides))
    code = kept.code()
    for run, one in _runs(folder, benchmark, settings):
        identity = source.open_feed(one).source()
        for model in names:
            path = out / benchmark.name / run / f"{model}.json"
            key = kept.key(config.to_tree(one), benchmark, identity, code)
            yield Task(benchmark, run, model, one, path, key)


def _runs(
    folder: Path, benchmark: Benchmark, settings: Config
) -> Iterator[tuple[str, Config]]:
    if not benchmark.files:
        yield "all", settings
    for pattern in benchmark.files:
        found = sorted(glob.glob(str((folder / pattern).resolve())))  # noqa: PTH207 `..` stands in the pattern
        if not found:
            raise ConfigError(str(folder / pattern), "expected files, were none")
        for path in found:
            feed = replace(settings.feed, path=path)
            yield Path(path).name.partition(".")[0], replace(settings, feed=feed)


def _results(
    tasks: Sequence[Task], source: Source, pool: Executor
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Give the results as they become known; the stored ones come first."""
    unknown = []
    for task in tasks:
        known = kept.read(task.path, task.key)
        if known is None:
            unknown.append(task)
        else:
            yield task, known
    running = {pool.submit(_measure, one, source.open_feed): one for one in unknown}
    for task, result in workers.finished(running):
        kept.write(task.path, task.key, result)
        yield task, result


def _measure(task: Task, open_feed: Callable[[Config], Feed]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sfm-stream-") as folder:
        result = contest.measure(task.config, open_feed, task.model, Path(folder), KEPT)
    if task.benchmark.measure == "mse":
        deviations = _deviations(task, open_feed(task.config))
        result["z_mse"] = z_mse(result, deviations)
    return result


def z_mse(result: Mapping[str, Any], deviations: Mapping[str, float]) -> float | None:
    """Give the mean squared error in z-scores, over targets and horizons.

    The result is None if a target and horizon has no error, or if a target never moved
    in the training rows.
    """
    targets = result.get("targets") or dict.fromkeys(deviations, result)
    errors = [
        (figures["mse"], deviations[target])
        for target, tree in targets.items()
        for figures in tree["horizons"].values()
    ]
    if any(mse is None or not deviation for mse, deviation in errors):
        return None
    return _mean([mse / deviation**2 for mse, deviation in errors])


def _deviations(task: Task, feed: Feed) -> dict[str, float]:
    """Give the population standard deviation of each target in the training rows."""
    train, rows = task.benchmark.train, np.empty((0, len(feed.fields)))
    for block in feed.blocks(train):
        rows = np.concatenate([rows, block.values[block.kind == TICK]])
        if len(rows) >= train:
            break
    places = [feed.fields.index(name) for name in task.config.target.values]
    deviations = np.std(rows[:train, places], axis=0)
    return dict(zip(task.config.target.values, deviations.tolist(), strict=True))
