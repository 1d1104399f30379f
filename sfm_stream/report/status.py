"""Shows the status of a live process as tables on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sfm_stream.daemon.status.model import LIVE, state_of
from sfm_stream.report.terminal import counted, number

if TYPE_CHECKING:
    from sfm_stream.daemon.http.client import Answer
    from sfm_stream.daemon.status.model import Stream, Vitals
    from sfm_stream.feeds import Connection
    from sfm_stream.sinks import Status

SHOWN_STREAMS = 30
SHOWN_HAPPENINGS = 12


@contextmanager
def watching() -> Iterator[Callable[[Answer], None]]:
    """Give a function that shows a live process's answer, in place on a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield lambda answer: _print(answer, console)
        return
    with Live(console=console, auto_refresh=False) as place:
        yield lambda answer: place.update(
            Group(*_tables(answer.vitals), *_lines(answer)), refresh=True
        )


def _print(answer: Answer, console: Console) -> None:
    """Print the tables in the console's width, and each line as a whole."""
    console.print(*_tables(answer.vitals), sep="")
    for line in _lines(answer):
        console.print(line, soft_wrap=True)


def _tables(vitals: Vitals) -> list[Table]:
    feeds = _connections(vitals.feeds), _happened(vitals.feeds)
    return [
        _process(vitals), _streams(vitals.streams), *feeds, _sinks(vitals.sinks)
    ]  # fmt: skip


def _lines(answer: Answer) -> list[Text]:
    """Give the alarms, and why the daemon is not ready."""
    readiness = [f"not ready: {reason}" for reason in answer.reasons] or ["ready"]
    alarms = [f"alarm: {alarm}" for alarm in answer.vitals.alarms]
    return [Text(line) for line in (*alarms, *readiness)]


def _process(vitals: Vitals) -> Table:
    saved, journal = vitals.checkpoint, vitals.journal
    process = f", process {vitals.pid}" if vitals.pid else ""
    told = {
        "run": f"{vitals.run}, version {vitals.version}{process}",
        "state": f"{state_of(vitals)}, up {vitals.uptime_s:,.0f} s",
        "events": f"{vitals.seq:,}, of them {vitals.recovered:,} recovered",
        "ticks": f"{vitals.ticks:,}, {vitals.rejected:,} rejected",
        **{
            f"rejected: {why}": f"{one.count:,}, first {one.first}"
            for why, one in vitals.rejections.items()
        },
        "gaps": f"{vitals.gaps:,}",
        "of the feeds": counted(vitals.counters),
        "waiting": f"{vitals.waiting:,}, {vitals.lag_s:.3g} s behind",
        "checkpoint": f"at {saved.seq:,}, {saved.age_s:,.0f} s ago {saved.problem}",
        "journal": f"{journal.position:,} {journal.problem}",
        "learning": "yes" if vitals.learning else "no",
        "memory": f"{vitals.memory_mib:,.0f} MiB",
    }
    if (latency := vitals.latency_us) is not None:
        told["latency, us"] = _percentiles(
            p50=latency.p50, p99=latency.p99, max=latency.max
        )
    if (held := vitals.held_us) is not None:
        told["loop held, us"] = _percentiles(p99=held.p99, p999=held.p999, max=held.max)
    table = Table("daemon", "")
    for name, value in told.items():
        table.add_row(name, Text(value.strip()))
    return table


def _percentiles(**microseconds: float) -> str:
    return ", ".join(f"{name} {value:,.0f}" for name, value in microseconds.items())


def _streams(streams: Mapping[str, Stream]) -> Table:
    table = Table("stream")
    for name in ("ticks", "rejected", "tick, s ago", "shut out, s"):
        table.add_column(name, justify="right")
    for name, stream in list(streams.items())[:SHOWN_STREAMS]:
        ages = number(stream.age_s), number(stream.quarantined_s)
        table.add_row(Text(name), f"{stream.ticks:,}", f"{stream.rejected:,}", *ages)
    if len(streams) > SHOWN_STREAMS:
        table.add_row(f"and {len(streams) - SHOWN_STREAMS:,} more")
    return table


def _connections(connections: Iterable[Connection]) -> Table:
    """Show connections, those without live data first."""
    table = Table()
    table.add_column("connection", overflow="fold")
    for name in ("state", "for, s", "data, s ago"):
        table.add_column(name, no_wrap=True)
    table.add_column("last end", overflow="fold")
    for one in sorted(connections, key=lambda c: c.state == LIVE and not c.alarm):
        ages = number(one.seconds), number(one.age)
        table.add_row(Text(one.label), one.state, *ages, Text(one.reason))
    return table


def _happened(connections: Iterable[Connection]) -> Table:
    """Show the latest incidents of connections, the newest first."""
    table = Table()
    table.add_column("time, UTC", no_wrap=True)
    table.add_column("connection", overflow="fold")
    table.add_column("what happened")
    happened = [
        (one, connection.label)
        for connection in connections
        for one in connection.happened
    ]
    happened.sort(key=lambda pair: pair[0].time, reverse=True)
    for one, label in happened[:SHOWN_HAPPENINGS]:
        when = datetime.fromtimestamp(one.time / 1e9, UTC)
        detail = one.detail
        if not detail.startswith(one.kind):  # "closed: 1002" already has its kind
            detail = f"{one.kind}: {detail}" if detail else one.kind
        table.add_row(f"{when:%m-%d %H:%M:%S}", Text(label), Text(detail))
    return table


def _sinks(sinks: Iterable[Status]) -> Table:
    table = Table("sink", "kind")
    for name in ("queued", "spilled", "dropped", "written"):
        table.add_column(name, justify="right")
    table.add_column("trouble")
    for sink in sinks:
        counts = (sink.queued, sink.spilled, sink.dropped, sink.written)
        shown = (f"{count:,}" for count in counts)
        table.add_row(Text(sink.name), Text(sink.kind), *shown, Text(sink.error))
    return table
