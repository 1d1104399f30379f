"""What a checkpoint costs the model that goes on, and the memory beside it.

    python -m tests.checkpoint_pause [--streams 800] [--batch 8] [--rate 2000]

learns from made-up ticks of the default settings at a pace, in batches of some streams
each, and has three checkpoints written meanwhile, as a live process does. It prints a
line of JSON for each, and one without: milliseconds of wall and of processor time of
the batches (median, 99th percentile, longest; the first one's begins with the
checkpoint), how far the last one was behind at most, seconds until the checkpoint was
written, MiB of the model, of the process before, and at most.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from sfm_stream.config import from_tree
from sfm_stream.daemon.saver import Saver
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.storage.run_folder import Run
from tests.daemon_load import memory_mib
from tests.test_daemon_saver import Log, Sink

SECOND = 10**9
WARM, ROUNDS, LEAST = 40, 3, 2.0


class Feed:
    """Ticks of all streams in turn, in batches."""

    def __init__(self, streams, size):
        self.names = tuple(f"s{i}" for i in range(streams))
        self.size, self.count, self.rng = size, 0, np.random.default_rng(0)

    def batch(self):
        number = np.arange(self.count, self.count + self.size)
        self.count += self.size
        time_ns = number // len(self.names) * SECOND
        return Block(
            streams=self.names, kind=np.zeros(self.size, np.int8),
            stream=(number % len(self.names)).astype(np.int32), time=time_ns,
            received=time_ns, values=self.rng.normal(size=(self.size, 1)),
            code=np.zeros(self.size, np.int64), notes={},
        )  # fmt: skip


def born(feed):
    engine = Engine(from_tree({"stream": {"max_streams": 10_000}}), ["x"])
    while feed.count < WARM * len(feed.names):
        engine.run(feed.batch())
    return engine


class Peak(threading.Thread):
    """The most resident memory there is until it is told to end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.mib, self.over = memory_mib(), threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.mib = max(self.mib, memory_mib())


def live(engine, feed, rate, begin, is_done):
    """Learn at a pace until a checkpoint is done; give what the batches took."""
    walls, processor, behind, begun = [], [], 0.0, time.perf_counter()
    first = feed.count
    while not is_done() or time.perf_counter() - begun < LEAST:
        due = begun + (feed.count - first) / rate
        time.sleep(max(due - time.perf_counter(), 0.0))
        batch = feed.batch()
        at, used = time.perf_counter(), time.thread_time()
        if not walls:
            begin()
        engine.run(batch)
        processor.append(time.thread_time() - used)
        walls.append(time.perf_counter() - at)
        behind = max(behind, time.perf_counter() - due)
    found = {"behind_ms": behind * 1e3}
    for name, taken in (("wall_ms", walls), ("processor_ms", processor)):
        found[name] = {q: np.quantile(taken, q) * 1e3 for q in (0.5, 0.99, 1.0)}
    return found


def measured(engine, feed, rate, saver):
    """Give what batches took beside a checkpoint; without a saver, beside none."""
    before, peak = memory_mib(), Peak()
    peak.start()
    written = []

    while saver is not None and not saver.has_room():
        time.sleep(0.01)

    def begin():
        if saver is not None:
            written.append(saver.begin({"records": Sink()}))

    found = live(engine, feed, rate, begin, lambda: all(w.done() for w in written))
    peak.over.set()
    peak.join()
    found["checkpoint_s"] = saver.saved.seconds if saver else None
    found["mib"] = {"model": engine.nbytes / 2**20, "before": before, "most": peak.mib,
                    "after": memory_mib()}  # fmt: skip
    return found


def main(given):
    feed = Feed(given.streams, given.batch)
    engine = born(feed)
    with tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), engine.config, {})
        saver = Saver(run, engine, Log(), 2)
        for each in (None, *[saver] * ROUNDS):
            found = measured(engine, feed, given.rate, each)
            sys.stdout.write(json.dumps(found) + "\n")
        saver.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=800)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2_000.0)
    main(parser.parse_args())
