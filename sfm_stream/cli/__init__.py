"""The command line: reads options and settings, and calls the other rooms.

Each command imports its heavy libraries itself, so `--help` answers at once. Results
for programs go to standard output, messages for people to standard error.
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
    """Run the command line; an `SFMStreamError` is one line and exit code 1."""
    # imports make objects that stay: collecting over them again costs 0.15 s
    gc.set_threshold(COLLECT_AFTER)
    warnings.showwarning = _tell
    if type(sys.stdout) is TextIOWrapper:  # tests replace it; it is None after `>&-`
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
    """Print a warning as one line; foreign warnings with their place, for a report."""
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
