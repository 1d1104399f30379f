"""Gathers the daemon's status from its parts at one moment."""

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


class Heard(Protocol):
    """The status of a feed, open or not."""

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Numbers of frames and connections, by outcome."""

    def status(self) -> Sequence[Connection]:
        """Give the state of each connection and topic."""


@dataclass(frozen=True, slots=True)
class Birth:
    """The run and the start of a process.

    Attributes:
        run: folder of its run.
        wall: time of the start, ns.
        elapsed: the same, in seconds of a monotonic clock.
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
    """Gather the status of a live process, without its model.

    Only the loop's thread may call this, because the feed belongs to it.

    Args:
        birth: run and start of the process.
        state: state of the process.
        feed: its feed.
        others: states of further sinks, besides the worker's.
        held: delays of the loop, seconds.
        failures: failures of parts other than the model.
        alarms: further alarms; empty texts are left out.
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
    """Add the status of the model.

    It waits for the running batch, so the loop calls it in a thread.

    Args:
        outlined: the status without the model.
        worker: the worker; None until the model is recovered.
        judged: figures of the streams, by name.
    """
    if worker is None:
        return _without_model(outlined)
    with worker.stepper.lock:
        return _with_model(outlined, worker, judged)


def _without_model(before: Outline) -> Vitals:
    """Add the status of a model that is not recovered yet."""
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
    """Add the status of the model, while its lock is held."""
    stepper, saver = worker.stepper, worker.saver
    counts, saved = stepper.counts, saver.saved
    sinks, streams = worker.sinks(), _streams(stepper, judged)
    problems = (
        stepper.problem, saver.problem, worker.problem, worker.journal.problem,
        *worker.aside, *worker.lost,
    )  # fmt: skip
    late = before.state == model.State.LIVE and stepper.catching_up
    told = replace(
        before,
        state=model.State.CATCHING_UP if late else before.state,
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
    """List the alarms of the model's side; dropped lines of clients are not alarms."""
    found = [problem for problem in problems if problem]
    found += [
        f"stream {name} is shut out for {stream.quarantined_s:.0f} more seconds"
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
