"""Commands on several daemons that share the streams of one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfm_stream.cli.options import (
    Address,
    AsJson,
    Overrides,
    Settings,
    app,
    load,
    load_live,
    print_json,
    say,
)
from sfm_stream.cli.service import order
from sfm_stream.settings import Daemon


@app.command()
def move(
    streams: Annotated[list[str], typer.Argument(metavar="STREAM", help="Streams.")],
    origin: Annotated[
        Path, typer.Option("--from", metavar="RUN", help="Run that they are in.")
    ],
    home: Annotated[
        Path, typer.Option("--to", metavar="RUN", help="Run that they move to.")
    ],
) -> None:
    """Move streams to another run, with their learned state."""
    from sfm_stream.cluster import moving
    from sfm_stream.storage import run_folder

    lease = run_folder.load(origin).config.daemon.lease.seconds
    moving.move(streams, origin, home, lease=lease, say=say)


@app.command()
def rebalance(
    config: Settings,
    shards: Annotated[
        int, typer.Option(min=1, metavar="N", help="New number of shards.")
    ],
    runs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of all shards [runs/<config>]."),
    ] = None,
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:
    """Move each stream to its shard, for a new number of shards."""
    from sfm_stream.cluster import moving

    daemon: Daemon = load(config, overrides).daemon
    place = runs or Path("runs") / config.stem
    lease = daemon.lease.seconds
    moved = moving.rebalance(place, shards, daemon.group, lease=lease, say=say)
    if as_json:
        print_json({"moved": moved})


@app.command()
def gateway(
    urls: Annotated[
        list[str], typer.Argument(metavar="URL", help="Addresses of the daemons.")
    ],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address to listen on.")
    ] = "127.0.0.1:8787",
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host", metavar="NAME", help="A further host name that requests may use."
        ),
    ] = None,
) -> None:
    """Answer for several daemons at one address; store no data."""
    import asyncio

    from sfm_stream.cluster import gateway as serving

    asyncio.run(serving.run(urls, listen, hosts or [], say))


@app.command()
def cluster(
    config: Settings,
    shards: Annotated[int, typer.Option(min=1, metavar="N", help="Number of shards.")],
    address: Address = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of all runs, on shared storage [runs/<config>]."
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address of each shard.")
    ] = "127.0.0.1:0",
    overrides: Overrides = None,
) -> None:
    """Run shards on a Ray cluster; restart those of a lost node elsewhere."""
    from sfm_stream.cluster import joining, on_ray
    from sfm_stream.cluster.shards import Shard, folder

    joining.found()
    place = (out or Path("runs") / config.stem).resolve()
    whole = load_live(config, [*(overrides or []), f"daemon.listen={listen}"])
    parts = [Shard(number, shards) for number in range(1, shards + 1)]
    orders = {
        part.number: order(lambda: whole, part, folder(place, part)) for part in parts
    }
    ended = on_ray.run(orders, address, say)
    if any(one.problem for one in ended) or len(ended) < shards:
        raise typer.Exit(1)
