"""The command line: the one place where configurations, feeds and shells meet.

Heavy libraries are imported by the command that needs them, so `--help` answers at
once. What a program reads goes to standard output, what a person reads to standard
error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sfm_stream import __version__
from sfm_stream.errors import SFMStreamError

if TYPE_CHECKING:
    from connectors.live import Live
    from sfm_stream.config import Config
    from sfm_stream.events import Event

INTERRUPTED = 130
PATH_OVERRIDE = "feed.path"
COMPARED = ("sfm", "a-sfm", "no-cell", "last", "mean", "rls", "ewls", "snarimax",
            "holtwinters", "linear", "bayes", "lstm", "gru")  # fmt: skip
"""Models that are compared when none is named."""

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
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw a picture: .png, .svg or .pdf."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting."),
]
Count = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="End after so many events.")
]
For = Annotated[
    str, typer.Option("--for", metavar="DURATION", help="End after, e.g. `1h`.")
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
    plot: Plot = None,
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
    if plot is not None:
        _expect_picture(plot)
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
    if plot is not None:
        from sfm_stream import picture

        picture.draw_run(folder, plot)
    if as_json:
        _print_json(summary)


@app.command()
def compare(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="A TOML file; not for --suite."),
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder with suite.toml.")
    ] = None,
    sets: Annotated[
        str, typer.Option(metavar="A,B", help="Sets of the suite [all].")
    ] = "",
    models: Annotated[
        str, typer.Option(metavar="A,B", help="Models.")
    ] = ",".join(COMPARED),
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of what is found [runs/<config>-NNN, runs/suite]."),
    ] = None,
    plot: Plot = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Put the suite's tables between its marks."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Models at the same time.")] = 1,
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:  # fmt: skip
    """Run models side by side: the same ticks, the same rules."""
    from sfm_stream import compiling
    from sfm_stream.config import Config

    if (config is None) == (suite is None):
        raise typer.BadParameter("expected a CONFIG or --suite DIR, one of them")
    if plot is not None:
        _expect_picture(plot)
    compiling.prepare(Config(), ["value"], _say)
    names = _listed(models)
    if suite is not None:
        place = out or Path("runs/suite")
        found = _suite(suite, _listed(sets), names, place, jobs, overrides, write)
    elif config is not None:
        settings = _load(config, overrides)
        place = out or _next_folder(config)
        found = _compared(settings, names, place, jobs, plot)
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
    from connectors import is_live, open_feed, open_live
    from sfm_stream import features, layout, runs
    from sfm_stream.config import to_tree

    settings = _load(config, overrides)
    live = is_live(settings.feed.connector)
    feed = open_live(settings) if live else open_feed(settings)
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


def _suite(
    folder: Path,
    sets: list[str],
    names: list[str],
    out: Path,
    jobs: int,
    overrides: list[str] | None,
    write: Path | None,
) -> dict[str, Any]:
    """Run a suite, show its tables and write them where they are wanted."""
    from connectors import open_feed
    from sfm_stream.compare import results
    from sfm_stream.compare import suite as benchmarks

    chosen = benchmarks.read(folder, sets)
    source = benchmarks.Source(_load, open_feed)
    found = benchmarks.carry_out(
        folder, chosen, names, source, out,
        overrides=overrides or (), jobs=jobs, say=_say,
    )  # fmt: skip
    command = " ".join(["sfm-stream", *sys.argv[1:]])
    text = results.markdown(chosen, names, found, command)
    typer.echo(text, err=True)
    if write is not None:
        results.put(write, text)
    return found


def _compared(
    settings: Config, names: list[str], out: Path, jobs: int, plot: Path | None
) -> dict[str, Any]:
    """Compare models on one feed, and show how they did."""
    from connectors import open_feed
    from sfm_stream import screen
    from sfm_stream.compare import contest, results

    found = contest.hold(settings, open_feed, names, out, jobs=jobs, say=_say)
    results.keep(found, out)
    screen.show_comparison(found["models"])
    _say(f"records and figures: {out}")
    if plot is not None:
        from sfm_stream import picture
        from sfm_stream.cell import grids

        model = settings.model
        omega = grids.frequencies(model.grid, model.frequencies, model.longest_period)
        picture.draw_comparison(out, names, omega.tolist(), plot)
    return found


def _expect_picture(path: Path) -> None:
    from sfm_stream import picture

    picture.expect(path)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command()
def feeds(as_json: AsJson = False) -> None:
    """List the connectors, and the channels of the venues with a tick's fields."""
    from connectors import FEEDS, channels
    from connectors.venue import VENUES
    from sfm_stream import screen

    venues = {name: channels(name) for name in VENUES}
    if as_json:
        _print_json({"files": list(FEEDS), "live": venues})
        return
    screen.show_feeds(list(FEEDS), venues)


