"""What a person sees: progress and tables, on standard error."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from sfm_stream import sinks
from sfm_stream.errors import SHOWN, FeedError, listed
from sfm_stream.running import judgement
from sfm_stream.running.replay import Watch
from sfm_stream.storage import run_folder

SHOWN_FREQUENCIES, SHOWN_STREAMS = 3, 6
CONSTANT = 1e-12
"""Radians per tick below which a frequency is none."""


class _Pace(ProgressColumn):
    """How many per second lately; nothing while it is less than one."""

    def render(self, task: Task) -> Text:
        """Give the pace, or nothing before it is known."""
        speed = task.speed or 0.0
        return Text(f"{speed:,.0f}/s" if speed >= 1 else "")


@contextmanager
def watch(total: int | None, counted: str = "events") -> Iterator[Watch]:
    """Tell a person how a run gets on; the bar is for terminals only.

    Args:
        total: how many there are, if known.
        counted: what of.
    """
    console, say = people()
    if not sys.stderr.isatty():
        yield Watch(say)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Pace(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(counted, total=total)
        yield Watch(say, lambda done: bar.update(task, completed=done))


def people() -> tuple[Console, Callable[[str], None]]:
    """Give the console that people read, and how a line is put there."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)

    def say(line: str) -> None:
        console.print(f"sfm-stream: {line}", markup=False)

    return console, say


@contextmanager
def showing(folder: Path) -> Iterator[None]:
    """Show a run's tables when it ended, also by an error of its feed.

    Args:
        folder: of the run.
    """
    try:
        yield
    except FeedError:
        if (folder / run_folder.SUMMARY).exists():
            show_run(folder)
        raise
    show_run(folder)


def show_run(folder: Path) -> None:
    """Show a run's summary: scores, experts, and the strongest frequencies."""
    console = Console(stderr=True, highlight=False)
    summary = msgspec.json.decode((folder / run_folder.SUMMARY).read_bytes())
    targets = summary.get("targets", {"": summary})
    for target, scored in list(targets.items())[:SHOWN]:
        console.print(_scores(target, scored["horizons"]))
    if len(targets) > SHOWN:
        console.print(f"and {len(targets) - SHOWN:,} more targets, in summary.json")
    console.print(_weights(summary["experts"]))
    amplitudes = _strongest(folder)
    if amplitudes:
        console.print(_frequencies(amplitudes))
    console.print(
        f"{summary['ticks']:,} ticks in {summary['seconds']:.2f} s, "
        f"{summary['ticks_per_s']:,.0f}/s; {summary['rejected']:,} rejected; "
        f"peak memory {summary['peak_rss_mib']:.0f} MiB"
    )
    console.print(_chosen(summary), markup=False, soft_wrap=True)
    for line in periods(summary):
        console.print(line, markup=False, soft_wrap=True)
    show_remarks(summary["remarks"])
    if any(one["scored"] for one in summary["horizons"].values()):
        console.print(
            f"look at it: sfm-stream report {folder}", markup=False, soft_wrap=True
        )
    show_account(summary["account"])
    console.print(f"run: {folder}", markup=False, soft_wrap=True)


def _chosen(summary: Mapping[str, Any]) -> str:
    """Name what was forecast, and from which fields."""
    return f"target {listed(summary['target'])}; fields {listed(summary['fields'])}"


def periods(summary: Mapping[str, Any]) -> list[str]:
    """Say how targets repeat, and in which streams, each in a sentence.

    Args:
        summary: of a run; those of earlier versions know no periods.
    """
    told = []
    for target, found in summary.get("period", {}).items():
        streams: dict[int, list[str]] = {}
        for stream, ticks in found.items():
            streams.setdefault(ticks, []).append(stream)
        for ticks, names in streams.items():
            where = f" in {listed(names, SHOWN_STREAMS)}" if len(found) > 1 else ""
            told.append(f"{target} repeats every {ticks:,} ticks{where}")
    return told[:SHOWN]


def show_remarks(remarks: Iterable[str]) -> None:
    """Show why there are no figures where there are none.

    Args:
        remarks: as `judgement.remarks` gives them.
    """
    console = Console(stderr=True, highlight=False)
    for line in remarks:
        console.print(Text(line), style="bold", soft_wrap=True)


def show_account(found: Mapping[str, Any]) -> None:
    """Show what was not taken, loudest first; nothing if all is well.

    Args:
        found: as `judgement.account` gives it.
    """
    console = Console(stderr=True, highlight=False)
    for i, line in enumerate(judgement.lines(found)):
        style = "bold red" if i == 0 and judgement.is_loud(found) else None
        console.print(Text(line), style=style, soft_wrap=True)


def show_bench(found: Mapping[str, Any]) -> None:
    """Show what was measured."""
    table = Table("measured", "value")
    for name, value in found.items():
        parts = value if isinstance(value, Mapping) else {"": value}
        for part, number in parts.items():
            shown = f"{number:,.2f}" if isinstance(number, float) else str(number)
            table.add_row(f"{name} {part}".strip(), shown)
    Console(stderr=True, highlight=False).print(table)


