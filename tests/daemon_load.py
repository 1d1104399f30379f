"""Load a live process with many streams, and see how fast and how large it is.

    python -m tests.daemon_load [--streams 200] [--rate 20] [--seconds 60]

makes up a capture of JSON frames, plays it on a socket at its own pace, lives on it, and
prints a line of JSON: events taken, latency from receipt to delivery in milliseconds,
how much longer than the fastest frame the others took until their receipt, processor
seconds per second, the least and most resident memory in each third of the time and its
mean in each minute, how long the loop was held, processor time of its turns, MiB written
to disk, and what of them is journal and records in the end. On a busy machine the loop
is held by others too; the processor time of a turn is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from connectors import open_readers
from connectors.capture.format import received
from sfm_stream.config import parse
from sfm_stream.daemon.process import Given, Process
from sfm_stream.daemon.status.latest import Latest
from tests.feed_tables import NUMBERS

START = 1_700_000_000 * 10**9
WARM, BETWEEN, MINUTE, MIB = 5.0, 1.0, 60, 2**20
CONFIG = (
    NUMBERS
    + """
[stream]
symbols = {symbols}
[daemon]
listen = ""
"""
)


def write(path, streams, rate, seconds):
    """Make up a capture of random walks that come in turn."""
    rng = np.random.default_rng(0)
    level = np.zeros(streams)
    with gzip.open(path, "wb", 1) as file:
        for number in range(int(streams * rate * seconds)):
            which = number % streams
            level[which] += rng.standard_normal()
            at = START + int(number * 1e9 / (streams * rate))
            frame = b'{"s":"s%d","t":%d,"v":%.4f}' % (which, at, level[which])
            file.write(received(frame, at))


def memory_mib():
    """Give the resident memory now, not at its highest."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def processor_s():
    """Give the processor seconds of this process and of those that read for it."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:13]))  # in user's mode and in the system's
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def written_mib():
    """Give what this process has had written to disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"]) / MIB


def size_mib(*folders):
    """Give what lies in some folders."""
    files = (path for folder in folders for path in folder.rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file()) / MIB


@contextmanager
def turns_timed():
    """Note the processor seconds of each turn of the loop's callbacks."""
    run, found = asyncio.Handle._run, []

    def timed(handle):
        begun = time.thread_time()
        run(handle)
        found.append(time.thread_time() - begun)

    asyncio.Handle._run = timed
    try:
        yield found
    finally:
        asyncio.Handle._run = run


def percentiles_ms(seconds, levels):
    """Give percentiles by their levels."""
    return {str(level): float(np.percentile(seconds, level)) * 1e3 for level in levels}


async def weighed(samples):
    """Note the resident memory now and then."""
    while True:
        samples.append(memory_mib())
        await asyncio.sleep(BETWEEN)


def noted(stepper):
    """Note the time from each tick's own to its receipt, ns, block by block."""
    found, see = [], stepper._see

    def seeing(first, block):
        found.append(block.received - block.time)
        see(first, block)

    stepper._see = seeing
    return found


async def live(config, folder, seconds):
    given = Given(config, folder, open_readers, lambda: config)
    process = Process(given, lambda line: sys.stderr.write(f"{line}\n"))
    found = {}
    living = asyncio.create_task(process.run())
    while process.state != "live":
        await asyncio.sleep(0.01)
    await asyncio.sleep(WARM)
    before, begun, written = processor_s(), time.perf_counter(), written_mib()
    stepper = process._worker.stepper
    stepper.latencies, process._pulse.late = Latest(), Latest()
    before_receipt = noted(stepper)
    samples = []
    weighing = asyncio.create_task(weighed(samples))
    with turns_timed() as turns:
        await asyncio.sleep(seconds)
    passed = time.perf_counter() - begun
    third = len(samples) // 3
    for name, choose in (("least_mib", min), ("most_mib", max)):
        found[name] = [choose(samples[i * third : (i + 1) * third]) for i in range(3)]
    minutes = range(0, len(samples) - MINUTE + 1, MINUTE)
    found["minutes_mib"] = [float(np.mean(samples[i : i + MINUTE])) for i in minutes]
    found["cpu"] = (processor_s() - before) / passed
    latencies = stepper.latencies.values() * 1e3
    for name, level in (("p50", 50), ("p99", 99), ("max", 100)):
        found[f"{name}_ms"] = float(np.percentile(latencies, level))
    waited = np.concatenate(before_receipt) / 1e9
    found["waited_ms"] = percentiles_ms(waited - waited.min(), (50, 99, 100))
    held = process._pulse.late.values()
    found["held_ms"] = percentiles_ms(held, (50, 99, 99.9, 100))
    found["turns_ms"] = percentiles_ms(turns, (50, 99, 99.9, 100))
    found["events"] = stepper.counts.ticks.total()
    found["streams"] = len(stepper.counts.ticks)
    found["gaps"] = stepper.counts.gaps
    found["checkpoint_s"] = process._worker.saver.saved.seconds
    weighing.cancel()
    process.stop()
    await living
    found["written_mib"] = written_mib() - written
    found["kept_mib"] = size_mib(folder / "records", folder / "journal")
    return found


def load(streams, rate, seconds):
    """Live on made-up streams for so long; give what was seen."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        capture = place / "made_up.gz"
        write(capture, streams, rate, seconds + 30)
        line = [sys.executable, "-m", "sfm_stream", "simulate", str(capture),
                "--venue", "plain", "--port", "0"]  # fmt: skip
        simulator = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)  # noqa: S603
        try:
            url = simulator.stdout.readline().strip()
            symbols = json.dumps([f"s{i}" for i in range(streams)])
            config = parse(CONFIG.format(url=url, symbols=symbols))
            return asyncio.run(live(config, place / "run", seconds))
        finally:
            simulator.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    sys.stdout.write(json.dumps(load(**vars(parser.parse_args()))) + "\n")
