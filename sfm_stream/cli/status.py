"""The command `status`, which shows the status of daemons."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from sfm_stream.cli.options import AsJson, app, print_json

UNREADY = 2
BETWEEN_S = 1.0


@app.command()
def status(
    urls: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL]...", help="Addresses of daemons [127.0.0.1:8788]."
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Ask again each second.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the status of a daemon, or of several as one.

    Exit code 1: none answers, 2: not ready.
    """
    import msgspec

    from sfm_stream.cluster.whole import ask_all, whole
    from sfm_stream.daemon.http.client import Answer
    from sfm_stream.report.status import watching
    from sfm_stream.settings import Daemon

    def tell(answer: Answer) -> None:
        print_json({"unready": answer.reasons, **msgspec.to_builtins(answer.vitals)})

    places = urls or [Daemon().listen]
    with watching() as draw:
        show = tell if as_json else draw
        show(answer := whole(ask_all(places)))
        while watch:
            time.sleep(BETWEEN_S)
            show(answer := whole(ask_all(places)))
    if answer.reasons:
        raise typer.Exit(UNREADY)
