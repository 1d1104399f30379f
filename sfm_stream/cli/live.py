"""Commands on live feeds: list, print, record, and play back on a socket."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfm_stream.cli.options import (
    AsJson,
    Overrides,
    Settings,
    Strict,
    app,
    load_live,
    print_json,
    say,
)
from sfm_stream.errors import amount

if TYPE_CHECKING:
    from sfm_stream.events import Event
    from sfm_stream.feeds import LiveFeed

Count = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="End after this number of events."),
]
For = Annotated[
    str,
    typer.Option("--for", metavar="DURATION", help="End after this time, e.g. `1h`."),
]


@app.command()
def feeds(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A connector: list its options."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the connectors and the venues' channels, or a connector's options."""
    from connectors import FEEDS, channels, options_of
    from connectors.venues.protocol import VENUES
    from sfm_stream.config import keys
    from sfm_stream.report import terminal

    if name is not None:
        known = list(keys(options_of(name), "feed.options."))
        if as_json:
            parts = ("key", "default", "description")
            print_json({"options": [dict(zip(parts, k, strict=True)) for k in known]})
            return
        terminal.show_options(name, known)
        return
    venues = {name: channels(name) for name in VENUES}
    if as_json:
        print_json({"files": list(FEEDS), "live": venues})
        return
    terminal.show_feeds(list(FEEDS), venues)


@app.command()
def tail(
    config: Settings,
    count: Count = None,
    lasting: For = "",
    strict: Strict = False,
    overrides: Overrides = None,
) -> None:
    """Print live events as JSON lines: a first look at a feed."""
    from connectors import open_live
    from sfm_stream.events import to_json

    feed = open_live(load_live(config, overrides))
    _follow(
        feed, lambda event: typer.echo(to_json(event)), count, lasting, strict=strict
    )


@app.command()
def record(
    config: Settings,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the recording.")],
    count: Count = None,
    lasting: For = "",
    quota: Annotated[
        int,
        typer.Option(
            metavar="MIB", min=1, help="Most MiB to keep; the oldest go first."
        ),
    ] = 10_240,
    strict: Strict = False,
    overrides: Overrides = None,
) -> None:
    """Record what a live feed sends, to replay it with the `capture` connector."""
    from connectors import open_live
    from connectors.capture.recorder import MIB, SEGMENTS, Recorder
    from sfm_stream.storage import run_folder

    settings = load_live(config, overrides)
    run_folder.expect_free(out, (SEGMENTS,))
    recorder = Recorder(out, quota=quota * MIB)
    try:
        feed = open_live(settings, (recorder,))
        _follow(feed, lambda _: recorder.check(), count, lasting, strict=strict)
    finally:
        recorder.close()
    written = recorder.counters
    lines = amount(written["lines"], "line")
    say(f"{lines} in {amount(written['segments'], 'segment')}: {out}")


@app.command()
def simulate(
    captures: Annotated[
        list[str], typer.Argument(metavar="CAPTURE...", help="Files of frames.")
    ],
    venue: Annotated[
        str, typer.Option(help="Venue to imitate: binance, ..., or plain.")
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0: any free one.")
    ],
    speed: Annotated[
        float,
        typer.Option(min=0, help="Times the recorded pace; 0: as fast as possible."),
    ] = 1.0,
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin again at the end.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="NAME[:ARGUMENT][@NUMBER | %CHANCE]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the faults.")] = 0,
) -> None:
    """Serve a capture as a venue would, with faults on demand."""
    from connectors.capture import simulator
    from connectors.capture.faults import parse
    from connectors.capture.replies import replies_of
    from connectors.files import text

    tape = simulator.Tape(text.expand(tuple(captures)))
    tape.expect_frames()
    playing = simulator.Simulator(
        tape,
        replies_of(venue),
        speed=speed,
        loop=loop,
        faults=[parse(spec) for spec in fault or ()],
        seed=seed,
    )
    _run(simulator.serve_until_played(playing, port, typer.echo))
    messages = amount(playing.sent, "message")
    say(f"{messages} to {amount(playing.connections, 'connection')}")


def _follow(
    feed: LiveFeed, show: Callable[[Event], None], count: int | None, lasting: str,
    *, strict: bool,
) -> None:  # fmt: skip
    """Follow a live feed for a count or duration, and show its status at the end."""
    from sfm_stream.events import Tick
    from sfm_stream.report import terminal
    from sfm_stream.running import judgement
    from sfm_stream.running.loops import show_live
    from sfm_stream.settings.units import duration_ns

    ticks = 0

    def shown(event: Event) -> None:
        nonlocal ticks
        ticks += isinstance(event, Tick)
        show(event)

    seconds = duration_ns("--for", lasting) / 10**9 if lasting else None
    try:
        _run(show_live(feed, shown, count=count, seconds=seconds))
    finally:
        terminal.show_live(feed.status(), feed.counters)
        reading = judgement.reading_of(feed.counters, feed.status())
        found = judgement.of_live(reading, ticks)
        terminal.show_account(found)
    if found["not_taken"]:
        judgement.refuse(found, "the feed", strict=strict)


def _run(work: Coroutine[Any, Any, Any]) -> None:
    """Run work until it ends or is interrupted; an interruption is no error."""
    import asyncio

    try:
        asyncio.run(_until_told(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("interrupted")


async def _until_told(work: Coroutine[Any, Any, Any]) -> None:
    """Let SIGTERM cancel the work, as asyncio does with SIGINT.

    An exception raised in a signal handler may come between two callbacks of the loop.
    Then a callback is lost, and a task that waits for it would wait for ever.
    """
    import asyncio
    import signal

    working = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    await working
