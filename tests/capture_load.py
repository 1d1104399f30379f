"""Play a capture of Binance's futures tenfold for a while, and see what a process does.

    python -m tests.capture_load CAPTURE [--fold 10] [--seconds 10]

plays best bids, asks and trades on a socket: at their own pace, then `fold` times as
fast for so many seconds, then at their own pace again. Prints a line of JSON: events
and latency from receipt to delivery in milliseconds of each stretch, the most events in
a second, what was lost, and for how long after the rush the model did not learn.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from connectors import open_readers
from connectors.capture.format import Kind, read, received
from sfm_stream.config import parse
from sfm_stream.daemon.process import Given, Process
from sfm_stream.daemon.status.latest import Latest
from tests.daemon_load import percentiles_ms

SECOND = 10**9
CALM, LOOK = 20, 0.02
CHANNELS = (b"btcusdt@bookTicker", b"btcusdt@trade")
CONFIG = """
[[feed]]
connector = "binance-usdm"
url = "{url}"
channel = "bookTicker"
symbols = ["btcusdt"]
columns = {{ price = "bid", qty = "bid_qty" }}

[[feed]]
connector = "binance-usdm"
url = "{url}"
channel = "trade"
symbols = ["btcusdt"]
prefix = "trades:"

[stream]
fields = ["price", "qty"]
[target]
values = ["price"]
horizons = [1, 10]
[daemon]
listen = ""
"""


def squeezed(at, fold, seconds):
    """Give when a frame comes, seconds after the first, if a rush lies in the middle."""
    rush = seconds * fold
    if at < CALM:
        return at
    if at < CALM + rush:
        return CALM + (at - CALM) / fold
    return at - rush + seconds


def write(source, path, fold, seconds):
    """Write the frames of a capture with the rush in it."""
    first = None
    with gzip.open(path, "wb", 1) as file:
        for line in read(str(source)):
            if line.kind is not Kind.FRAME or not any(c in line.body for c in CHANNELS):
                continue
            first = first or line.time
            moved = squeezed((line.time - first) / SECOND, fold, seconds)
            if moved > seconds + 2 * CALM:
                return
            file.write(received(line.body, first + int(moved * SECOND)))


async def stretch(stepper, engine, seconds):
    """Watch for so long: events, the most in a second, latency, last look not learning."""
    stepper.latencies = Latest()
    begun = before = mark = time.perf_counter()
    events = last = stepper.counts.ticks.total()
    most, idle = 0.0, 0.0
    while (now := time.perf_counter()) - begun < seconds:
        if now - mark >= 1:
            total = stepper.counts.ticks.total()
            most, mark, last = max(most, (total - last) / (now - mark)), now, total
        if not engine().learning:
            idle = now - begun
        before = now
        await asyncio.sleep(LOOK)
    latencies = stepper.latencies.values()
    return {
        "events": stepper.counts.ticks.total() - events,
        "most_in_a_second": round(most),
        "latency_ms": percentiles_ms(latencies, (50, 99, 100))
        if len(latencies)
        else {},
        "not_learning_until_s": round(idle, 2),
        "watched_s": round(before - begun, 2),
    }


async def live(config, folder, seconds):
    given = Given(config, folder, open_readers, lambda: config)
    process = Process(given, lambda line: sys.stderr.write(f"{line}\n"))
    living = asyncio.create_task(process.run())
    while process.state != "live" or not process._worker.stepper.counts.ticks:
        await asyncio.sleep(LOOK)
    worker, found = process._worker, {}
    for name, length in (
        ("calm", CALM - 2),
        ("rush", seconds + 2),
        ("after", CALM - 4),
    ):
        found[name] = await stretch(worker.stepper, lambda: worker.engine, length)
    found["gaps"] = worker.stepper.counts.gaps
    found["rejected"] = worker.stepper.counts.rejected.total()
    process.stop()
    await living
    return found


def load(capture, fold, seconds):
    """Live on a capture with a rush in it; give what was seen."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        rush = place / "rush.gz"
        write(capture, rush, fold, seconds)
        line = [sys.executable, "-m", "sfm_stream", "simulate", str(rush),
                "--venue", "binance-usdm", "--port", "0"]  # fmt: skip
        simulator = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)  # noqa: S603
        try:
            url = simulator.stdout.readline().strip()
            return asyncio.run(
                live(parse(CONFIG.format(url=url)), place / "run", seconds)
            )
        finally:
            simulator.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("capture", type=Path)
    parser.add_argument("--fold", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    sys.stdout.write(json.dumps(load(**vars(parser.parse_args()))) + "\n")
