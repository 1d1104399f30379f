"""Measures a model on a feed's ticks: errors, pace and memory.

All models get the same ticks by the same rules: score, forecast, learn. The figures
come from the scores that each model wrote to disk.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sfm_stream import sinks
from sfm_stream.engine import Engine
from sfm_stream.errors import SinkError, listed
from sfm_stream.evaluate import results, workers
from sfm_stream.evaluate.pace.one_by_one import (
    NS_PER_US,
    each_tick_us,
    percentiles,
)
from sfm_stream.evaluate.peers import registry
from sfm_stream.evaluate.peers.scaling import Task
from sfm_stream.evaluate.referee import Referee, run_peers
from sfm_stream.records import Records
from sfm_stream.running import judgement, loops, metrics, precompile, room
from sfm_stream.running.rss import peak_rss_mib
from sfm_stream.state import inputs, layout, targets
from sfm_stream.storage import run_folder

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.evaluate.referee import Labels, Peer, Seen
    from sfm_stream.events import Block, Floats
    from sfm_stream.feeds import Feed
    from sfm_stream.running.metrics import Summary
    from sfm_stream.sinks import ParquetSink

LIVE = 5_000
"""Events that the engine takes one by one to time a tick."""
BLOCKS, STRETCHES = 20, 50
SQUARED = ("mse", "naive_mse")
KEPT = ("forecasts", "scores", "voided", "rejected")
REFERENCE = ("naive_mse",)
"""Metrics of the last value; skill already contains them."""
FIGURES = (
    *(name for name in metrics.COMPARED if name not in REFERENCE),
    "skill", "block_median", "block_q10",
)  # fmt: skip
"""The figures of a model, beside its pace."""
NS_PER_S = 1e9
Taken: TypeAlias = tuple[Mapping[str, int], int]
"""Ticks per stream, and the number of all events."""


def measure(
    config: Config,
    open_feed: Callable[[Config], Feed],
    model: str,
    folder: Path,
    kinds: Sequence[str],
) -> dict[str, Any]:
    """Run one model over all ticks of a feed.

    Args:
        config: settings of the ticks and the target; also of the model, if it is ours.
        open_feed: opens the feed that the settings name.
        model: name of the model.
        folder: for the records of the model.
        kinds: kinds of records to keep, for our engine; a peer keeps scores and
            rejected or voided records.

    Returns:
        `horizons`, each with `FIGURES`; for several targets their mean, and each target
        under `targets`; `ticks_per_s`, `p50_us`, `p99_us`, `peak_rss_mib`; `account` of
        the events that were not accepted; `remarks`, the reasons for absent figures;
        `stretches`, the squared errors in order of time.

    Raises:
        FeedError: if the feed cannot be read further.
        SinkError: if records cannot be written.
    """
    feed = open_feed(config)
    sink = sinks.ParquetSink(folder, {"experts": config.forecast.experts})
    if model in registry.ENGINES:
        settings = registry.ENGINES[model](config)
        taken, pace = _engine(settings, feed, sink, kinds)
        # from a second feed, so that the account of the first covers one whole reading
        pace = {**pace, **_live(settings, open_feed(config))}
    else:
        taken, pace = _peers(config, feed, sink, registry.PEERS[model])
    sink.close()
    ticks, events = taken
    first = metrics.first_scored(config.run.warmup, ticks)
    figures = _fold(folder, first)
    return {
        **figures,
        **pace,
        "peak_rss_mib": peak_rss_mib(),
        "account": judgement.of_run(folder, feed, config, sum(ticks.values()), events),
        "remarks": judgement.remarks(folder, config, feed.fields, ticks, figures),
        "stretches": _stretches(folder, first),
    }


def measure_all(
    config: Config,
    open_feed: Callable[[Config], Feed],
    names: Sequence[str],
    folder: Path,
    *,
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run models over all ticks of a feed, each in its own process.

    Args:
        config: settings of the ticks, the target and our model.
        open_feed: opens the feed that the settings name.
        names: of the models.
        folder: for the records; each model gets a folder with its name.
        jobs: number of processes that run at the same time.
        say: receives a message when a model is done.

    Returns:
        `{"models": {name: figures}}`, with the figures of `measure`; `account`, the
        same for all models; and `remarks`, each once.

    Raises:
        ConfigError: if a model is unknown or cannot do the task.
        SinkError: if the folder already holds a comparison or other files.
        FeedError, SinkError: as `measure` raises them.
        InvalidState: if a process was ended from outside.
    """
    registry.check(names)
    _expect_room(folder, names)
    found: dict[str, Any] = {}
    with workers.processes(jobs) as pool:
        running = {
            pool.submit(measure, config, open_feed, name, folder / name, KEPT): name
            for name in names
        }
        for name, figures in workers.finished(running):
            found[name] = figures
            say(f"{name} is through")
    accounts = {name: found[name].pop("account") for name in names}
    remarks = dict.fromkeys(r for name in names for r in found[name].pop("remarks"))
    for name in names:
        del found[name]["stretches"]  # the report reads the records instead
    models = {name: found[name] for name in names}
    account = accounts[names[0]]
    return {"models": models, "account": account, "remarks": list(remarks)}


