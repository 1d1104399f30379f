"""The daemon's status, gathered from its parts at one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from sfm_stream import __version__
from sfm_stream.daemon.status import model
from sfm_stream.daemon.status.model import Vitals
from sfm_stream.running.rss import rss_mib
from sfm_stream.sinks import Status

if TYPE_CHECKING:
    from pathlib import Path

    from sfm_stream.daemon.stepper import Stepper
    from sfm_stream.daemon.views.watcher import Watcher
    from sfm_stream.daemon.worker import Worker
    from sfm_stream.feeds import LiveFeed

SECOND = 10**9
US = 1e6
CATCHING_UP = "catching up"


@dataclass(frozen=True, slots=True)
class Birth:
    """What of a process never changes.

    Attributes:
        run: folder of its run.
        wall: when it started, ns.
        elapsed: the same, in seconds that never run backwards.
    """

    run: Path
    wall: int = field(default_factory=time.time_ns)
    elapsed: float = field(default_factory=time.monotonic)


def report(
    birth: Birth,
    state: str,
    feed: LiveFeed,
    worker: Worker | None,
    others: Sequence[Status] = (),
    watcher: Watcher | None = None,
) -> Vitals:
    """Gather what a live process says of itself.

    Args:
        birth: what never changes.
        state: of the process.
        feed: its feed.
        worker: its model; None until it is recovered.
        others: what takes records besides the worker's sinks.
        watcher: knows the figures of streams.
    """
    before = _before_recovery(birth, state, feed, tuple(others))
    if worker is None:
        return before
    with worker.stepper.lock:
        return _with_model(before, worker, watcher)


def _before_recovery(
    birth: Birth, state: str, feed: LiveFeed, sinks: tuple[Status, ...]
) -> Vitals:
    """Give what there is to say before the model is recovered."""
    return Vitals(
        version=__version__,
        pid=os.getpid(),
        run=str(birth.run),
        state=state,
        since=birth.wall,
        uptime_s=time.monotonic() - birth.elapsed,
        seq=0,
        recovered=0,
        ticks=0,
        rejected=0,
        gaps=0,
        streams={},
        feeds=tuple(feed.status()),
        waiting=feed.waiting,
        counters=dict(feed.counters),
        lag_s=0.0,
        checkpoint=model.Checkpoint(0, 0.0, 0.0),
        journal=model.Journal(0),
        sinks=sinks,
        learning=False,
        finite=True,
        alarms=(),
        latency_us=None,
        memory_mib=rss_mib(),
    )


def _with_model(before: Vitals, worker: Worker, watcher: Watcher | None) -> Vitals:
    """Add what the model's side knows; the model stands still meanwhile."""
    stepper, saver = worker.stepper, worker.saver
    counts, saved = stepper.counts, saver.saved
    sinks, streams = (*worker.sinks(), *before.sinks), _streams(stepper, watcher)
    problems = (stepper.problem, saver.problem, *worker.aside)
    late = before.state == model.LIVE and stepper.catching_up
    return replace(
        before,
        state=CATCHING_UP if late else before.state,
        seq=worker.engine.seq,
        recovered=worker.recovered,
        ticks=counts.ticks.total(),
        rejected=counts.rejected.total(),
        rejections={why: model.Refused(*one) for why, one in counts.reasons.items()},
        gaps=counts.gaps,
        streams=streams,
        lag_s=stepper.lag,
        checkpoint=model.Checkpoint(
            saved.seq,
            saver.age(),
            saved.seconds,
            saver.problem,
            saver.waited(),
            worker.aside,
        ),
        journal=model.Journal(
            worker.journal.position, not stepper.problem, stepper.problem
        ),
        sinks=sinks,
        learning=worker.engine.learning,
        finite=saver.finite,
        alarms=tuple(_alarms(problems, streams, sinks)),
        latency_us=_latency(stepper),
    )


def _streams(stepper: Stepper, watcher: Watcher | None) -> dict[str, model.Stream]:
    counts, now = stepper.counts, time.time_ns()
    shut = stepper.quarantine.shut(time.monotonic())
    judged = {} if watcher is None else watcher.judged()
    return {
        name: model.Stream(
            ticks=ticks,
            rejected=counts.rejected[name],
            age_s=max(now - counts.received[name], 0) / SECOND,
            quarantined_s=shut.get(name),
            **judged.get(name, {}),
        )
        for name, ticks in counts.ticks.items()
    }


def _latency(stepper: Stepper) -> model.Latency | None:
    taken = stepper.latencies() * US
    if not len(taken):
        return None
    p50, p99, longest = np.percentile(taken, (50, 99, 100)).tolist()
    return model.Latency(p50, p99, longest, stepper.measured)


def _alarms(
    problems: Iterable[str],
    streams: dict[str, model.Stream],
    sinks: Iterable[Status],
) -> list[str]:
    found = [problem for problem in problems if problem]
    found += [
        f"stream {name} is shut out for {stream.quarantined_s:.0f} s still"
        for name, stream in streams.items()
        if stream.quarantined_s is not None
    ]
    for sink in sinks:
        if sink.error:
            found.append(f"sink {sink.name}: {sink.error}")
        if sink.dropped:
            found.append(f"sink {sink.name}: {sink.dropped} records were lost")
    return found
