"""Shows progress and tables in the terminal, mostly on standard error."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.cells import cell_len
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
from sfm_stream.errors import SHOWN, FeedError, amount, listed
from sfm_stream.report import charts
from sfm_stream.running import judgement, metrics
from sfm_stream.running.replay import Watch
from sfm_stream.storage import run_folder

SHOWN_FREQUENCIES, SHOWN_STREAMS = 3, 6
WIDEST = 10_000
"""Columns assumed where the output is no terminal and `COLUMNS` is not set."""
BESIDE = 3
"""Characters of a column beside its texts: a space on each side and a border."""


class _Pace(ProgressColumn):
    """The recent number of items per second; empty below 1."""

    def render(self, task: Task) -> Text:
        """Give the pace, or an empty text before it is known."""
        speed = task.speed or 0.0
        return Text(f"{speed:,.0f}/s" if speed >= 1 else "")


@contextmanager
def watch(total: int | None, counted: str = "events") -> Iterator[Watch]:
    """Show the progress of a run; the bar appears only on terminals.

    Args:
        total: number of items, if known.
        counted: name of the items.
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
    """Give the console on standard error, and a function that prints a line to it."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)

    def say(line: str) -> None:
        console.print(f"sfm-stream: {line}", markup=False)

    return console, say


@contextmanager
def showing(folder: Path) -> Iterator[None]:
    """Show a run's tables when it ends, also after an error of its feed.

    Args:
        folder: of the run.
    """
    try:
        yield
    except FeedError:
        if (folder / run_folder.SUMMARY).exists() and _summary(folder)["ticks"]:
            show_run(folder)
        raise
    show_run(folder)


def show_run(folder: Path) -> None:
    """Show a run's summary: scores, experts, and the strongest frequencies."""
    console = Console(stderr=True, highlight=False)
    summary = _summary(folder)
    if summary["ticks"]:
        _show_figures(folder, summary)
    show_remarks(summary["remarks"])
    if any(one["scored"] for one in summary["horizons"].values()):
        console.print(
            f"look at it: sfm-stream report {folder}", markup=False, soft_wrap=True
        )
    show_account(summary["account"])
    console.print(f"run: {folder}", markup=False, soft_wrap=True)


def _summary(folder: Path) -> dict[str, Any]:
    content = (folder / run_folder.SUMMARY).read_bytes()
    return msgspec.json.decode(content, type=dict[str, Any])


def _show_figures(folder: Path, summary: Mapping[str, Any]) -> None:
    console = Console(stderr=True, highlight=False)
    targets = summary.get("targets", {"": summary})
    for target, scored in list(targets.items())[:SHOWN]:
        _show_scores(target, scored["horizons"])
    if len(targets) > SHOWN:
        console.print(f"and {len(targets) - SHOWN:,} more targets, in summary.json")
    weights = [(name, number(one)) for name, one in summary["experts"].items()]
    show_table(["expert"], ["mean weight"], weights)
    amplitudes = _strongest(folder)
    if amplitudes:
        _show_frequencies(amplitudes)
    console.print(
        f"{amount(summary['ticks'], 'tick')} in {summary['seconds']:.2f} s, "
        f"{summary['ticks_per_s']:,.0f}/s; {summary['rejected']:,} rejected; "
        f"peak memory {summary['peak_rss_mib']:.0f} MiB"
    )
    console.print(_chosen(summary), markup=False, soft_wrap=True)
    for line in periods(summary):
        console.print(line, markup=False, soft_wrap=True)


def _chosen(summary: Mapping[str, Any]) -> str:
    """Name the targets and the fields of a run."""
    return f"target {listed(summary['target'])}; fields {listed(summary['fields'])}"


