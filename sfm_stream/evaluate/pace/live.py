"""Finds the highest pace at which a live process keeps up, from socket to records.

A test venue sends at one pace after another. A pace holds if the model takes nearly all
frames, keeps learning, has no gap, and delivers 99 of 100 records within `PATIENCE`
seconds of receipt. The same run also measures a replay with the same number of streams,
and the reading of the feed alone: a busy machine disturbs all three.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

import numpy as np

from sfm_stream.config import Config, parse
from sfm_stream.errors import InvalidState
from sfm_stream.evaluate.pace.subject import FIRST_TIME
from sfm_stream.running import precompile
from sfm_stream.settings.units import SECOND

if TYPE_CHECKING:
    from sfm_stream.feeds import LiveFeed

PATIENCE, HELD = 0.05, 0.01
QUANTILE = 0.99
NEARLY = 0.97
"""Share of the frames that the model must take; the rest allows for a late venue."""
SETTLING, DRAINING, ASKING = 1.0, 30.0, 0.05
TRIES = 2
STARTING = 300.0
FLOOD = 1e6
BUCKETS = {
    f'latency_seconds_bucket{{le="{PATIENCE}"}}': "in_time",
    f'loop_held_seconds_bucket{{le="{HELD}"}}': "free",
}
BATCH = 512
PREFIX = "sfm_stream_"
CONFIGS = {
    "json": """
[feed]
connector = "json"
columns = { value = "v" }
symbol = "s"
time = "t"
[feed.options]
url = "URL"
subscribe = ['{"ask":{topics}}']
[stream]
symbols = SYMBOLS
[target]
values = ["value"]
[daemon]
listen = "127.0.0.1:0"
""",
    "binance": """
[feed]
connector = "binance"
[feed.options]
url = "URL"
channel = "bookTicker"
[stream]
symbols = SYMBOLS
[target]
values = ["mid"]
[daemon]
listen = "127.0.0.1:0"
""",
}


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes of the measurements.

    Attributes:
        kinds: of frames.
        streams: numbers of streams to measure.
        first: the first pace, per second.
        growth: factor from a pace that holds to the next pace.
        halvings: of the range between a pace that holds and one that does not.
        seconds: for which a pace must hold.
        file_ticks: in the replayed file.
    """

    kinds: tuple[str, ...] = ("json", "binance")
    streams: tuple[int, ...] = (1, 20, 200)
    first: float = 2_000.0
    growth: float = 1.6
    halvings: int = 2
    seconds: float = 4.0
    file_ticks: int = 100_000


def measure(
    say: Callable[[str], None],
    open_live: Callable[[Config], LiveFeed],
    size: Size | None = None,
) -> dict[str, Any]:
    """Measure the paces on this machine.

    Args:
        say: receives a message before each measurement.
        open_live: opens the live feed of a configuration in this process.
        size: of the measurements.

    Returns:
        Per kind of frames and number of streams, in events per second: the highest
        `live` pace that held, `reading` alone, the `replay` with the same number of
        streams, and the `ratio` of live to replay. `held` is the share of checks of the
        event loop at that pace that came more than 10 ms late.

    Raises:
        InvalidState: if a process does not start.
    """
    size, found = size or Size(), dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="sfm-stream-") as name:
        folder = Path(name)
        for streams in size.streams:
            for kind in size.kinds:
                say(f"measuring {kind}, {streams} streams")
                replayed = _replay(folder, kind, streams, size.file_ticks)
                live, held = _live(folder, kind, streams, size)
                found[f"{kind}, {streams} streams"] = {
                    "live": live,
                    "reading": _reading(kind, streams, size, open_live),
                    "replay": replayed,
                    "ratio": live / replayed,
                    "held": held,
                }
    return found


