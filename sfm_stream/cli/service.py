"""The commands `daemon` and `stop`, for the live process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfm_stream.cli.options import (
    AsJson,
    Overrides,
    Settings,
    Strict,
    app,
    load_live,
    print_json,
)
from sfm_stream.errors import AddressError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfm_stream.cluster.shards import Shard
    from sfm_stream.config import Config
    from sfm_stream.daemon.process import Given
    from sfm_stream.notices import Notice
    from sfm_stream.storage.run_folder import Run


@app.command()
def daemon(
    config: Settings,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Folder of the run [runs/<config>, runs/<config>/shard-I].",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Start with the learned state of a run."
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(metavar="I/N", help="Take the I-th of N parts of the streams."),
    ] = "1/1",
    strict: Strict = False,
    overrides: Overrides = None,
) -> None:
    """Run a model on live feeds for months; it continues after any stop."""
    import asyncio
    import logging
    import os
    import sys
    from dataclasses import replace

    from sfm_stream.cluster import shards
    from sfm_stream.daemon.host.logs import logging_to
    from sfm_stream.daemon.signals import live
    from sfm_stream.storage import run_folder

    part = shards.parse(shard)
    folder = out or shards.folder(Path("runs") / config.stem, part)
    warm = None if start is None else run_folder.load(start)
    given = order(lambda: load_live(config, overrides), part, folder, warm)
    given = replace(given, strict=strict)
    with logging_to(sys.stderr):
        log = logging.getLogger("sfm_stream.daemon")

        def say(notice: Notice) -> None:
            log.log(notice.level, notice)

        asyncio.run(live(given, say, os.environ))


def order(
    read: Callable[[], Config], part: Shard, folder: Path, start: Run | None = None
) -> Given:
    """Give all that the daemon of a shard needs to start.

    Args:
        read: reads the configuration of all shards.
        part: the shard.
        folder: folder of its run.
        start: a run to start warm from, if the run is new.

    Raises:
        ConfigError: if the shard has no stream, or a feed is piped in.
    """
    from functools import partial

    from connectors import is_piped, open_live, open_readers
    from sfm_stream.cluster import shards
    from sfm_stream.config import each_feed
    from sfm_stream.daemon.process import Given

    def mine() -> Config:
        whole = read()
        if part.total == 1:
            return whole
        if any(map(is_piped, each_feed(whole))):
            problem = "expected feeds that are asked for streams, was what is piped in"
            hint = "split the input, and give each part to a daemon without --shard"
            raise ConfigError(shards.AT, problem, hint)
        return shards.share(whole, part, lambda one: open_live(one).topics)

    opened = partial(open_readers, shards=part.total)
    return Given(mine(), folder, opened, mine, start)


@app.command()
def stop(
    place: Annotated[
        str,
        typer.Argument(
            metavar="URL|RUN", help="Address of the daemon, or folder of its run."
        ),
    ],
    patience: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="Longest time to wait."),
    ] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Stop a daemon of this machine in order, wait, and report how it ended."""
    from sfm_stream.daemon.host import pid_file

    folder = Path(place) if Path(place).is_dir() else _run_at(place)
    end = pid_file.stop(folder, patience)
    if as_json:
        print_json({"run": str(folder), **end._asdict()})
    else:
        how = end.how or "ended without saying how, so it was probably killed,"
        typer.echo(f"process {end.pid} {how} after {end.seconds:.1f} s; run: {folder}")
    if end.how != pid_file.STOPPED:
        raise typer.Exit(1)


def _run_at(url: str) -> Path:
    """Find the run folder of the daemon at an address; it must be on this machine."""
    from sfm_stream.daemon.host import pid_file
    from sfm_stream.daemon.http.client import ask

    if ":" not in url:  # an address has a port
        problem = "expected the folder of a run or an address, was neither"
        raise AddressError(url, problem, pid_file.HINT)
    vitals = ask(url).vitals
    folder = Path(vitals.run)
    if pid_file.owner(folder) != vitals.pid:
        problem = f"process {vitals.pid} on {vitals.run} is not of this machine"
        raise AddressError(url, problem, "stop it where it runs")
    return folder
