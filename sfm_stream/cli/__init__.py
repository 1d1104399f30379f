"""The command line: the one place where configurations, feeds and shells meet.

Heavy libraries are imported by the command that needs them, so `--help` answers at
once. What a program reads goes to standard output, what a person reads to standard
error.
"""

from __future__ import annotations

import gc
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated, TextIO

import typer

from sfm_stream import __version__
from sfm_stream.cli import (
    backtest,
    cluster,
    comparison,
    live,
    paper,
    report,
    service,
    settings,
    status,
    sweep,
)
from sfm_stream.cli.options import app, fail, output, say
from sfm_stream.errors import SFMStreamError

__all__ = ["backtest", "cluster", "comparison", "live", "main", "paper", "report",
           "service", "settings", "status", "sweep"]  # fmt: skip


COLLECT_AFTER = 50_000
"""New objects after which the garbage collector runs."""


def main() -> None:
    """Run the command line; any error of ours is one line and exit code 1."""
    # imports make objects that stay: to look at them again and again costs 0.15 s
    gc.set_threshold(COLLECT_AFTER)
    warnings.showwarning = _tell
    if type(sys.stdout) is TextIOWrapper:  # a test's is another; None after `>&-`
        sys.stdout = output(sys.stdout)
    try:
        try:
            app(prog_name="sfm-stream")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except SFMStreamError as error:
        fail(error)


def _tell(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as a line of ours, without code; its place is for a report."""
    del file, line
    is_ours = issubclass(category, FutureWarning)
    place = "" if is_ours else f" ({category.__name__} in {filename}:{lineno})"
    say(f"warning: {message}{place}")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sfm-stream {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True,
                           help="Print the version.")
    ] = False,
) -> None:  # fmt: skip
    """Forecast what comes next, one tick at a time, and learn from each outcome."""
    del version