def _live(folder: Path, kind: str, streams: int, size: Size) -> tuple[float, float]:
    """Search for the highest pace that holds.

    Returns:
        The pace, or 0 if no pace holds; and the share of late checks at that pace.
    """
    with _venue(kind, streams) as venue, _daemon(folder, kind, streams, venue) as pages:
        _settle(venue, pages, size.first)
        best, held, pace = 0.0, 0.0, size.first
        while (found := _tried(venue, pages, pace, size.seconds)) is not None:
            best, held, pace = pace, found, pace * size.growth
        for _ in range(size.halvings):
            middle = (best + pace) / 2
            if (found := _tried(venue, pages, middle, size.seconds)) is not None:
                best, held = middle, found
            else:
                pace = middle
    return best, held


def _settle(venue: Sender, pages: str, pace: float) -> None:
    """Wait for a second in which every tick is in time.

    The first ticks are late: machine code is being loaded, and streams are being made.
    """
    venue.go(pace)
    end = time.monotonic() + DRAINING
    before = _sample(pages)
    while time.monotonic() < end:
        time.sleep(SETTLING)
        after = _sample(pages)
        counted = after["latency_seconds_count"] - before["latency_seconds_count"]
        if counted and after["in_time"] - before["in_time"] == counted:
            return
        before = after


def _tried(venue: Sender, pages: str, pace: float, seconds: float) -> float | None:
    """Try a pace, a second time if it fails: the machine may have been busy.

    Returns:
        The share of late checks of the loop; None if the pace does not hold.
    """
    for _ in range(TRIES):
        if (found := _tried_once(venue, pages, pace, seconds)) is not None:
            return found
    return None


def _tried_once(venue: Sender, pages: str, pace: float, seconds: float) -> float | None:
    """Give the share of late checks of the loop; None if the pace does not hold.

    If the pace does not hold, wait until the queued events are taken.
    """
    venue.go(pace)
    time.sleep(SETTLING)
    before, begun = _sample(pages), time.perf_counter()
    time.sleep(seconds)
    after, passed = _sample(pages), time.perf_counter() - begun
    taken = after["events_total"] - before["events_total"]
    in_time = after["in_time"] - before["in_time"]
    counted = after["latency_seconds_count"] - before["latency_seconds_count"]
    held = (
        taken >= NEARLY * pace * passed
        and in_time >= QUANTILE * counted
        and after["gaps_total"] == before["gaps_total"]
        and after["learning"] == 1.0
    )
    if not held:
        _drain(venue, pages)
        return None
    looks = after["loop_held_seconds_count"] - before["loop_held_seconds_count"]
    return 1 - (after["free"] - before["free"]) / max(looks, 1.0)


def _drain(venue: Sender, pages: str) -> None:
    """Wait until no events are queued and the model learns again."""
    venue.go(0.0)
    end = time.monotonic() + DRAINING
    events = -1.0
    while time.monotonic() < end:
        now = _sample(pages)
        if now["events_total"] == events and now["learning"] == 1.0:
            return
        events = now["events_total"]
        venue.go(10.0)  # learning resumes with the first tick that is in time
        time.sleep(SETTLING)


def _sample(pages: str) -> dict[str, float]:
    """Read the metrics without labels, the ticks in time and the checks in time."""
    text = _page(f"{pages}/metrics")
    found = {}
    for line in text.splitlines():
        name, _, value = line.removeprefix(PREFIX).partition(" ")
        if not line.startswith("#") and "{" not in name:
            found[name] = float(value)
        if name in BUCKETS:
            found[BUCKETS[name]] = float(value)
    return found


def _page(url: str) -> str:
    with build_opener(ProxyHandler({})).open(url, timeout=DRAINING) as answer:
        content: bytes = answer.read()
    return content.decode()


class Sender:
    """A test venue in its own process.

    Attributes:
        url: address of the venue.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url, self._process = url, process

    def go(self, pace: float) -> None:
        """Set the pace, in frames per second."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{pace}\n")
            self._process.stdin.flush()


