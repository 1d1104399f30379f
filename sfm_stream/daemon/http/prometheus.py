"""The daemon's metrics for Prometheus.

Gauges and counters are made from the status and the watcher's figures at each request.
Only times and updates are counted as they happen.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sfm_stream.daemon.status.model import LIVE, State, Stream, Vitals
from sfm_stream.feeds import Connection
from sfm_stream.sinks import Status

if TYPE_CHECKING:
    from sfm_stream.daemon.views.watcher import Watcher
    from sfm_stream.events import Floats
    from sfm_stream.records import Records

BUCKETS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0)
"""Upper bounds of the buckets, seconds."""
MOST_SERIES = 1_000
"""Most streams, and most series of scores, so that the page stays small."""
TAKEN = "taken"
BYTES_PER_MIB = 2**20
PREFIX = "sfm_stream_"

Key: TypeAlias = tuple[str, ...]
Family: TypeAlias = type[GaugeMetricFamily] | type[CounterMetricFamily]


@dataclass(frozen=True, slots=True)
class Figure:
    """The definition of a metric.

    Attributes:
        name: name after `sfm_stream_`; of a counter without `_total`.
        description: description of the metric.
        value: reads the value from an object.
        family: gauge, or counter for a value that only rises.
    """

    name: str
    description: str
    value: Callable[[Any], float]
    family: Family = GaugeMetricFamily


COUNTER = CounterMetricFamily
OF_PROCESS = (
    Figure("uptime_seconds", "seconds since the start", lambda v: v.uptime_s),
    Figure(
        "events",
        "events the engine has seen, over all starts",
        lambda v: v.seq,
        COUNTER,
    ),
    Figure("recovered_events", "events replayed at the start", lambda v: v.recovered),
    Figure("gaps", "losses of data that feeds reported", lambda v: v.gaps, COUNTER),
    Figure("waiting_events", "events that wait for the model", lambda v: v.waiting),
    Figure(
        "lag_seconds", "age of the oldest event in the last batch", lambda v: v.lag_s
    ),
    Figure(
        "checkpoint_age_seconds",
        "age of the latest checkpoint",
        lambda v: v.checkpoint.age_s,
    ),
    Figure(
        "checkpoint_seconds",
        "time the latest checkpoint took",
        lambda v: v.checkpoint.seconds,
    ),
    Figure(
        "checkpoint_events",
        "events the latest checkpoint covers",
        lambda v: v.checkpoint.seq,
    ),
    Figure("journal_events", "events in the journal", lambda v: v.journal.position),
    Figure(
        "journalled", "1 while events are journalled", lambda v: v.journal.journalled
    ),
    Figure("learning", "1 while the weights may change", lambda v: v.learning),
    Figure("finite", "1 while the saved weights are finite", lambda v: v.finite),
    Figure("alarms", "alarms that are up", lambda v: len(v.alarms)),
    Figure("memory_bytes", "resident memory", lambda v: v.memory_mib * BYTES_PER_MIB),
)
OF_STREAM = (
    Figure("ticks", "ticks received", lambda s: s.ticks, COUNTER),
    Figure("rejected", "ticks that were not taken", lambda s: s.rejected, COUNTER),
    Figure(
        "stream_age_seconds",
        "since the latest tick; before one since the start, by the time of the last",
        lambda s: math.nan if s.age_s is None else s.age_s,
    ),
    Figure(
        "quarantined",
        "1 while the stream is shut out",
        lambda s: s.quarantined_s is not None,
    ),
)
OF_CONNECTION = (
    Figure("connection_live", "1 while it brings data", lambda c: c.state == LIVE),
    Figure(
        "connection_state_seconds", "time in the present state", lambda c: c.seconds
    ),
)
OF_SINK = (
    Figure("sink_queued_rows", "rows that wait in memory", lambda s: s.queued),
    Figure("sink_spilled_rows", "rows that wait on disk", lambda s: s.spilled),
    Figure("sink_dropped_rows", "rows lost", lambda s: s.dropped, COUNTER),
    Figure(
        "sink_written_rows",
        "rows written",
        lambda s: s.written,
        COUNTER,
    ),
    Figure(
        "sink_blocked_seconds",
        "how long the present write has lasted",
        lambda s: s.blocked_s,
    ),
    Figure("sink_failing", "1 while writes fail", lambda s: bool(s.error)),
)
OF_ERRORS = (
    Figure("scores", "forecasts compared with the truth", lambda e: e.scored, COUNTER),
    Figure(
        "scores_left_out",
        "scores in no figure, as a value is a million times the usual size",
        lambda e: e.absurd,
        COUNTER,
    ),
    Figure(
        "absolute_error",
        "sum of absolute errors, in the target's units",
        lambda e: e.absolute,
        COUNTER,
    ),
    Figure(
        "skill",
        "1 - MSE / MSE of the last value; NaN before 100 scores",
        lambda e: e.skill,
    ),
    Figure(
        "coverage",
        "share of truths inside the interval; NaN before 100 scores",
        lambda e: e.coverage,
    ),
)


class Errors(NamedTuple):
    """Sums over the scores of one stream, target and horizon, since the start."""

    scored: int
    absurd: int
    absolute: float
    skill: float
    coverage: float


class Spread:
    """A histogram of values.

    The library's histogram takes a lock per value, which is slow at each tick.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._total = 0.0

    def add(self, values: Iterable[float]) -> None:
        """Add values, seconds."""
        counts = self._counts
        for value in values:
            counts[bisect_left(BUCKETS, value)] += 1
            self._total += value

    def counts(self) -> list[float]:
        """Give the number of values in each bucket; the last one has no upper bound."""
        return list(self._counts)

    def family(self, name: str, description: str) -> Metric:
        """Give the metric."""
        bounds = [*map(str, BUCKETS), "+Inf"]
        cumulated = accumulate(list(self._counts))
        buckets = list(zip(bounds, map(float, cumulated), strict=True))
        return HistogramMetricFamily(
            PREFIX + name, description, buckets=buckets, sum_value=self._total
        )


