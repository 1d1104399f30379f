"""Processor time of a live batch, beside the engine's alone for the same ticks.

    python -m tests.step_pace [--streams 20]

prints microseconds per tick for batches of several sizes: decided, journalled, scored,
forecast, learned and delivered to the metrics. Processor time of all threads is what a
busy machine disturbs least. The blocks of a size are the same for both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sfm_stream.config import from_tree
from sfm_stream.daemon.http.prometheus import Meters
from sfm_stream.daemon.stepper import Stepper
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.storage.journal import Journal

START = 1_700_000_000 * 10**9
EVERY = 250_000
SIZES = (1, 5, 32, 128, 512)
TICKS, WARM = 4_096, 200
PATIENT = "1d"


def blocks(first, count, size, streams):
    """Make blocks of random walks that come in turn, received just now."""
    number = np.arange(first, first + count)
    walk = np.random.default_rng(0).standard_normal((count, 1)).cumsum(axis=0)
    names = tuple(f"s{i}" for i in range(streams))
    whole = Block.ticks(
        START + number * EVERY, walk, streams=names,
        stream=(number % streams).astype(np.int32),
        received=np.full(count, time.time_ns()),
    )  # fmt: skip
    return [whole[start : start + size] for start in range(0, count, size)]


def timed(call, found):
    begun = time.process_time()
    for block in found:
        call(block)
    return (time.process_time() - begun) / sum(map(len, found)) * 1e6


def main(streams):
    settings = from_tree({"daemon": {"catch_up_after": PATIENT}})
    engine, meters = Engine(settings, ("value",)), Meters()
    with tempfile.TemporaryDirectory() as name, Journal(Path(name)) as journal:
        stepper = Stepper(
            engine, journal, settings.daemon,
            meters.observe_records, meters.observe_latencies,
        )  # fmt: skip
        for block in blocks(0, WARM * streams, TICKS, streams):
            stepper.take(block)
        for size in SIZES:
            live = timed(stepper.take, blocks(engine.seq, TICKS, size, streams))
            alone = timed(engine.run, blocks(engine.seq, TICKS, TICKS, streams))
            journal.skip_to(engine.seq, journal.mark)
            sys.stdout.write(
                f"batches of {size:3}: {live:6.1f} us a tick, the engine alone "
                f"{alone:5.1f}\n"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=20)
    main(parser.parse_args().streams)
