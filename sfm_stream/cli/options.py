"""The application, and the options and messages that all commands share."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sfm_stream.errors import LONGEST, ConfigError, SFMStreamError
from sfm_stream.settings import PIPE

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed

INTERRUPTED = 130
PATH_OVERRIDE = "feed.path"

app = typer.Typer(
    help="Forecast what comes next, one tick at a time, and learn from each outcome.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Settings = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON as the last line of stdout.")
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Fail if more than a tenth of the rows was not taken."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Number of processes [1; of a cluster, its processors]."),
]
Address = Annotated[
    str, typer.Option(help="Address of Ray, e.g. ray://host:10001 [this machine].")
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw a picture: .png, .svg or .pdf."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Import the classes that the run names.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting."),
]


def expect_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before the work begins."""
    from sfm_stream.report import charts

    charts.expect(path)


def load(path: Path, overrides: list[str] | None) -> Config:
    """Read a configuration for a backtest; standard input is first read to its end."""
    from msgspec.structs import replace

    config = load_live(path, overrides)
    if config.feed.path != PIPE:
        return config
    from connectors.files.text import spooled

    kept = spooled(sys.stdin.buffer)
    return replace(config, feed=replace(config.feed, path=kept))


def load_live(path: Path, overrides: list[str] | None) -> Config:
    """Read a configuration and make its `feed.path` absolute.

    A path in the file is relative to the file's folder, a path after `--set` to the
    working directory. It is made absolute, so that a run can be resumed anywhere.
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
    if path == PIPE:
        return path
    whole = folder / path
    try:
        if whole.is_fifo():  # a shell's own pipe resolves to no path
            return str(whole.absolute())
        return str(whole.resolve()) if path else ""
    except (OSError, RuntimeError, ValueError) as e:  # too long, or in a circle
        problem = f"expected a path, was {path[:LONGEST]!r}"
        why = getattr(e, "strerror", None) or e
        raise ConfigError(
            PATH_OVERRIDE, problem, f"it cannot be looked up: {why}"
        ) from e


def expect_trusted(config: Config, run: Path, *, trust: bool) -> None:
    """Refuse settings that import classes, unless the user trusts the run's folder.

    The author of the folder decides which code these settings run.

    Raises:
        ConfigError: naming the classes.
    """
    from sfm_stream.config import each_feed

    feeds = [one.feed for one in each_feed(config)]
    named = [feed.connector for feed in feeds]
    named += [str(feed.options.get("venue", "")) for feed in feeds]
    named += [sink.kind for sink in config.sink]
    outside = sorted({name for name in named if ":" in name})
    if outside and not trust:
        problem = f"its settings import {', '.join(outside)}"
        hint = "look at config.toml; give --trust if you know who wrote it"
        raise ConfigError(str(run), problem, hint)


def opened(config: Config) -> Feed:
    """Open a feed that can be read again, and print the choices it made."""
    from connectors import open_feed
    from sfm_stream.feeds import Explained
    from sfm_stream.running import judgement

    feed = open_feed(config)
    judgement.expect_targets(config, feed)
    for note in feed.notes if isinstance(feed, Explained) else ():
        say(note)
    return feed


@contextmanager
def placed(out: Path | None, config: Path) -> Iterator[Path]:
    """Give the folder for a command's results: `out`, or the next numbered folder.

    The numbered folder is made at once, so that no other command takes it. It is
    removed again if it stays empty.
    """
    if out is not None:
        yield out
        return
    folder = _next_folder(config)
    try:
        yield folder
    finally:
        with suppress(OSError):  # a folder with files stays
            folder.rmdir()
            folder.parent.rmdir()


def _next_folder(config: Path) -> Path:
    """Make the next free folder `runs/<config>-NNN`."""
    from sfm_stream.storage import run_folder

    for number in count(1):
        folder = Path("runs") / f"{config.stem}-{number:03d}"
        if run_folder.make(folder):
            break
    return folder


def listed(text: str) -> list[str]:
    """Split a list of names at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def print_json(tree: Mapping[str, Any]) -> None:
    """Print JSON as a line of standard output: for programs."""
    import msgspec

    typer.echo(msgspec.json.encode(tree))


def say(line: str) -> None:
    """Print a line to standard error: for people."""
    typer.echo(f"sfm-stream: {line}", err=True)


def fail(error: SFMStreamError) -> NoReturn:
    """Print an error as one line, and exit with code 1."""
    # one line, even if a library's message has several
    say(f"error: {' '.join(str(error).split())}")
    sys.exit(1)


class _Output(io.FileIO):
    """Standard output; a failed write raises `SFMStreamError`."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # drop buffered output, or the interpreter would report the error again
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            reason = (error.strerror or str(error)).lower()
            problem = f"standard output: cannot be written: {reason}"
            raise SFMStreamError(problem) from error


def output(given: io.TextIOWrapper) -> io.TextIOWrapper:
    """Wrap standard output: a full disk or a closed pipe raises `SFMStreamError`.

    Args:
        given: the stream that the interpreter opened; do not write to it afterwards.
    """
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(given.fileno(), "wb", closefd=False)),
        given.encoding,
        given.errors,
        line_buffering=given.line_buffering,
        write_through=given.write_through,
    )