def show_comparison(models: Mapping[str, Mapping[str, Any]]) -> None:
    """Show models side by side, a table per horizon and one of their pace."""
    console = Console(stderr=True, highlight=False)
    labels = {"mse": "MSE", "mae": "MAE",
              "block_median": "block median", "block_q10": "block 10 %",
              "winkler": "Winkler", "crps": "CRPS",
              "naive_mae": "MAE of the last value"}  # fmt: skip
    for horizon, figures in next(iter(models.values()))["horizons"].items():
        rows = {name: found["horizons"][horizon] for name, found in models.items()}
        columns = {name: labels.get(name, name) for name in figures}
        console.print(_side_by_side(f"{horizon} ahead", columns, rows))
    pace = {"ticks_per_s": "ticks/s", "p50_us": "us/tick, p50",
            "p99_us": "us/tick, p99", "peak_rss_mib": "peak MiB"}  # fmt: skip
    console.print(_side_by_side("pace", pace, models))


def show_table(
    head: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Show rows under names.

    Args:
        head: of the first columns, which are texts.
        numbers: of the others, which are numbers.
        rows: texts of all columns.
    """
    table = Table(*head)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(stderr=True, highlight=False).print(table)


def _side_by_side(
    title: str, columns: Mapping[str, str], rows: Mapping[str, Mapping[str, Any]]
) -> Table:
    table = Table("model", title=title, title_justify="left")
    for name in columns.values():
        table.add_column(name, justify="right")
    for model, figures in rows.items():
        table.add_row(model, *(number(figures[name]) for name in columns))
    return table


def show_feeds(files: Iterable[str], venues: Mapping[str, Mapping[str, Any]]) -> None:
    """Show what there is to read: on standard output, as it is what was asked for."""
    table = Table("connector", "channel", "fields")
    for name in files:
        table.add_row(name, "", "as in the file")
    for name, channels in venues.items():
        if not channels:
            table.add_row(name, "", "as configured")
        for channel, fields in channels.items():
            table.add_row(name, channel, ", ".join(fields))
    Console(highlight=False).print(table)


def show_options(name: str, keys: Iterable[tuple[str, str, str]]) -> None:
    """Show the options of a connector, on standard output.

    Args:
        name: of the connector.
        keys: name, default and description of each.
    """
    table = Table("key", "default", "what it is", title=name, title_justify="left")
    for key, default, text in keys:
        table.add_row(key, "" if default == "null" else Text(default), Text(text))
    Console(highlight=False).print(table)


def show_live(statuses: Iterable[Any], counters: Mapping[str, int]) -> None:
    """Show how a live feed fared: its connections, its topics, and what it counted.

    Args:
        statuses: one per connection, as the feed gives them.
        counters: what became of frames and connections.
    """
    console = Console(stderr=True, highlight=False)
    table = Table("connection", "topic", "state", "data, s ago")
    for status in statuses:
        table.add_row(status.label, "", status.reason, number(status.age))
        for topic, (state, age) in status.topics.items():
            table.add_row("", topic, state, number(age))
    console.print(table)
    console.print(counted(counters), markup=False)


def counted(counters: Mapping[str, int]) -> str:
    """Write counters in a line, by their names."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counters.items()))


def _scores(target: str, horizons: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title=target or None, title_justify="left")
    figures = {"mse": "MSE", "mae": "MAE", "skill": "skill",
               "skill_median": "median stream", "skill_worst": "worst stream",
               "coverage": "coverage", "winkler": "Winkler",
               "crps": "CRPS"}  # fmt: skip
    there = [name for name in figures if any(name in h for h in horizons.values())]
    for name in ("horizon", "scored", *(figures[name] for name in there)):
        table.add_column(name, justify="right")
    for horizon, scores in horizons.items():
        shown = (number(scores[name]) for name in there)
        table.add_row(horizon, f"{scores['scored']:,}", *shown)
    return table


def _weights(experts: Mapping[str, float | None]) -> Table:
    table = Table("expert", "mean weight")
    for name, weight in experts.items():
        table.add_row(name, number(weight))
    return table


def _frequencies(strongest: Iterable[tuple[float, float]]) -> Table:
    table = Table("period, ticks", "mean amplitude")
    for omega, amplitude in strongest:
        period = f"{math.tau / omega:.1f}" if omega > CONSTANT else "constant"
        table.add_row(period, number(amplitude))
    return table


def number(value: float | None) -> str:
    """Write a number to four digits, and `-` where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def _strongest(folder: Path) -> list[tuple[float, float]]:
    """Give frequency and mean amplitude of the last forecasts, strongest first."""
    run = run_folder.load(folder)
    last = None
    for part in sinks.read(run.records, "forecasts"):
        last = part
    if last is None or "amplitude" not in last.columns:
        return []
    stated = last["amplitude"].drop_nulls().to_numpy()
    means = stated.mean(0).tolist() if len(stated) else []
    pairs = zip(run.info["frequencies"], means, strict=False)
    return sorted(pairs, key=lambda p: p[1], reverse=True)[:SHOWN_FREQUENCIES]