def periods(summary: Mapping[str, Any]) -> list[str]:
    """Write a sentence for each period of a target, with its streams.

    Args:
        summary: of a run; summaries of earlier versions have no periods.
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
    """Show the reasons for absent figures.

    Args:
        remarks: from `judgement.remarks`.
    """
    console = Console(stderr=True, highlight=False)
    for line in remarks:
        console.print(Text(line), style="bold", soft_wrap=True)


def show_account(found: Mapping[str, Any]) -> None:
    """Show the account of lost events, its first line in red if many are lost.

    Args:
        found: from `judgement.account`.
    """
    console = Console(stderr=True, highlight=False)
    for i, line in enumerate(judgement.lines(found)):
        style = "bold red" if i == 0 and judgement.is_loud(found) else None
        console.print(Text(line), style=style, soft_wrap=True)


def show_bench(found: Mapping[str, Any]) -> None:
    """Show the figures of a benchmark."""
    rows = []
    for name, value in found.items():
        parts = value if isinstance(value, Mapping) else {"": value}
        for part, number in parts.items():
            shown = f"{number:,.2f}" if isinstance(number, float) else str(number)
            rows.append((f"{name} {part}".strip(), shown))
    show_table(["measured"], ["value"], rows)


def show_comparison(models: Mapping[str, Mapping[str, Any]]) -> None:
    """Show models side by side: a table per horizon, and one for the pace."""
    labels = {"mse": "MSE", "mae": "MAE",
              "block_median": "block median", "block_q10": "block 10 %",
              "winkler": "Winkler", "crps": "CRPS",
              "naive_mae": "MAE of the last value",
              **metrics.OVER_STREAMS}  # fmt: skip
    for horizon, figures in next(iter(models.values()))["horizons"].items():
        rows = {name: found["horizons"][horizon] for name, found in models.items()}
        columns = {name: labels.get(name, name) for name in figures}
        _side_by_side(f"{horizon} ahead", columns, rows)
    pace = {"ticks_per_s": "ticks/s", "p50_us": "us/tick, p50",
            "p99_us": "us/tick, p99", "peak_rss_mib": "peak MiB"}  # fmt: skip
    _side_by_side("pace", pace, models)


def show_table(
    head: Sequence[str],
    numbers: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
) -> None:
    """Show a table without cutting off any number.

    Columns that do not fit a terminal, or `COLUMNS` characters, follow in further
    tables below. Without both, one table has all columns.

    Args:
        head: names of the first columns, which hold texts.
        numbers: names of the other columns, which hold numbers.
        rows: texts of all columns.
        title: of the table.
    """
    console, rows = Console(stderr=True, highlight=False), list(rows)
    if not (console.is_terminal or os.environ.get("COLUMNS", "").isdecimal()):
        console.width = WIDEST
    first = len(head)
    columns = list(zip(*rows, strict=True)) or [()] * (first + len(numbers))
    widths = [
        _width(name, cells)
        for name, cells in zip((*head, *numbers), columns, strict=True)
    ]
    room = console.width - 1 - sum(widths[:first])
    for part in _fitting(widths[first:], room):
        table = Table(*head, title=title or None, title_justify="left")
        for name, width in zip(numbers[part], widths[first:][part], strict=True):
            least = width - BESIDE
            table.add_column(name, justify="right", no_wrap=True, min_width=least)
        for row in rows:
            table.add_row(*map(Text, (*row[:first], *row[first:][part])))
        console.print(table, crop=False)


def _width(name: str, cells: Iterable[str]) -> int:
    """Give the least width of a column in characters, with its border."""
    return max(map(cell_len, (*cells, name))) + BESIDE


def _fitting(widths: Sequence[int], room: int) -> Iterator[slice]:
    """Divide columns into runs that fit side by side, each of at least one column."""
    begin = used = 0
    for i, width in enumerate(widths):
        if used + width > room and i > begin:
            yield slice(begin, i)
            begin, used = i, 0
        used += width
    yield slice(begin, len(widths))


def _side_by_side(
    title: str, columns: Mapping[str, str], rows: Mapping[str, Mapping[str, Any]]
) -> None:
    shown = (
        [model, *(number(figures[name]) for name in columns)]
        for model, figures in rows.items()
    )
    show_table(["model"], list(columns.values()), shown, title)


def show_feeds(files: Iterable[str], venues: Mapping[str, Mapping[str, Any]]) -> None:
    """Show connectors, channels and fields, on standard output as the result."""
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
    """Show the connections, topics and counters of a live feed.

    Args:
        statuses: one per connection, from the feed.
        counters: counts of frames and connections by outcome.
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
    """Write counters in a line, sorted by name."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counters.items()))


def _show_scores(target: str, horizons: Mapping[str, Mapping[str, Any]]) -> None:
    figures = {"mse": "MSE", "mae": "MAE", "skill": "skill",
               **metrics.OVER_STREAMS,
               "coverage": "coverage", "winkler": "Winkler",
               "crps": "CRPS"}  # fmt: skip
    there = [name for name in figures if any(name in h for h in horizons.values())]
    rows = [
        [horizon, f"{scores['scored']:,}", *(number(scores[name]) for name in there)]
        for horizon, scores in horizons.items()
    ]
    show_table(
        ["horizon"], ["scored", *(figures[name] for name in there)], rows, target
    )


def _show_frequencies(strongest: Iterable[tuple[float, float]]) -> None:
    rows = [(charts.period_text(omega), number(size)) for omega, size in strongest]
    show_table(["period, ticks"], ["mean amplitude"], rows)


def number(value: float | None) -> str:
    """Write a number with four digits, or `-` for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def _strongest(folder: Path) -> list[tuple[float, float]]:
    """Give frequency and mean amplitude in the last forecasts, the strongest first."""
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
