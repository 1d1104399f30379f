"""The daemon's status as plain data, and what makes it not ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sfm_stream.feeds import Connection
from sfm_stream.settings import Daemon
from sfm_stream.sinks import Status

LIVE, COMPILING = "live", "compiling"
AT_WORK = (LIVE, "catching up")
MEANING = {COMPILING: "(the kernels, about a minute, once)"}
"""What a state says to those who never met it."""
HELD = ("subscribing", "stale")
"""States of a connection that stands and brings nothing."""
BLOCKED_S = 10.0
"""Seconds a sink may take over one thing before that is a trouble."""
LONGEST = 60
"""Multiple of `daemon.checkpoint_every` after which a checkpoint is due."""
GRACE_S = 10.0
"""Seconds a checkpoint may be late, besides a period of its own."""


class Stream(msgspec.Struct, frozen=True):
    """One stream.

    Attributes:
        ticks: that came since the start.
        rejected: of them, by the engine or because the stream is shut out.
        age_s: seconds since the latest one. While none came since the start, since the
            time of the last one before, or since the start if there was none. Or None.
        quarantined_s: seconds it is shut out still, or None if it is not.
        scored: forecasts of the first target and horizon that were compared with the
            truth since the start.
        skill: of them, 1 - MSE / MSE of the last value; None before there are enough.
        coverage: share of their truths inside the interval, or None.
    """

    ticks: int
    rejected: int
    age_s: float | None
    quarantined_s: float | None = None
    scored: int = 0
    skill: float | None = None
    coverage: float | None = None


class Refused(msgspec.Struct, frozen=True):
    """Ticks that were rejected for one reason.

    Attributes:
        count: of them.
        first: stream, event and field of the first one, in words; of a stream that is
            shut out, the stream alone.
    """

    count: int
    first: str


class Checkpoint(msgspec.Struct, frozen=True):
    """The latest checkpoint.

    Attributes:
        seq: events it is taken after.
        age_s: seconds since it was taken.
        seconds: how long it took until it was on disk.
        problem: why the latest try failed, or empty.
        waited_s: seconds that the oldest unsaved event has waited, or 0.
        set_aside: those that did not belong to the journal at the start, and why.
    """

    seq: int
    age_s: float
    seconds: float
    problem: str = ""
    waited_s: float = 0.0
    set_aside: tuple[str, ...] = ()


class Journal(msgspec.Struct, frozen=True):
    """The event log.

    Attributes:
        position: events it holds.
        journalled: whether events still go into it.
        problem: why they do not, or empty.
    """

    position: int
    journalled: bool = True
    problem: str = ""


class Percentiles(msgspec.Struct, frozen=True):
    """How long the latest of something took, microseconds.

    Attributes:
        p50: median.
        p99: 99th percentile.
        p999: 99.9th percentile.
        max: the longest of them.
        count: how many were measured since the start.
    """

    p50: float
    p99: float
    p999: float
    max: float
    count: int


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """How a live process is at one moment, its model apart.

    Attributes:
        version: of this project.
        pid: of the process.
        run: folder of its run.
        state: `starting`, `compiling` (the kernels, about a minute, once),
            `recovering`, `live`, `catching up`, `stopping` or `stopped`.
        since: when it started, ns.
        uptime_s: seconds since then.
        feeds: connections of all feeds.
        waiting: events that wait to be taken.
        counters: what became of frames, ticks and connections of all feeds, by reason.
        sinks: what takes records, clients of the websocket as one of them.
        alarms: what a person should know, newest last.
        memory_mib: resident memory.
        held_us: how much later than asked for the loop came back, or None at first.
        failures: how often parts besides the model failed since the start.
    """

    version: str
    pid: int
    run: str
    state: str
    since: int
    uptime_s: float
    feeds: tuple[Connection, ...]
    waiting: int
    counters: dict[str, int]
    sinks: tuple[Status, ...]
    alarms: tuple[str, ...]
    memory_mib: float
    held_us: Percentiles | None = None
    failures: dict[str, int] = {}


class Vitals(Outline, frozen=True, kw_only=True):
    """How a live process is at one moment.

    Attributes:
        seq: events the engine has seen, over all starts.
        recovered: events of the journal replayed at the start.
        ticks: that came since the start.
        rejected: of them, by the engine or because their stream is shut out.
        gaps: losses the feeds told of since the start.
        streams: by name.
        lag_s: age of the oldest event of the latest batch, seconds; 0 while none waits.
        checkpoint: the latest one.
        journal: the event log.
        learning: whether the weights may change.
        finite: whether all of the state is finite.
        latency_us: from receipt of a tick until its records were delivered, or None
            before the first one.
        rejections: the rejected ticks, by reason.
    """

    seq: int
    recovered: int
    ticks: int
    rejected: int
    gaps: int
    streams: dict[str, Stream]
    lag_s: float
    checkpoint: Checkpoint
    journal: Journal
    learning: bool
    finite: bool
    latency_us: Percentiles | None
    rejections: dict[str, Refused] = {}


def unready(vitals: Vitals, settings: Daemon) -> list[str]:
    """Say why no one should rely on its forecasts now; nothing if one may.

    Raises:
        ConfigError: if a duration of the settings is none.
    """
    return list(_reasons(vitals, settings))


def state_of(vitals: Vitals) -> str:
    """Name the state, and say what it means where its name does not."""
    meaning = MEANING.get(vitals.state, "")
    return f"{vitals.state} {meaning}".strip()


def _reasons(vitals: Vitals, settings: Daemon) -> Iterator[str]:
    if vitals.state not in AT_WORK:
        yield f"state: expected {' or '.join(AT_WORK)}, was {state_of(vitals)}"
    if not any(map(_brings_data, vitals.feeds)):
        yield f"feeds: expected a live connection, was none of {len(vitals.feeds)}"
    most = settings.ready_lag.seconds
    if vitals.lag_s > most:
        yield f"lag: expected at most {most:.3g} s, was {vitals.lag_s:.3g} s"
    yield from _about_disk(vitals, settings)
    if not vitals.finite:
        yield "model: expected finite numbers, was non-finite"
    for sink in vitals.sinks:
        if sink.error:
            yield f"sink {sink.name}: {sink.error}"
        elif sink.blocked_s > BLOCKED_S:
            yield f"sink {sink.name}: has been writing for {sink.blocked_s:.3g} s"


def told(
    vitals: Vitals, settings: Daemon, latencies: Mapping[str, Any]
) -> dict[str, Any]:
    """Say how a process is, for people who look: without its streams, with limits.

    Args:
        vitals: of now.
        settings: that the limits come from.
        latencies: how often each came.
    """
    tree: dict[str, Any] = {
        name: getattr(vitals, name)
        for name in vitals.__struct_fields__
        if name != "streams"
    }
    limits = {
        "lag_s": settings.ready_lag.seconds,
        "catch_up_s": settings.catch_up_after.seconds,
        "checkpoint_s": LONGEST * settings.checkpoint_every.seconds + GRACE_S,
        "sink_s": BLOCKED_S,
    }
    return {
        **tree,
        "count": len(vitals.streams),
        "unready": unready(vitals, settings),
        "limits": limits,
        "latencies": latencies,
    }


def _brings_data(one: Connection) -> bool:
    """Say whether a connection is live, or silent no longer than it usually is."""
    if one.alarm:
        return False
    if one.state not in HELD or one.age is None or one.usual is None:
        return one.state == LIVE
    return one.age <= one.usual


def _about_disk(vitals: Vitals, settings: Daemon) -> Iterator[str]:
    """Say why a crash would cost more than it should."""
    saved = vitals.checkpoint
    period = settings.checkpoint_every.seconds
    most = (2 if saved.problem else LONGEST) * period + GRACE_S
    # a feed that was silent has nothing to save: what counts is how long events wait
    if saved.waited_s > most:
        why = f": {saved.problem}" if saved.problem else ""
        waited = f"expected within {most:.3g} s, was {saved.waited_s:.3g} s"
        yield f"checkpoint: {waited}{why}"
    if vitals.journal.problem or not vitals.journal.journalled:
        yield f"journal: {vitals.journal.problem or 'events are not journalled'}"
