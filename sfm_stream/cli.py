"""The command line: the one place where configurations, feeds and shells meet.

Heavy libraries are imported by the command that needs them, so `--help` answers at
once. What a program reads goes to standard output, what a person reads to standard
error.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sfm_stream import __version__
from sfm_stream.errors import SFMStreamError

if TYPE_CHECKING:
    from sfm_stream.config import Config

INTERRUPTED = 130
PATH_OVERRIDE = "feed.path"

app = typer.Typer(
    help="Forecast what comes next, one tick at a time, and learn from each answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Settings = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON as the last line of stdout.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting."),
]


def main() -> None:
    """Run the command line; any error of ours is one line and exit code 1."""
    try:
        app(prog_name="sfm-stream")
    except SFMStreamError as error:
        _fail(error)


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
    """Forecast what comes next, one tick at a time, and learn from each answer."""
    del version


@app.command()
def replay(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="A TOML file; not for --resume."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [runs/<config>-NNN].")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Start with what a run learned."),
    ] = None,
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:
    """Replay a feed as a backtest: score, forecast, learn."""
    if resume is None:
        if config is None:
            raise typer.BadParameter("expected a CONFIG or --resume RUN, was neither")
        folder = out or _next_folder(config)
    else:
        for name, given in {"--out": out, "--from": start, "--set": overrides}.items():
            if given:
                raise typer.BadParameter(f"{name} is for new runs, not for --resume")
        folder = resume
    try:
        if resume is None and config is not None:
            summary = _begun(folder, _load(config, overrides), start)
        else:
            summary = _resumed(folder, config)
    except KeyboardInterrupt as e:
        there = (folder / "run.json").exists()
        hint = f"; go on with: sfm-stream replay --resume {folder}" if there else ""
        _say(f"interrupted{hint}")
        raise typer.Exit(INTERRUPTED) from e
    if as_json:
        _print_json(summary)


@app.command()
def compare(
    suite: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of a benchmark suite.")
    ],
    sets: Annotated[str, typer.Option(help="Sets of the suite [all].")] = "",
    models: Annotated[str, typer.Option(help="Models, by commas.")] = "sfm",
    out: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs/suite"),
    jobs: Annotated[int, typer.Option(min=1, help="Models at the same time.")] = 1,
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:
    """Run models side by side: the same ticks, the same rules."""
    from connectors import open_feed
    from sfm_stream import compiling
    from sfm_stream.compare import suite as benchmarks
    from sfm_stream.config import Config

    chosen = benchmarks.read(suite, [name for name in sets.split(",") if name])
    compiling.prepare(Config(), ["value"], _say)
    found = benchmarks.carry_out(
        suite, chosen, models.split(","), benchmarks.Source(_load, open_feed), out,
        overrides=overrides or (), jobs=jobs, say=_say,
    )  # fmt: skip
    if as_json:
        _print_json(found)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
) -> None:
    """Replay a run's source and compare every record with what the run said."""
    from connectors import open_feed
    from sfm_stream import runs, screen
    from sfm_stream import verify as verification

    made = runs.load(run)
    with screen.watch(None) as watch:
        found = verification.verify(made, open_feed, watch=watch)
    for name, (before, now) in found.differences.items():
        _say(f"{name} differs: the run had {before}, here it is {now}")
    how = "agree within tolerances" if found.differences else "are identical"
    total = sum(found.records.values())
    typer.echo(f"{total} records of {found.events} events {how}")


@app.command()
def check(
    config: Settings, as_json: AsJson = False, overrides: Overrides = None
) -> None:
    """Validate a configuration, open its feed, and show what both resolve to."""
    from connectors import open_feed
    from sfm_stream import features, layout, runs
    from sfm_stream.config import to_tree

    settings = _load(config, overrides)
    feed = open_feed(settings)
    plan = features.plan(settings, feed.fields)
    layout.lay_out(settings, plan)
    inputs = dict(zip(plan.targets, plan.names, strict=True))
    if as_json:
        tree = {
            "config": to_tree(settings),
            "fields": plan.fields,
            "inputs": inputs,
            "events": feed.total(),
        }
        _print_json(tree)
        return
    typer.echo(runs.to_toml(to_tree(settings)))
    for target, names in inputs.items():
        typer.echo(f"# inputs for {target}: {', '.join(names)}")


@app.command()
def bench(as_json: AsJson = False) -> None:
    """Measure the pace of both backends and of a whole replay on this machine."""
    from sfm_stream import bench as benchmark
    from sfm_stream import screen

    found = benchmark.measure(_say)
    screen.show_bench(found)
    if as_json:
        _print_json(found)


def _begun(folder: Path, settings: Config, start: Path | None) -> dict[str, Any]:
    """Make a new run and show how it ended."""
    from connectors import open_feed
    from sfm_stream import replay as backtest
    from sfm_stream import runs, screen

    warm = None if start is None else runs.load(start)
    feed = open_feed(settings)
    with screen.showing(folder), screen.watch(feed.total()) as watch:
        return backtest.replay(settings, feed, folder, start=warm, watch=watch)


def _resumed(folder: Path, config: Path | None) -> dict[str, Any]:
    """Go on with a run and show how it ended."""
    from connectors import open_feed
    from sfm_stream import replay as backtest
    from sfm_stream import runs, screen

    run = runs.load(folder)
    if config is not None:
        runs.expect_model(folder, run.info, _load(config, None))
    feed = open_feed(run.config)
    with screen.showing(folder), screen.watch(feed.total()) as watch:
        return backtest.resume(run, feed, watch=watch)


def _load(path: Path, overrides: list[str] | None) -> Config:
    """Read a configuration; its `feed.path` is meant from where it was written.

    In a file that is the file's folder, after `--set` it is the working directory. So
    the resolved path is absolute, and a run can be resumed from anywhere.
    """
    from msgspec.structs import replace

    from sfm_stream.config import load

    given = overrides or []
    config = load(path, given)
    is_set = any(o.partition("=")[0].strip() == PATH_OVERRIDE for o in given)
    folder = Path() if is_set else path.parent
    paths = config.feed.path
    if isinstance(paths, str):
        found: str | tuple[str, ...] = _absolute(folder, paths)
    else:
        found = tuple(_absolute(folder, one) for one in paths)
    return replace(config, feed=replace(config.feed, path=found))


def _absolute(folder: Path, path: str) -> str:
    return str((folder / path).resolve()) if path else ""


def _next_folder(config: Path) -> Path:
    """Name the next free folder `runs/<config>-NNN`."""
    number = 1
    while (folder := Path("runs") / f"{config.stem}-{number:03d}").exists():
        number += 1
    return folder


def _print_json(tree: Mapping[str, Any]) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(tree))


def _say(line: str) -> None:
    typer.echo(f"sfm-stream: {line}", err=True)


def _fail(error: SFMStreamError) -> NoReturn:
    # one line, whatever a library's message holds
    _say(f"error: {' '.join(str(error).split())}")
    sys.exit(1)
