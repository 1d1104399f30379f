"""The daemon's status, gathered from its parts at one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from msgspec.structs import asdict, replace

from sfm_stream import __version__
from sfm_stream.daemon.status import model
from sfm_stream.daemon.status.failures import Failures
from sfm_stream.daemon.status.latest import Latest
from sfm_stream.daemon.status.model import Outline, Vitals
from sfm_stream.running.rss import rss_mib
from sfm_stream.settings.units import SECOND
from sfm_stream.sinks import Status

if TYPE_CHECKING:
    from pathlib import Path

    from sfm_stream.daemon.stepper import Stepper
    from sfm_stream.daemon.worker import Worker
    from sfm_stream.feeds import Connection

US = 1e6
CATCHING_UP = "catching up"


class Heard(Protocol):
    """What a feed says of itself, open or not."""

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What became of frames and connections, by reason."""

    def status(self) -> Sequence[Connection]:
        """Give the state of each connection and topic."""


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


def outline(
    birth: Birth,
    state: str,
    feed: Heard,
    others: Sequence[Status] = (),
    held: Latest | None = None,
    failures: Failures | None = None,
    alarms: Sequence[str] = (),
) -> Outline:
    """Gather what a live process says of itself without its model.

    It belongs to the loop's thread, as the feed does.

    Args:
        birth: what never changes.
        state: of the process.
        feed: its feed.
        others: what takes records besides the worker's sinks.
        held: seconds that the loop was held for.
        failures: of parts besides the model.
        alarms: what else a person should look at; those that are empty are none.
    """
    feeds = tuple(feed.status())
    found = [alarm for alarm in alarms if alarm]
    found += [f"connection {one.label}: {one.alarm}" for one in feeds if one.alarm]
    found += failures.alarms() if failures else []
    return Outline(
        version=__version__,
        pid=os.getpid(),
        run=str(birth.run),
        state=state,
        since=birth.wall,
        uptime_s=time.monotonic() - birth.elapsed,
        feeds=feeds,
        waiting=feed.waiting,
        counters=dict(feed.counters),
        sinks=tuple(others),
        alarms=tuple(found),
        memory_mib=rss_mib(),
        held_us=_microseconds(held) if held else None,
        failures=dict(failures.counts) if failures else {},
    )


def complete(
    outlined: Outline,
    worker: Worker | None,
    judged: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Vitals:
    """Add what the model's side knows.

    It waits for the batch at work, so the loop asks a thread to do it.

    Args:
        outlined: what is known without it.
        worker: the model; None until it is recovered.
        judged: figures of streams, by name.
    """
    if worker is None:
        return _without_model(outlined)
    with worker.stepper.lock:
        return _with_model(outlined, worker, judged)


def _without_model(before: Outline) -> Vitals:
    """Say of a model that is not there yet that it has seen nothing."""
    return Vitals(
        **asdict(before),
        seq=0,
        recovered=0,
        ticks=0,
        rejected=0,
        gaps=0,
        streams={},
        lag_s=0.0,
        checkpoint=model.Checkpoint(0, 0.0, 0.0),
        journal=model.Journal(0),
        learning=False,
        finite=True,
        latency_us=None,
    )


def _with_model(
    before: Outline, worker: Worker, judged: Mapping[str, Mapping[str, Any]]
) -> Vitals:
    """Add what the model's side knows; the model stands still meanwhile."""
    stepper, saver = worker.stepper, worker.saver
    counts, saved = stepper.counts, saver.saved
    sinks, streams = worker.sinks(), _streams(stepper, judged)
    problems = (
        stepper.problem, saver.problem, worker.problem, worker.journal.problem,
        *worker.aside, *worker.lost,
    )  # fmt: skip
    late = before.state == model.LIVE and stepper.catching_up
    told = replace(
        before,
        state=CATCHING_UP if late else before.state,
        sinks=(*sinks, *before.sinks),
        alarms=(*_alarms(problems, streams, sinks), *before.alarms),
    )
    return Vitals(
        **asdict(told),
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
        learning=worker.engine.learning,
        finite=saver.finite,
        latency_us=_microseconds(stepper.latencies),
    )


def _streams(
    stepper: Stepper, judged: Mapping[str, Mapping[str, Any]]
) -> dict[str, model.Stream]:
    counts, now = stepper.counts, time.time_ns()
    shut = stepper.quarantine.shut(time.monotonic())
    return {
        name: model.Stream(
            ticks=counts.ticks[name],
            rejected=counts.rejected[name],
            age_s=max(now - received, 0) / SECOND,
            quarantined_s=shut.get(name),
            **judged.get(name, {}),
        )
        for name, received in counts.received.items()
    }


def _microseconds(latest: Latest) -> model.Percentiles | None:
    taken = latest.values() * US
    if not len(taken):
        return None
    p50, p99, p999, longest = np.percentile(taken, (50, 99, 99.9, 100)).tolist()
    return model.Percentiles(p50, p99, p999, longest, latest.count)


def _alarms(
    problems: Iterable[str],
    streams: dict[str, model.Stream],
    sinks: Iterable[Status],
) -> list[str]:
    """Say what a person should look at; what a client misses raises no alarm."""
    found = [problem for problem in problems if problem]
    found += [
        f"stream {name} is shut out for {stream.quarantined_s:.0f} s still"
        for name, stream in streams.items()
        if stream.quarantined_s is not None
    ]
    for sink in sinks:
        if sink.error:
            found.append(f"sink {sink.name}: {sink.error}")
        if sink.lost:
            found.append(f"sink {sink.name}: {sink.lost}")
        if sink.dropped:
            found.append(f"sink {sink.name}: {sink.dropped} records were lost")
    return found
