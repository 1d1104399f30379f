"""Let a process live through a long time that passes at once, and count what it writes.

    python -m tests.daemon_faults writes [--streams 1] [--rate 1] [--hours 24]

The clock moves with the ticks, so that a day at one tick a second takes half a minute.
Prints the bytes written of journal, records and checkpoints, what the records take in
the end, and how often each of them was written. It is an error if that is more than
`MOST_TIMES`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from connectors.made.synthetic import Synthetic
from sfm_stream.config import from_tree
from sfm_stream.daemon import saver, stepper, worker
from sfm_stream.daemon.recovery import recover
from sfm_stream.daemon.worker import Witness, Worker
from sfm_stream.events import Block, Tick

MOST_TIMES = 4.0
START = 1_700_000_000 * 10**9
SECOND = 10**9
PATIENCE = 60.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def now(self):
        return START + round(self.seconds * SECOND)


class Patched:
    """The module `time` as the worker sees it."""

    def __init__(self, clock):
        self.monotonic, self.time_ns = clock.monotonic, clock.now
        self.perf_counter, self.sleep = time.perf_counter, time.sleep


def written():
    """Give the bytes this process has handed to the system to write."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def settled(saving, seconds=PATIENCE):
    """Wait, in true time, until no checkpoint is being saved."""
    end = time.perf_counter() + seconds
    while saving.busy:
        if time.perf_counter() > end:
            raise RuntimeError(f"a checkpoint took longer than {seconds} s")
        time.sleep(0.001)


def live(worker_, clock, streams, rate, seconds):
    """Take ticks in the rhythm of batches; give the bytes of each checkpoint."""
    pause, sizes, seen = 1.0 / (streams * rate), [], -1
    level = dict.fromkeys(range(streams), 0.0)
    beat = clock.seconds
    for number in range(int(streams * rate * seconds)):
        clock.seconds += pause
        which = number % streams
        level[which] += ((number * 7919) % 13 - 6) / 10
        at = clock.now()
        worker_.take(Block.of([Tick(f"s{which}", at, (level[which],), at)], 1))
        if clock.seconds - beat >= worker.SYNC:
            beat = clock.seconds
            worker_.beat()
            settled(worker_.saver)
        if worker_.saver.saved.seq != seen:
            seen = worker_.saver.saved.seq
            newest = max((worker_._found.run.checkpoints).iterdir(), default=None)
            sizes.append(size(newest) if newest else 0)
    return sizes


def counted(folder, streams, rate, hours):
    clock = Clock()
    for module in (worker, saver, stepper):
        module.time = Patched(clock)
    saver.Saver.__init__.__kwdefaults__["elapsed"] = clock.monotonic
    config = from_tree({"daemon": {"listen": ""}})
    feed = Synthetic(config)
    found = recover(config, feed, folder, say=lambda _: None)
    living = Worker(found, config, Witness(), lambda _: None, clock.now)
    living.begin().result(PATIENCE)
    before = written()
    sizes = live(living, clock, streams, rate, hours * 3600)
    living.close()
    whole = written() - before
    sizes.append(size(max(found.run.checkpoints.iterdir())))
    records, checkpoints = size(folder / "records"), sum(sizes[1:])
    of_records = whole - found.journal.written - checkpoints
    return {
        "ticks": living.engine.seq,
        "checkpoints": len(sizes) - 1,
        "written": {"journal": found.journal.written, "checkpoints": checkpoints,
                    "records": of_records},
        "records": records,
        "times": of_records / records,
        "bytes_per_tick": whole / living.engine.seq,
        "files": Counter(path.suffix for path in (folder / "records").iterdir()),
    }  # fmt: skip


def carry_out(arguments):
    parser = argparse.ArgumentParser(prog="writes")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--hours", type=float, default=24.0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        found = counted(Path(name) / "run", given.streams, given.rate, given.hours)
    if found["times"] > MOST_TIMES:
        raise RuntimeError(f"records are written too often: {found}")
    return found