@app.command()
def tail(
    config: Settings,
    count: Count = None,
    lasting: For = "",
    overrides: Overrides = None,
) -> None:
    """Print live events as JSON lines: a first look at a feed."""
    from connectors import open_live
    from sfm_stream.events import to_json

    feed = open_live(_load(config, overrides))
    _follow(feed, lambda event: typer.echo(to_json(event)), count, lasting)


@app.command()
def record(
    config: Settings,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the recording.")],
    count: Count = None,
    lasting: For = "",
    quota: Annotated[
        int, typer.Option(metavar="MIB", min=1, help="Most MiB kept; oldest go first.")
    ] = 10_240,
    overrides: Overrides = None,
) -> None:
    """Write down what a live feed sends, to be replayed by the `capture` connector."""
    from connectors import open_live
    from connectors.recorder import MIB, Recorder

    settings = _load(config, overrides)
    recorder = Recorder(out, quota=quota * MIB)
    try:
        feed = open_live(settings, (recorder,))
        _follow(feed, lambda _: recorder.check(), count, lasting)
    finally:
        recorder.close()
    written = recorder.counters
    _say(f"{written['lines']} lines in {written['segments']} segments: {out}")


@app.command()
def simulate(
    captures: Annotated[
        list[str], typer.Argument(metavar="CAPTURE...", help="Files of frames.")
    ],
    venue: Annotated[str, typer.Option(help="Whose manners: binance, ..., or plain.")],
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0: any that is free.")],
    speed: Annotated[
        float, typer.Option(min=0, help="Times the recorded pace; 0: all there is.")
    ] = 1.0,
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin again at the end.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="NAME[:ARGUMENT][@NUMBER | %CHANCE]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the faults' chance.")] = 0,
) -> None:
    """Serve a capture as a venue would, with faults on demand."""
    from connectors import files, simulator
    from connectors.faults import parse
    from connectors.manners import manners

    playing = simulator.Simulator(
        simulator.Tape(files.expand(tuple(captures))),
        manners(venue),
        speed=speed,
        loop=loop,
        faults=[parse(spec) for spec in fault or ()],
        seed=seed,
    )
    _run(simulator.serve_until_played(playing, port, typer.echo))
    _say(f"{playing.sent} messages to {playing.connections} connections")


def _follow(
    feed: Live, show: Callable[[Event], None], count: int | None, lasting: str
) -> None:
    """Follow a live feed to the end asked for, and show how it went."""
    from sfm_stream import screen
    from sfm_stream.config import duration_ns
    from sfm_stream.tail import tail

    seconds = duration_ns("--for", lasting) / 10**9 if lasting else None
    try:
        _run(tail(feed, show, count=count, seconds=seconds))
    finally:
        screen.show_live(feed.status(), feed.counters)


def _run(work: Coroutine[Any, Any, Any]) -> None:
    """Run until it ends or is told to end, which is no error of a live feed."""
    import asyncio
    import signal

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        _say("interrupted")
    finally:
        signal.signal(signal.SIGTERM, before)


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
