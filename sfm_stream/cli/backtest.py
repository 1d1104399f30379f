"""Commands on feeds that can be read again: replay, resume, verify, repair, bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfm_stream.cli.options import (
    INTERRUPTED,
    AsJson,
    Overrides,
    Plot,
    Settings,
    Strict,
    Trust,
    app,
    expect_picture,
    expect_trusted,
    load,
    opened,
    placed,
    print_json,
    say,
)

if TYPE_CHECKING:
    from sfm_stream.config import Config


@app.command()
def replay(
    config: Settings,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [runs/<config>-NNN].")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Start with the learned state of a run."
        ),
    ] = None,
    plot: Plot = None,
    strict: Strict = False,
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:
    """Replay a feed as a backtest: score, forecast, learn."""
    with placed(out, config) as folder:
        _carry_out(
            folder,
            lambda: _begun(folder, load(config, overrides), start),
            plot,
            strict=strict,
            as_json=as_json,
        )


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    plot: Plot = None,
    strict: Strict = False,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Resume a replay that was interrupted."""
    _carry_out(
        run, lambda: _resumed(run, trust=trust), plot, strict=strict, as_json=as_json
    )


def _carry_out(
    folder: Path, go: Callable[[], dict[str, Any]], plot: Path | None,
    *, strict: bool, as_json: bool,
) -> None:  # fmt: skip
    """Finish a run; draw it and print its summary if the options say so."""
    from sfm_stream.running import judgement

    if plot is not None:
        expect_picture(plot)
    try:
        summary = go()
    except KeyboardInterrupt as e:
        there = (folder / "run.json").exists()
        hint = f"; resume with: sfm-stream resume {folder}" if there else ""
        say(f"interrupted{hint}")
        raise typer.Exit(INTERRUPTED) from e
    if plot is not None and summary["ticks"]:
        from sfm_stream.report import charts

        charts.draw_run(folder, plot)
    if as_json:
        print_json(summary)
    judgement.refuse(summary["account"], str(folder), strict=strict)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    trust: Trust = False,
) -> None:
    """Replay a run's source and compare every record with the run's.

    The runs that its streams came from are verified too.
    """
    from connectors import open_feed
    from sfm_stream.report import terminal
    from sfm_stream.running import homes
    from sfm_stream.running import verify as verification
    from sfm_stream.storage import run_folder

    made = run_folder.load(run)
    for one in homes.with_origins(made, say):
        expect_trusted(one.config, one.folder, trust=trust)
        with terminal.watch(None) as watch:
            found = verification.verify(one, open_feed, watch=watch)
        for name, (before, now) in found.differences.items():
            say(f"{name} differs: the run had {before}, here it is {now}")
        how = "agree within tolerances" if found.differences else "are identical"
        total = sum(found.records.values())
        where = "" if one is made else f"{one.folder}: "
        typer.echo(f"{where}{total} records of {found.events} events {how}")
        if found.unchecked:
            more = f"{found.unchecked} events that no checkpoint covers yet"
            say(f"{where}not checked: {more}")
        if not (one.journal.is_dir() or (one.folder / run_folder.SUMMARY).exists()):
            say(f"{one.folder} is not at its end: verified up to its newest checkpoint")


@app.command()
def repair(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    trust: Trust = False,
) -> None:
    """Rebuild a run's records from its journal or source, when files are lost."""
    from connectors import open_feed
    from sfm_stream.report import terminal
    from sfm_stream.running import repair as repairing
    from sfm_stream.storage import run_folder

    made = run_folder.load(run)
    expect_trusted(made.config, run, trust=trust)
    with terminal.watch(None) as watch:
        found = repairing.repair(made, open_feed, watch=watch)
    typer.echo(f"{sum(found.values())} records rebuilt")


@app.command()
def bench(
    as_json: AsJson = False,
    live: Annotated[
        bool, typer.Option("--live", help="Search the highest pace of the daemon.")
    ] = False,
    streams: Annotated[
        str, typer.Option(help="Panels with these numbers of streams, e.g. 1,64,1024.")
    ] = "",
    device: Annotated[
        str, typer.Option(help="Device that computes panels: cpu, or a GPU as cuda.")
    ] = "cpu",
    compiled: Annotated[
        bool,
        typer.Option("--compiled", help="Show the GPU resources that kernels need."),
    ] = False,
) -> None:
    """Measure the pace of both backends and of a whole replay on this machine."""
    from connectors import open_live
    from sfm_stream.evaluate.pace import bench as benchmark
    from sfm_stream.evaluate.pace import live as capacity
    from sfm_stream.evaluate.pace import panel
    from sfm_stream.report import terminal

    if compiled:
        found = panel.compiled(say)
    elif streams or device != "cpu":
        found = panel.measure(say, device, panel.sizes(streams))
    elif live:
        found = capacity.measure(say, open_live)
    else:
        found = benchmark.measure(say)
    terminal.show_bench(found)
    if as_json:
        print_json(found)


def _begun(folder: Path, settings: Config, start: Path | None) -> dict[str, Any]:
    """Make a new run, show its result, and give its summary."""
    from sfm_stream.jit import blas

    blas.leave_out()
    from sfm_stream.report import terminal
    from sfm_stream.running import replay as backtest
    from sfm_stream.storage import run_folder

    warm = None if start is None else run_folder.load(start)
    feed = opened(settings)
    with terminal.showing(folder), terminal.watch(feed.total()) as watch:
        return backtest.replay(settings, feed, folder, start=warm, watch=watch)


def _resumed(folder: Path, *, trust: bool) -> dict[str, Any]:
    """Resume a run, show its result, and give its summary."""
    from sfm_stream.jit import blas

    blas.leave_out()
    from connectors import open_feed
    from sfm_stream.report import terminal
    from sfm_stream.running import replay as backtest
    from sfm_stream.storage import history, run_folder

    run = run_folder.load(folder)
    history.expect_backtest(folder)
    expect_trusted(run.config, folder, trust=trust)
    feed = open_feed(run.config)
    with terminal.showing(folder), terminal.watch(feed.total()) as watch:
        return backtest.resume(run, feed, watch=watch)
