"""Combines the status of several daemons into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from msgspec.structs import replace

from sfm_stream.daemon.http.client import Answer, ask
from sfm_stream.daemon.status.model import (
    Checkpoint,
    Journal,
    Percentiles,
    Refused,
    State,
    Stream,
    Vitals,
)
from sfm_stream.errors import AddressError

STATES: Sequence[str] = (
    State.STOPPED, State.STARTING, State.COMPILING, State.RECOVERING, State.STOPPING,
    State.CATCHING_UP, State.LIVE,
)  # fmt: skip
"""From the worst to the best: the whole has the state of its worst part."""

Answers: TypeAlias = Mapping[str, Answer | AddressError]


def ask_all(urls: Sequence[str]) -> dict[str, Answer | AddressError]:
    """Ask several daemons at once; give each answer, or the error in its place.

    Args:
        urls: addresses of the daemons.
    """
    with ThreadPoolExecutor(len(urls)) as threads:
        return dict(zip(urls, threads.map(_ask, urls), strict=True))


def _ask(url: str) -> Answer | AddressError:
    try:
        return ask(url)
    except AddressError as error:
        return error


def whole(answers: Answers) -> Answer:
    """Combine the status of several daemons: sums of counts, the worst of durations.

    The status of a single daemon is not changed.

    Args:
        answers: answers by address, as `ask_all` gives them.

    Raises:
        AddressError: if no daemon answers.
    """
    found = {url: one for url, one in answers.items() if isinstance(one, Answer)}
    absent = [one for one in answers.values() if isinstance(one, AddressError)]
    if not found:
        raise absent[0]
    if len(answers) == 1:
        return next(iter(found.values()))
    parts = [one.vitals for one in found.values()]
    twice = [name for name, count in _counted(parts).items() if count > 1]
    alarms = [f"stream {name} is at home in several shards" for name in twice]
    alarms += [f"{url}: {a}" for url, one in found.items() for a in one.vitals.alarms]
    reasons = [f"{url}: {r}" for url, one in found.items() for r in one.reasons]
    vitals = replace(_joined(parts), alarms=tuple(alarms))
    if absent:
        vitals = replace(vitals, state=STATES[0])
    return Answer(vitals, [*map(str, absent), *reasons])


def _counted(parts: Sequence[Vitals]) -> Counter[str]:
    return Counter(name for one in parts for name in one.streams)


def _joined(parts: Sequence[Vitals]) -> Vitals:
    return Vitals(
        version=", ".join(dict.fromkeys(one.version for one in parts)),
        pid=0,
        run=", ".join(one.run for one in parts),
        state=min((one.state for one in parts), key=STATES.index),
        since=min(one.since for one in parts),
        uptime_s=min(one.uptime_s for one in parts),
        seq=sum(one.seq for one in parts),
        recovered=sum(one.recovered for one in parts),
        ticks=sum(one.ticks for one in parts),
        rejected=sum(one.rejected for one in parts),
        gaps=sum(one.gaps for one in parts),
        streams=_streams(parts),
        feeds=tuple(feed for one in parts for feed in one.feeds),
        waiting=sum(one.waiting for one in parts),
        counters=dict(sum((Counter(one.counters) for one in parts), Counter())),
        lag_s=max(one.lag_s for one in parts),
        checkpoint=_checkpoint([one.checkpoint for one in parts]),
        journal=Journal(
            sum(one.journal.position for one in parts),
            all(one.journal.journalled for one in parts),
            _problems(one.journal.problem for one in parts),
        ),
        sinks=tuple(sink for one in parts for sink in one.sinks),
        learning=all(one.learning for one in parts),
        finite=all(one.finite for one in parts),
        alarms=(),
        latency_us=_slowest([one.latency_us for one in parts]),
        memory_mib=sum(one.memory_mib for one in parts),
        rejections=_rejections(parts),
        held_us=_slowest([one.held_us for one in parts]),
        failures=dict(sum((Counter(one.failures) for one in parts), Counter())),
    )


def _streams(parts: Sequence[Vitals]) -> dict[str, Stream]:
    """Give all streams; for a stream of two shards, the status with more ticks."""
    found: dict[str, Stream] = {}
    for one in parts:
        for name, stream in one.streams.items():
            if name not in found or stream.ticks > found[name].ticks:
                found[name] = stream
    return found


def _checkpoint(saved: Sequence[Checkpoint]) -> Checkpoint:
    return Checkpoint(
        seq=sum(one.seq for one in saved),
        age_s=max(one.age_s for one in saved),
        seconds=max(one.seconds for one in saved),
        problem=_problems(one.problem for one in saved),
        waited_s=max(one.waited_s for one in saved),
        set_aside=tuple(why for one in saved for why in one.set_aside),
    )


def _problems(told: Iterable[str]) -> str:
    return "; ".join(problem for problem in told if problem)


def _slowest(parts: Sequence[Percentiles | None]) -> Percentiles | None:
    """Give the largest value of each percentile: no shard was slower."""
    found = [one for one in parts if one is not None]
    if not found:
        return None
    return Percentiles(
        p50=max(one.p50 for one in found),
        p99=max(one.p99 for one in found),
        p999=max(one.p999 for one in found),
        max=max(one.max for one in found),
        count=sum(one.count for one in found),
    )


def _rejections(parts: Sequence[Vitals]) -> dict[str, Refused]:
    found: dict[str, Refused] = {}
    for one in parts:
        for why, more in one.rejections.items():
            before = found.get(why, Refused(0, more.first))
            found[why] = Refused(before.count + more.count, before.first)
    return found
