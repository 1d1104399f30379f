"""The command that shows the status of a daemon."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from sfm_stream.cli.options import AsJson, app, print_json

UNREADY = 2
BETWEEN_S = 1.0


@app.command()
def status(
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="Address of the daemon [127.0.0.1:8788]."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Ask again each second.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the status of a daemon; exit code 1: none answers, 2: not ready."""
    import msgspec

    from sfm_stream.daemon.http.client import Answer, ask
    from sfm_stream.report import terminal
    from sfm_stream.settings import Daemon

    def tell(answer: Answer) -> None:
        print_json({"unready": answer.reasons, **msgspec.to_builtins(answer.vitals)})

    place = url or Daemon().listen
    with terminal.watching() as draw:
        show = tell if as_json else draw
        show(answer := ask(place))
        while watch:
            time.sleep(BETWEEN_S)
            show(answer := ask(place))
    if answer.reasons:
        raise typer.Exit(UNREADY)
