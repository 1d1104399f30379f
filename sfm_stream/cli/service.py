"""Commands on the live process: run it, and look at how it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfm_stream.cli.options import Overrides, Settings, app, load


@app.command()
def daemon(
    config: Settings,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Folder of the run [runs/<config>]."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Start with what a run learned."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Live on feeds for months: forecast, learn, and come back after any stop."""
    import asyncio
    import logging
    import os
    import sys

    from connectors import open_live
    from sfm_stream.daemon.host.logs import logging_to
    from sfm_stream.daemon.process import Given, live
    from sfm_stream.storage import run_folder

    folder = out or Path("runs") / config.stem
    given = Given(
        config=load(config, overrides),
        folder=folder,
        open_feed=open_live,
        read=lambda: load(config, overrides),
        start=None if start is None else run_folder.load(start),
    )
    with logging_to(sys.stderr):
        log = logging.getLogger("sfm_stream.daemon")
        asyncio.run(live(given, log.info, os.environ))
