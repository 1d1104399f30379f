"""What each client that looks costs, in processor time alone: good on a busy machine.

    python -m tests.look_cost [--streams 1000] [--seconds 8]

prints a line of JSON: processor milliseconds a second that 4 ticks a second of each
stream take (the engine and the folding of what it said, without reading, journal and
sinks), that 0, 1 and 60 clients of the overview take beside them, and one of a stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time

import numpy as np

from sfm_stream.config import from_tree
from sfm_stream.daemon.http.viewers import Gallery
from sfm_stream.daemon.status.model import Stream, told
from sfm_stream.daemon.views.watcher import Watcher
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.running import loops
from sfm_stream.settings import Daemon
from tests.daemon_web import served
from tests.vitals_rig import vitals

START, SECOND, BATCH, ROUNDS, RATE = 1_700_000_000 * 10**9, 10**9, 20, 24, 4


def rounds(names, count):
    """Give batches: each stream once per round."""
    rng = np.random.default_rng(0)
    for number in range(count):
        at = np.full(BATCH, START + number * SECOND)
        for first in range(0, len(names), BATCH):
            yield Block(
                streams=names, kind=np.zeros(BATCH, np.int8),
                stream=np.arange(first, first + BATCH, dtype=np.int32), time=at,
                received=at, values=rng.normal(size=(BATCH, 1)),
                code=np.zeros(BATCH, np.int64), notes={},
            )  # fmt: skip


def taught(names):
    """Give a watcher of an engine at work, and processor seconds per tick."""
    engine = Engine(from_tree({"target": {"horizons": [1, 10]}}), ["x"])
    watcher, taken, ticks = Watcher(engine), 0.0, 0
    for number, block in enumerate(rounds(names, ROUNDS)):
        begun = time.process_time()
        watcher.see(engine.seq, block)
        loops.step(block, engine, watcher.hear, watcher.hear)
        if number % 12 == 0:
            watcher.fold()
        if number * BATCH > 4 * len(names):  # born and compiled by then
            taken += time.process_time() - begun
            ticks += BATCH
    return watcher, taken / ticks


async def looked(watcher, names, seconds):
    """Give processor milliseconds a second that clients take."""

    async def words():
        judged = watcher.judged()
        streams = {name: Stream(1, 0, 0.1, None, **judged[name]) for name in names}
        return told(vitals(streams=streams), Daemon(), {"bounds": [], "counts": []})

    gallery = Gallery(words)
    gallery.watcher = watcher
    found = {}
    wishes = {"0": (0, ""), "1": (1, '{"view": "overview"}'),
              "60": (60, '{"view": "overview"}'),
              "a stream": (1, '{"view": "stream", "stream": "s0"}')}  # fmt: skip
    async with served(gallery=gallery) as (hub, url):
        for name, (clients, wish) in wishes.items():
            line = [sys.executable, "-m", "tests.page_cost", "--look", url,
                    "--clients", str(clients), "--wish", wish]  # fmt: skip
            reading = subprocess.Popen(line)  # noqa: S603 ourselves
            while len(hub) < clients:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            begun, used = time.monotonic(), time.process_time()
            await asyncio.sleep(seconds)
            used = time.process_time() - used
            found[name] = 1e3 * used / (time.monotonic() - begun)
            reading.kill()
            while len(hub):
                await asyncio.sleep(0.05)
            reading.wait()
    return found


def main(given):
    names = tuple(f"s{i}" for i in range(given.streams))
    watcher, each = taught(names)
    found = asyncio.run(looked(watcher, names, given.seconds))
    ticks = 1e3 * each * RATE * given.streams
    told = {"ticks_ms": ticks, "clients_ms": found, "load": os.getloadavg()[0]}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=8.0)
    main(parser.parse_args())
