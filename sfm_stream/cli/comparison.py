"""The command `compare`, which runs several models on the same ticks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfm_stream.cli.options import (
    Address,
    AsJson,
    Jobs,
    Overrides,
    Plot,
    Strict,
    app,
    expect_picture,
    listed,
    load,
    opened,
    placed,
    print_json,
    say,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from sfm_stream.config import Config

COMPARED = ("sfm", "a-sfm", "no-cell", "last", "mean", "rls", "ewls", "snarimax",
            "holtwinters", "linear", "bayes", "lstm", "gru")  # fmt: skip
"""Models to compare by default."""


@app.command()
def compare(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="A TOML file; not for --suite."),
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder with suite.toml.")
    ] = None,
    sets: Annotated[
        str, typer.Option(metavar="A,B", help="Sets of the suite [all].")
    ] = "",
    models: Annotated[
        str, typer.Option(metavar="A,B", help="Models.")
    ] = ",".join(COMPARED),
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results [runs/<config>-NNN, runs/suite]."),
    ] = None,
    plot: Plot = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the suite's tables at its marks."),
    ] = None,
    strict: Strict = False,
    jobs: Jobs = None,
    address: Address = "",
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:  # fmt: skip
    """Run models side by side: the same ticks, the same rules."""
    from sfm_stream.config import Config
    from sfm_stream.evaluate import workers
    from sfm_stream.running import precompile

    if (config is None) == (suite is None):
        raise typer.BadParameter("expected a CONFIG or --suite DIR, one of them")
    if address and suite is None:
        raise typer.BadParameter("expected --suite DIR beside --address, was none")
    if plot is not None:
        expect_picture(plot)
    precompile.prepare(Config(), ["value"], say)
    names = listed(models)
    if suite is not None:
        place = out or Path("runs/suite")
        with workers.open_workers(address, jobs) as (pool, _):
            found = _suite(suite, listed(sets), names, place, pool, overrides, write)
    elif config is not None:
        settings = load(config, overrides)
        with placed(out, config) as place:
            found = _compared(settings, names, place, jobs or 1, plot, strict=strict)
    if as_json:
        print_json(found)


def _suite(
    folder: Path,
    sets: list[str],
    names: list[str],
    out: Path,
    pool: Executor,
    overrides: list[str] | None,
    write: Path | None,
) -> dict[str, Any]:
    """Run a suite and show its tables; write them into the file `write`, if given."""
    from msgspec import to_builtins

    from connectors import open_feed
    from sfm_stream.evaluate import results
    from sfm_stream.evaluate import suite as benchmarks
    from sfm_stream.report import suite as report

    chosen = benchmarks.read(folder, sets)
    source = benchmarks.Source(load, open_feed)
    found = benchmarks.carry_out(
        folder, chosen, names, source, out, pool,
        overrides=overrides or (), say=say,
    )  # fmt: skip
    command = " ".join(["sfm-stream", *sys.argv[1:]])
    text = results.markdown(chosen, names, found, command)
    typer.echo(text, err=True)
    if write is not None:
        results.put(write, text)
    told = [to_builtins(one) for one in chosen]
    say(f"look at it: {report.write(out, told, names, found, command)}")
    return found


def _compared(
    settings: Config, names: list[str], out: Path, jobs: int, plot: Path | None,
    *, strict: bool,
) -> dict[str, Any]:  # fmt: skip
    """Compare models on one feed, and show the results."""
    from connectors import open_feed
    from sfm_stream.evaluate import contest, results
    from sfm_stream.report import comparison, terminal
    from sfm_stream.running import judgement

    rows = judgement.preview(settings, opened(settings))
    terminal.show_account(rows)
    judgement.refuse(rows, "the first rows", strict=strict)
    found = contest.measure_all(settings, open_feed, names, out, jobs=jobs, say=say)
    results.keep(found, out)
    terminal.show_comparison(found["models"])
    terminal.show_remarks(found["remarks"])
    terminal.show_account(found["account"])
    judgement.refuse(found["account"], str(out), strict=strict)
    say(f"records and figures: {out}")
    path = comparison.write(out, names, settings.run.warmup, found["models"])
    say(f"look at it: {path}")
    if plot is not None:
        from sfm_stream.cell import frequencies
        from sfm_stream.report import charts

        model = settings.model
        omega = frequencies.frequencies(
            model.grid, model.frequencies, model.longest_period
        )
        charts.draw_comparison(out, names, omega.tolist(), plot)
    return found
