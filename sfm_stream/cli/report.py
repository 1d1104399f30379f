"""The command `report`, which writes the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfm_stream.cli.options import app, expect_picture


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[
        Path | None,
        typer.Option(help="A file, or a folder for report.html [the run's]."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw a picture into this folder too."),
    ] = None,
) -> None:
    """Write the report of a run: one HTML file to open, to send, to print."""
    from sfm_stream.report import charts, run_report
    from sfm_stream.storage import run_folder

    picture = None if png is None else png / f"{run.resolve().name}.png"
    if picture is not None:
        expect_picture(picture)
    path = run_report.write(run_folder.load(run), out)
    typer.echo(path)
    if picture is not None:
        charts.draw_run(run, picture)
        typer.echo(picture)