@contextmanager
def _venue(kind: str, streams: int) -> Iterator[Sender]:
    module = "sfm_stream.evaluate.pace.venue"
    with _process(module, kind, str(streams)) as process:
        url = _line(process)
        if not url.startswith("ws://"):
            raise InvalidState(f"bench: expected a venue's address, was {url!r}")
        yield Sender(process, url)


@contextmanager
def _daemon(folder: Path, kind: str, streams: int, venue: Sender) -> Iterator[str]:
    """Run a daemon on a venue; give the address of its pages once it takes ticks."""
    place = Path(tempfile.mkdtemp(dir=folder))
    config = place / "live.toml"
    config.write_text(_config(kind, streams, venue.url))
    held = ("sfm_stream.evaluate.pace.held", "sfm_stream")
    command = ("daemon", str(config), "--out", str(place / "run"))
    with _process(*held, *command) as process:
        pages = ""
        while not pages:
            line = _line(process)
            said = json.loads(line)["event"] if line.startswith("{") else ""
            pages = said.split()[1] if said.startswith("see ") else ""
        pages = pages.removesuffix("/status")
        venue.go(10.0)
        _expect(lambda: _sample(pages).get("events_total", 0.0) > 0)
        yield pages


def _expect(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + STARTING
    while not condition():
        if time.monotonic() > end:
            raise InvalidState("bench: the live process took no tick")
        time.sleep(ASKING)


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of this package until the `with` block ends."""
    with subprocess.Popen(  # noqa: S603 our own interpreter and package
        [sys.executable, "-P", "-m", *arguments],
        env=precompile.surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise InvalidState("bench: a child process ended before it was asked to")
    return line.strip()


def _config(kind: str, streams: int, url: str) -> str:
    symbols = json.dumps([f"s{i}" for i in range(streams)])
    return CONFIGS[kind].replace("URL", url).replace("SYMBOLS", symbols)


def _reading(
    kind: str, streams: int, size: Size, open_live: Callable[[Config], LiveFeed]
) -> float:
    """Give the events per second that a feed delivers when no model takes them."""

    async def read(config: Config) -> float:
        count, begun = 0, 0.0
        async with aclosing(open_live(config).batches(BATCH)) as batches:
            async for batch in batches:
                begun = begun or time.perf_counter()
                count += len(batch)
                if time.perf_counter() - begun > size.seconds:
                    break
        return count / (time.perf_counter() - begun)

    with _venue(kind, streams) as venue:
        venue.go(FLOOD)
        return asyncio.run(read(parse(_config(kind, streams, venue.url))))


def _replay(folder: Path, kind: str, streams: int, ticks: int) -> float:
    """Give the ticks per second of a replay of `streams` streams, with records."""
    import polars as pl

    price = 1_000 + 0.1 * np.random.default_rng(0).standard_normal(ticks).cumsum()
    number = np.arange(ticks)
    names = pl.Series([f"s{i}" for i in range(streams)]).gather(number % streams)
    columns = {"t": FIRST_TIME + number * (SECOND // 1_000), "s": names}
    fields, target = {"value": price}, "value"
    if kind == "binance":
        one, target = np.ones(ticks), "mid"
        fields = {"bid": price, "bid_qty": one, "ask": price + 0.01, "ask_qty": one}
    place = Path(tempfile.mkdtemp(dir=folder))
    pl.DataFrame({**columns, **fields}).write_parquet(place / "ticks.parquet")
    (place / "replay.toml").write_text(
        '[feed]\nconnector = "parquet"\npath = "ticks.parquet"\ntime = "t"\n'
        f'symbol = "s"\n[target]\nvalues = ["{target}"]\n'
    )
    out = ["--out", str(place / "run"), "--json"]
    done = precompile.child(
        ["-m", "sfm_stream", "replay", str(place / "replay.toml"), *out]
    )
    if done.returncode:
        raise InvalidState(f"bench: a replay failed: {done.stderr[-500:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["ticks_per_s"])