def _expect_room(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder that holds a comparison or other files."""
    there = [one for one in (results.NAME, *names) if (folder / one).exists()]
    if there:
        problem = f"holds a comparison already: {listed(there)}"
        raise SinkError(str(folder), problem, "name another folder with --out")
    run_folder.expect_free(folder, ())


def _engine(
    settings: Config, feed: Feed, sink: ParquetSink, kinds: Sequence[str]
) -> tuple[Taken, dict[str, float]]:
    """Run our engine over the feed; give the ticks taken and the pace."""
    room.expect(settings, feed.fields)
    precompile.call(settings, feed.fields)
    engine = _Clocked(settings, feed.fields)
    blocks = feed.blocks(settings.run.block)
    loops.run_blocks(
        blocks, engine, lambda records: sink.write(_only(records, kinds)), lambda: None
    )
    pace = sum(engine.ticks.values()) / engine.seconds
    return (engine.ticks, engine.seq), {"ticks_per_s": pace}


def _peers(
    config: Config, feed: Feed, sink: ParquetSink, create: Callable[[Task], Peer]
) -> tuple[Taken, dict[str, float]]:
    """Run peers over the feed, one per stream and target."""
    referee = Referee(config, feed.fields)
    settings = registry.ENGINES["sfm"](config)
    ours = layout.lay_out(settings, inputs.plan(settings, feed.fields))
    clock = _Clock(len(referee.targets))

    def born(stream: int, target: int) -> Peer:
        del stream
        task = Task(
            target=target,
            values=len(referee.values),
            ahead=targets.horizon_table(config)[:, 0],
            wait=targets.longest_wait(config),
            weights=ours.sizes.weights,
            config=config,
        )
        return clock.timed(create(task), target)

    def write(scores: Records) -> None:
        sink.write(scores)
        sink.write(referee.left_out)

    run_peers(feed.blocks(config.run.block), referee, born, write)
    ticks = referee.ticks
    spent = sum(clock.ns) / NS_PER_S
    pace = sum(ticks.values()) / spent if spent else math.nan
    figures = {"ticks_per_s": pace, **percentiles([ns / NS_PER_US for ns in clock.ns])}
    return (ticks, referee.seq), figures


class _Clock:
    """Times the calls of peers, tick by tick: first labels, then forecasts of targets.

    Attributes:
        ns: time spent on each tick.
    """

    def __init__(self, targets: int) -> None:
        self.ns: list[int] = []
        self._targets, self._spent = targets, 0

    def timed(self, peer: Peer, target: int) -> Peer:
        """Wrap a peer so that this clock times its calls."""
        return _TimedPeer(peer, self, is_last=target == self._targets - 1)

    def spend(self, ns: int, *, ends_tick: bool) -> None:
        """Add time spent to the current tick."""
        self._spent += ns
        if ends_tick:
            self.ns.append(self._spent)
            self._spent = 0


class _TimedPeer:
    """A peer whose calls a clock times."""

    def __init__(self, peer: Peer, clock: _Clock, *, is_last: bool) -> None:
        self._peer, self._clock, self._is_last = peer, clock, is_last

    def forecast(self, seen: Seen) -> Floats:
        """Time a forecast; the forecast of the last target ends the tick."""
        begun = time.perf_counter_ns()
        means = self._peer.forecast(seen)
        spent = time.perf_counter_ns() - begun
        self._clock.spend(spent, ends_tick=self._is_last)
        return means

    def learn(self, labels: Labels) -> None:
        """Time the learning from labels."""
        begun = time.perf_counter_ns()
        self._peer.learn(labels)
        self._clock.spend(time.perf_counter_ns() - begun, ends_tick=False)


class _Clocked(Engine):
    """An engine that times its blocks.

    Attributes:
        seconds: time spent on all blocks.
    """

    def __init__(self, settings: Config, fields: Sequence[str]) -> None:
        super().__init__(settings, fields)
        self.seconds = 0.0

    def run(self, block: Block) -> Records:
        """Observe and learn every event of a block, and add the time it took."""
        begun = time.perf_counter()
        records = super().run(block)
        self.seconds += time.perf_counter() - begun
        return records


def _only(records: Records, kinds: Sequence[str]) -> Records:
    return Records({kind: records.columns[kind] for kind in kinds}, records.tables)


def _live(settings: Config, feed: Feed) -> dict[str, float]:
    """Time the first ticks one by one, as a live feed brings them."""
    engine = Engine(settings, feed.fields)
    return percentiles(each_tick_us(engine, next(feed.blocks(LIVE)).events()))


def _fold(folder: Path, first: Mapping[str, int]) -> dict[str, Any]:
    """Reduce scores to figures per horizon; for several targets also per target."""
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
    if len(targets) > 1:
        return {**_plain(metrics.mean_over(targets)), "targets": each}
    return next(iter(each.values()), {"horizons": {}})


def _stretches(folder: Path, first: Mapping[str, int]) -> dict[str, list[float]]:
    """Give squared errors of the model and of the last value, over equal stretches.

    Each target and horizon has the same weight: its errors are divided by the total
    squared error of the last value. So 1 - sum(ours) / sum(theirs) is the mean of the
    skills. A target and horizon with a square too large for a float is left out.
    """
    sums = np.zeros((2, STRETCHES))
    for horizons in metrics.blocks(folder, first, STRETCHES).values():
        for parts in horizons.values():
            errors = np.array(
                [[metrics.total(one, name) for one in parts] for name in SQUARED]
            )
            total = errors[1].sum()
            if total > 0 and np.isfinite(errors).all():
                sums += errors / total
    ours, theirs = sums.tolist()
    return {"ours": ours, "theirs": theirs}


def _plain(horizons: Mapping[str, Summary]) -> dict[str, Any]:
    names = (*FIGURES, *metrics.OVER_STREAMS)
    return {"horizons": {h: {name: figures[name] for name in names if name in figures}
                         for h, figures in horizons.items()}}  # fmt: skip


def _spread(stretches: Sequence[Summary]) -> Summary:
    """Give the median and the 10 % quantile of skill over stretches of time."""
    skills = [s["skill"] for s in stretches if s["skill"] is not None]
    if not skills:
        return {"block_median": None, "block_q10": None}
    median, q10 = np.quantile(np.array(skills, np.float64), [0.5, 0.1])
    return {"block_median": float(median), "block_q10": float(q10)}
