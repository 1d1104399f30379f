"""Writes the results of a comparison as files and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfm_stream.errors import SinkError
from sfm_stream.report.markdown import commit, table
from sfm_stream.storage import run_folder

if TYPE_CHECKING:
    from sfm_stream.evaluate.suite import Benchmark, Results

NAME = "figures.json"
BEGIN, END = "<!-- suite: begin -->", "<!-- suite: end -->"
PACE = ("ticks_per_s", "p50_us", "p99_us", "peak_rss_mib")


def keep(found: Mapping[str, Any], folder: Path) -> None:
    """Write `figures.json`, and `figures.parquet` with a row per model and horizon.

    Args:
        found: the result of `contest.measure_all`.
        folder: of the comparison.

    Raises:
        SinkError: if the disk is full or refuses.
    """
    import io

    import polars as pl

    rows = [
        {"model": model, "target": target, "horizon": horizon, **figures,
         **{name: tree[name] for name in PACE}}
        for model, tree in found["models"].items()
        for target, part in {"": tree, **tree.get("targets", {})}.items()
        for horizon, figures in part["horizons"].items()
    ]  # fmt: skip
    content = io.BytesIO()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(content)
    run_folder.write(folder / NAME, run_folder.to_json(found))
    run_folder.write(folder / "figures.parquet", content.getvalue())


def markdown(
    benchmarks: Sequence[Benchmark],
    names: Sequence[str],
    found: Results,
    command: str,
) -> str:
    """Make the suite's tables: errors of the published sets, skills of the others.

    Two more tables show the scores of the intervals: the Winkler score at the widest
    level, and the CRPS.

    Args:
        benchmarks: the sets; a set without results is in no table.
        names: of the models.
        found: the result of `suite.carry_out`.
        command: the command that made the results.
    """
    tables, there = [], [b for b in benchmarks if b.name in found]
    for measure, head in (
        ("mse", ["MSE of z-scores (lower is better)", "best published"]),
        ("skill", ["skill (higher is better; in brackets the worst file)"]),
        ("panel", ["panels: skill of the median stream (higher is better)"]),
    ):
        rows = [
            [benchmark.title, *_published(benchmark)]
            + [_figure(found[benchmark.name][name], measure) for name in names]
            for benchmark in there
            if benchmark.measure == measure
        ]
        if rows:
            tables.append(table([*head, *names], rows))
    for score, title in (("winkler", "Winkler score"), ("crps", "CRPS")):
        rows = [
            [benchmark.title]
            + [_score(found[benchmark.name][name][score]) for name in names]
            for benchmark in there
        ]
        head = [f"{title}, in mean absolute moves (lower is better)"]
        tables.append(table([*head, *names], rows))
    made = f"Made at commit {commit()} by\n\n```text\n{command}\n```"
    return "\n\n".join([*tables, made])


def _published(benchmark: Benchmark) -> list[str]:
    if benchmark.measure != "mse":
        return []
    known = benchmark.best
    return ["-" if known is None else f"{known:g} ({benchmark.source})"]


def _figure(found: Mapping[str, Any], measure: str) -> str:
    value, worst = found["value"], found["worst"]
    if value is None:
        return "-"
    shown = f"{value:.4f}" if measure == "mse" else f"{value:.3f}"
    if len(found["values"]) > 1:
        shown += f" ({worst:.3f})"
    return shown


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def put(path: Path, text: str) -> None:
    """Replace the text between the two marks of a file.

    Raises:
        SinkError: if the file cannot be read or written, or lacks the marks.
    """
    try:
        whole = path.read_text("utf-8")
    except OSError as e:
        raise SinkError(str(path), f"cannot be read: {e.strerror}") from e
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        problem = f"expected the marks {BEGIN} and {END}"
        raise SinkError(str(path), problem, "add them where the tables should be")
    run_folder.write(path, f"{before}{begin}\n{text}\n{end}{after}".encode())
