"""The command `sweep`, which tries many settings on the same ticks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfm_stream.cli.options import (
    INTERRUPTED,
    Address,
    AsJson,
    Jobs,
    Settings,
    Strict,
    app,
    load,
    opened,
    print_json,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from sfm_stream.config import Config
    from sfm_stream.evaluate.sweep.ranking import Place


@app.command()
def sweep(
    config: Settings,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results [runs/<config>-sweep].")
    ] = None,
    jobs: Jobs = None,
    address: Address = "",
    strict: Strict = False,
    as_json: AsJson = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=A,B",
            help="Override a setting; with commas, try each value.",
        ),
    ] = None,
) -> None:
    """Try every combination of settings, and rank them by skill."""
    from sfm_stream.evaluate import workers
    from sfm_stream.evaluate.sweep import grid, ranking
    from sfm_stream.report import terminal

    chosen = grid.read(overrides or [])
    points = chosen.points()
    tried = [load(config, chosen.overrides(point)) for point in points]
    folder = out or Path("runs") / f"{config.stem}-sweep"
    own = ranking.identities(tried)
    ranking.expect_own(folder, own)
    kept = 0

    def count(done: int) -> None:
        nonlocal kept
        kept = done

    try:
        with workers.open_workers(address, jobs) as (pool, most):
            results = _results(tried, folder, pool, most, count, strict=strict)
    except KeyboardInterrupt as e:
        say(
            f"interrupted: {kept:,} of {len(tried):,} points are measured and kept; "
            "the same command measures the others"
        )
        raise typer.Exit(INTERRUPTED) from e
    path = ranking.keep(folder, chosen, points, results, own)
    places = ranking.rank(points, results)
    keys = list(chosen.varied)
    terminal.show_table(keys, ranking.TOLD, map(ranking.told, places))
    terminal.show_remarks(ranking.remarks(points, results))
    say(f"results: {path}")
    if as_json:
        print_json({"points": [_tree(keys, place) for place in places]})


def _results(
    tried: list[Config], folder: Path, pool: Executor, most: int,
    count: Callable[[int], None], *, strict: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure all points; count those with a result, and show a progress bar."""
    from connectors import open_feed
    from sfm_stream.evaluate.sweep import carry_out
    from sfm_stream.report import terminal
    from sfm_stream.running import judgement, precompile
    from sfm_stream.storage import run_folder

    feed = opened(tried[0])
    rows = judgement.preview(tried[0], feed)
    terminal.show_account(rows)
    judgement.refuse(rows, "the first rows", strict=strict)
    precompile.prepare(tried[0], feed.fields, say)
    points = carry_out.points(tried, open_feed, folder)
    run_folder.make(folder)
    run_folder.make(folder / carry_out.POINTS)
    with terminal.watch(len(tried), "points") as watch:

        def done(number: int) -> None:
            count(number)
            watch.progress(number)

        return carry_out.carry_out(points, open_feed, pool, parts=most, done=done)


def _tree(keys: list[str], place: Place) -> dict[str, Any]:
    values = dict(zip(keys, place.values, strict=True))
    return {"settings": values, **place._asdict(), "values": list(place.values)}
