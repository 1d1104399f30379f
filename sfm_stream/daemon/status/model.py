"""The daemon's status as plain data, and the reasons why it is not ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from sfm_stream.feeds import Connection
from sfm_stream.settings import Daemon
from sfm_stream.sinks import Status


class State(StrEnum):
    """The states of a live process, in the order of its life."""

    STARTING = "starting"
    COMPILING = "compiling"
    RECOVERING = "recovering"
    LIVE = "live"
    CATCHING_UP = "catching up"
    STOPPING = "stopping"
    STOPPED = "stopped"


NOT_YET_LIVE = (State.STARTING, State.COMPILING, State.RECOVERING)
AT_WORK = (State.LIVE, State.CATCHING_UP)
MEANING: Mapping[str, str] = {State.COMPILING: "(the kernels, about a minute, once)"}
"""Explanations of states whose names do not explain themselves."""
LIVE = "live"
"""State of a connection that brings data."""
HELD = ("subscribing", "stale")
"""States of a connection that is open but brings no data."""
BLOCKED_S = 10.0
"""Most seconds of a sink's call before the process is not ready."""
LONGEST = 60
"""A checkpoint is due after `daemon.checkpoint_every` times this."""
GRACE_S = 10.0
"""Seconds that a checkpoint may be late."""


class Stream(msgspec.Struct, frozen=True):
    """The status of a stream.

    Attributes:
        ticks: number of ticks since the start.
        rejected: number of rejected ticks among them, by the engine or because the
            stream is shut out.
        age_s: seconds since the latest tick. Without a tick since the start: seconds
            since the time of the last one before, or else since the start. Or None.
        quarantined_s: seconds left in quarantine, or None.
        scored: number of scored forecasts of the first target and horizon since the
            start.
        skill: their skill, 1 - MSE / MSE of the last value; None before there are
            enough.
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
        count: number of ticks.
        first: stream, event and field of the first one, as text; only the stream, if
            it is shut out.
    """

    count: int
    first: str


class Checkpoint(msgspec.Struct, frozen=True):
    """The latest checkpoint.

    Attributes:
        seq: number of events before it.
        age_s: seconds since it was taken.
        seconds: time until it was on disk.
        problem: why the latest attempt failed, or empty.
        waited_s: seconds that the oldest unsaved event has waited, or 0.
        set_aside: messages about checkpoints that did not belong to the journal at the
            start.
    """

    seq: int
    age_s: float
    seconds: float
    problem: str = ""
    waited_s: float = 0.0
    set_aside: tuple[str, ...] = ()


class Journal(msgspec.Struct, frozen=True):
    """The status of the journal.

    Attributes:
        position: number of events in it.
        journalled: whether new events are written to it.
        problem: why they are not, or empty.
    """

    position: int
    journalled: bool = True
    problem: str = ""


class Percentiles(msgspec.Struct, frozen=True):
    """Percentiles of the latest times, microseconds.

    Attributes:
        p50: median.
        p99: 99th percentile.
        p999: 99.9th percentile.
        max: longest of the latest times.
        count: number of times measured since the start.
    """

    p50: float
    p99: float
    p999: float
    max: float
    count: int


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a live process, without its model.

    Attributes:
        version: version of this project.
        pid: id of the process; 0 if this is the status of several.
        run: folder of its run.
        state: `starting`, `compiling` (the kernels, about a minute, once),
            `recovering`, `live`, `catching up`, `stopping` or `stopped`.
        since: time of the start, ns.
        uptime_s: seconds since the start.
        feeds: connections of all feeds.
        waiting: number of events that wait to be taken.
        counters: numbers of frames, ticks and connections of all feeds, by outcome.
        sinks: states of the sinks; the clients of the websocket are one of them.
        alarms: messages that need a person's attention.
        memory_mib: resident memory.
        held_us: delays of the loop beyond requested pauses, or None at first.
        failures: failures of parts other than the model since the start, by part.
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
    """The status of a live process.

    Attributes:
        seq: number of events the engine has seen, over all starts.
        recovered: number of events replayed from the journal at the start.
        ticks: number of ticks since the start.
        rejected: number of rejected ticks among them, by the engine or because their
            stream is shut out.
        gaps: number of gaps reported by the feeds since the start.
        streams: streams by name.
        lag_s: age of the oldest event of the latest batch, seconds; 0 while none waits.
        checkpoint: the latest checkpoint.
        journal: the journal.
        learning: whether the weights may change.
        finite: whether all weights in the latest checkpoint are finite.
        latency_us: from receipt of a tick until its records were delivered, or None
            before the first tick.
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
    """List the reasons why the process is not ready; empty if it is ready."""
    return list(_reasons(vitals, settings))


def state_of(vitals: Vitals) -> str:
    """Name the state, with an explanation if the name needs one."""
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
    """Give the status for the page: without the streams, with limits.

    Args:
        vitals: the present status.
        settings: settings with the limits.
        latencies: histogram of the latencies.
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
    """Say whether a connection is live, or silent no longer than usual."""
    if one.alarm:
        return False
    if one.state not in HELD or one.age is None or one.usual is None:
        return one.state == LIVE
    return one.age <= one.usual


def _about_disk(vitals: Vitals, settings: Daemon) -> Iterator[str]:
    """Give the reasons why a crash would lose more than it should."""
    saved = vitals.checkpoint
    period = settings.checkpoint_every.seconds
    most = (2 if saved.problem else LONGEST) * period + GRACE_S
    # a silent feed has nothing to save: what counts is how long events wait
    if saved.waited_s > most:
        why = f": {saved.problem}" if saved.problem else ""
        waited = f"expected within {most:.3g} s, was {saved.waited_s:.3g} s"
        yield f"checkpoint: {waited}{why}"
    if vitals.journal.problem or not vitals.journal.journalled:
        yield f"journal: {vitals.journal.problem or 'events are not journalled'}"