class _Once(Collector):
    """Wraps given metrics as a collector of the library."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class Meters:
    """Metrics of one process, without a shared registry.

    One batch is processed at a time, so `observe_*` needs no lock.

    Args:
        most_series: most streams, and most series of scores.

    Attributes:
        watcher: holds the figures of the forecasts; None before recovery is done.
    """

    def __init__(self, *, most_series: int = MOST_SERIES) -> None:
        self._most = most_series
        self.watcher: Watcher | None = None
        self._updates: Counter[str] = Counter({TAKEN: 0})
        self._latency, self._step, self._held = Spread(), Spread(), Spread()

    def metrics(self, vitals: Vitals) -> Iterator[Metric]:
        """Give all metrics of a process.

        Only the loop's thread may call this, because the watcher belongs to it; any
        thread may read the result.
        """
        return self._metrics(vitals, *self._judged())

    def _metrics(
        self, vitals: Vitals, errors: Mapping[Key, Errors], untold: int
    ) -> Iterator[Metric]:
        yield from _families(OF_PROCESS, (), {(): vitals})
        yield _family(
            Figure("state", "1 for the one it is in", float), ("state",),
            {(state,): state == vitals.state for state in State},
        )  # fmt: skip
        yield _info(vitals.version)
        yield from _families(OF_STREAM, ("stream",), self._listed(vitals.streams))
        yield from _families(OF_CONNECTION, ("connection",), _by_label(vitals.feeds))
        yield _family(
            Figure("frames", "of a connection, by what became of them", float, COUNTER),
            ("connection", "reason"), _by_reason(vitals.feeds),
        )  # fmt: skip
        yield _family(
            Figure("feed_events", "of all feeds, by what they were", float, COUNTER),
            ("reason",), {(reason,): n for reason, n in vitals.counters.items()},
        )  # fmt: skip
        yield _family(
            Figure("rejections", "rejected ticks, by reason", float, COUNTER),
            ("reason",), {(why,): one.count for why, one in vitals.rejections.items()},
        )  # fmt: skip
        yield _family(
            Figure("failures", "of parts besides the model", float, COUNTER),
            ("part",), {(part,): n for part, n in vitals.failures.items()},
        )  # fmt: skip
        yield from _families(OF_SINK, ("sink", "kind"), _by_name(vitals.sinks))
        yield from _families(OF_ERRORS, ("stream", "target", "horizon"), errors)
        outcomes: dict[Key, int] = {
            (name,): count for name, count in dict(self._updates).items()
        }
        yield _family(
            Figure("updates", "steps of the optimiser", float, COUNTER),
            ("outcome",), outcomes,
        )  # fmt: skip
        unlisted = untold + max(len(vitals.streams) - self._most, 0)
        yield _family(
            Figure("unlisted", "series and streams too many to tell apart", float),
            (), {(): unlisted},
        )  # fmt: skip
        yield self._latency.family(
            "latency_seconds", "from receipt of a tick until its records were delivered"
        )
        yield self._step.family("step_seconds", "a batch of events took")
        yield self._held.family(
            "loop_held_seconds", "how much later than asked for the loop came back"
        )

    def observe_latencies(self, seconds: Floats) -> None:
        """Add latencies, seconds [T]."""
        self._latency.add(seconds.tolist())

    def observe_step(self, seconds: float) -> None:
        """Add the time of a batch of events, seconds."""
        self._step.add((seconds,))

    def observe_held(self, seconds: float) -> None:
        """Add a delay of the loop beyond a requested pause, seconds."""
        self._held.add((seconds,))

    def observe_records(self, records: Records) -> None:
        """Count the updates in records."""
        if records.count("updates"):
            texts = records.tables["updates.skipped"]
            codes = records.columns["updates"]["skipped"].tolist()
            self._updates.update(texts[code] or TAKEN for code in codes)

    def latencies(self) -> dict[str, list[float]]:
        """Give the upper bounds of the latencies' buckets, s, and the counts."""
        return {"bounds": list(BUCKETS), "counts": self._latency.counts()}

    def _judged(self) -> tuple[dict[Key, Errors], int]:
        """Give the figures of the first scored series, and the number left out."""
        watcher = self.watcher
        if watcher is None:
            return {}, 0
        figures, shape = watcher.figures, watcher.shape
        sums = figures.since_start("absolute")
        skill, coverage = figures.skill(), figures.coverage()
        rows, horizons = np.nonzero(figures.scored)
        found: dict[Key, Errors] = {}
        for row, q in zip(rows[: self._most].tolist(), horizons.tolist(), strict=False):
            stream, target = divmod(row, len(shape.targets))
            key = watcher.streams[stream], shape.targets[target], shape.horizons[q]
            at = row, q
            found[key] = Errors(
                figures.scored[at], figures.absurd[at], sums[at], skill[at],
                coverage[at],
            )  # fmt: skip
        return found, len(rows) - len(found)

    def _listed(self, streams: Mapping[str, Stream]) -> dict[Key, Stream]:
        """Give the first streams, at most `most_series`."""
        pairs = zip(range(self._most), streams.items(), strict=False)
        return {(name,): stream for _, (name, stream) in pairs}


