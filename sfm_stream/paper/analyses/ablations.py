"""Ablations of SFM: one part changed at a time, on every task and on two streams.

Offline, the slides' cell is trained on a task like any other model. Online, the engine
forecasts a stream with that cell and the last value alone: with least squares beside
it, the effect of the cell would hardly show.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfm_stream import config
from sfm_stream.errors import ConfigError
from sfm_stream.paper.analyses.variants import VARIANTS, Variant
from sfm_stream.paper.output import tables
from sfm_stream.paper.training import trials
from sfm_stream.paper.training.processes import Maker, train_ahead
from sfm_stream.paper.training.trials import Experiment, Order, Result
from sfm_stream.report.markdown import table
from sfm_stream.running import replay

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed
    from sfm_stream.paper.tasks.registry import Task

# The generated tones of the demo, and hourly water flow through a pipe: both are
# available on every machine.
STREAMS: Mapping[str, Mapping[str, Any]] = {
    "tones": {
        "feed": {"connector": "synthetic", "signal": "tones", "ticks": 20_000},
        "run": {"warmup": 0.1},
    },
    "water flow": {
        "feed": {"connector": "river", "dataset": "WaterFlow"},
        "target": {"values": ["y"]},
        "run": {"warmup": 0.2},
    },
}
EXPERTS = ("last", "sfm")
NOT_OFFERED = "-"
SKILL = "skill"


def carry_out(
    tasks: Mapping[str, tuple[Task, Maker]],
    open_feed: Callable[[Config], Feed],
    order: Order,
) -> dict[str, Any]:
    """Run every variant on the tasks, and those that the engine offers on the streams.

    Args:
        tasks: by name, the task and the function that makes its experiment.
        open_feed: opens the feed that a configuration names.
        order: the variants, named as in `VARIANTS`, the seeds, and the results folder.

    Returns:
        `variants`: by name, `parameters` by task, and `scores` by task and stream from
        `tables.spread`, null where the engine does not offer the variant. `text`, the
        table in Markdown. Both are written to `ablations.json` and `ablations.md`.

    Raises:
        ConfigError: for an unknown variant.
        SinkError: if results cannot be read or written.
        FeedError: if a stream cannot be read.
    """
    names = _named(order)
    makers = {place: partial(changed, make) for place, (_, make) in tasks.items()}
    train_ahead(makers.values(), order)
    found: dict[str, Any] = {n: {"parameters": {}, "scores": {}} for n in names}
    for place, (task, _) in tasks.items():
        results = trials.carry_out(makers[place](), order)
        for name, figures in tables.fold(results).items():
            found[name]["parameters"][place] = figures["parameters"]
            found[name]["scores"][place] = figures["scores"][task.score]
    for place in STREAMS:
        for name in names:
            found[name]["scores"][place] = _streamed(place, name, open_feed, order)
    columns = {
        **{name: f"{name}, {task.score}" for name, (task, _) in tasks.items()},
        **{name: f"{name}, {SKILL}" for name in STREAMS},
    }
    text = _table(found, columns)
    tables.keep("ablations", {"variants": found}, text, order.out)
    return {"variants": found, "text": text}


def _named(order: Order) -> list[str]:
    for name in order.models:
        if name not in VARIANTS:
            problem = f"expected some of {', '.join(VARIANTS)}, was {name!r}"
            raise ConfigError("--variants", problem)
    return list(order.models or VARIANTS)


def changed(make: Maker) -> Experiment:
    """Make a task with the variants as models, trained as SFM or A-SFM.

    Args:
        make: makes the experiment of the task.
    """
    experiment, contenders = make(), {}
    for name, variant in VARIANTS.items():
        plain = experiment.contenders[variant.name]
        contenders[name] = plain._replace(build=partial(variant.build, plain.build))
    return experiment._replace(
        name=f"{experiment.name}-ablations", contenders=contenders
    )


def _streamed(
    place: str, name: str, open_feed: Callable[[Config], Feed], order: Order
) -> dict[str, Any] | None:
    """Give the skill of a variant one tick ahead on a stream, over the seeds."""
    variant = VARIANTS[name]
    if variant.online is None:
        return None
    return tables.spread(
        [
            _forecast(place, name, _settings(place, variant, seed), open_feed, order)
            for seed in order.seeds
        ]
    )


def _settings(place: str, variant: Variant, seed: int) -> Config:
    stream = STREAMS[place]
    return config.from_tree(
        {
            **stream,
            "model": dict(variant.online or {}),
            "forecast": {"experts": EXPERTS},
            "run": {**stream["run"], "seed": seed},
        }
    )


def _forecast(
    place: str,
    name: str,
    settings: Config,
    open_feed: Callable[[Config], Feed],
    order: Order,
) -> float:
    """Replay a stream and give the skill, or read it from an earlier result."""
    seed = settings.run.seed

    def make() -> Result:
        with tempfile.TemporaryDirectory() as folder:
            summary = replay.replay(settings, open_feed(settings), Path(folder) / "run")
        skill = summary["horizons"]["1"][SKILL]
        order.watch.say(f"{place}: {name}, seed {seed}: skill {skill:.4f}")
        return {SKILL: skill}

    path = trials.place(place.replace(" ", "-"), name, seed, order.out)
    known = {"model": name, "settings": config.to_tree(settings)}
    return float(trials.once(path, known, make)[SKILL])


def _table(found: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    rows = []
    for name, variant in found.items():
        scores = variant["scores"]
        shown = [
            NOT_OFFERED if scores[place] is None else tables.shown(scores[place])
            for place in columns
        ]
        rows.append([name, *shown])
    return table(["variant", *columns.values()], rows)