def _by_label(connections: Iterable[Connection]) -> dict[Key, Connection]:
    return {(connection.label,): connection for connection in connections}


def _by_reason(connections: Iterable[Connection]) -> dict[Key, int]:
    return {
        (connection.label, reason): count
        for connection in connections
        for reason, count in connection.counters.items()
    }


def _by_name(sinks: Iterable[Status]) -> dict[Key, Status]:
    return {(sink.name, sink.kind): sink for sink in sinks}


def _families(
    figures: Iterable[Figure], labels: Key, things: Mapping[Key, object]
) -> Iterator[Metric]:
    """Yield each metric of all objects, with their labels."""
    for figure in figures:
        yield _family(figure, labels, things)


def _family(figure: Figure, labels: Key, things: Mapping[Key, Any]) -> Metric:
    family = figure.family(PREFIX + figure.name, figure.description, labels=labels)
    for key, thing in things.items():
        family.add_metric(key, float(figure.value(thing)))
    return family


def _info(version: str) -> Metric:
    one = Figure("build_info", "of which version it is", float)
    return _family(one, ("version",), {(version,): 1})


def page(metrics: Iterable[Metric], accept: str = "") -> tuple[bytes, str]:
    """Give metrics as text, and its content type.

    Args:
        metrics: metrics of a process.
        accept: accepted content types, as in the HTTP header.

    Raises:
        ValueError: if `accept` is invalid.
    """
    try:
        encode, kind = choose_encoder(accept)
    except (TypeError, ValueError) as e:
        raise ValueError(f"expected content types, was {accept!r}") from e
    registry = CollectorRegistry()
    registry.register(_Once(metrics))
    return encode(registry), kind
