"""Hundreds of columns as the targets of one stream: how long a tick takes, what it holds.

`python -m tests.wide_columns 207 862` makes walks that follow common ones, some a tick
later, runs them by the default model with and without helpers, and prints for each the
time of a tick, processor time, the peak of memory, and how many helpers were chosen.
Each count of columns is a process of its own, for its peak of memory.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.running.rss import peak_rss_mib

START, STEP = 1_700_000_000 * 10**9, 300 * 10**9
TICKS, BLOCK, SCREENED = 1_536, 256, 1_000
COMMON, SEED = 12, 0


def columns(count, ticks=TICKS):
    """Give walks [ticks, count]: each moves with a common one, now or a tick later."""
    random = np.random.default_rng(SEED)
    common = random.standard_normal((ticks + 1, COMMON))
    which = random.integers(0, COMMON, count)
    late = random.random(count) < 0.5
    moves = np.where(late, common[:-1, which], common[1:, which])
    return (0.6 * moves + 0.8 * random.standard_normal((ticks, count))).cumsum(axis=0)


def measure(count, helpers):
    """Print one line for so many columns."""
    names = [f"c{i}" for i in range(count)]
    tree = {
        "target": {"values": names},
        "features": {"helpers": helpers, "screened": SCREENED},
    }
    engine = Engine(from_tree(tree), names)
    values, chosen, taken = columns(count), 0, []
    for begin in range(0, TICKS, BLOCK):
        times = START + (begin + np.arange(BLOCK)) * STEP
        block = Block.ticks(times, values[begin : begin + BLOCK], streams=("s",))
        begun = time.process_time()
        chosen += engine.run(block).count("choices")
        taken.append((time.process_time() - begun) / BLOCK * 1e3)
    late = np.median(taken[-2:])
    sys.stdout.write(
        f"{count} columns, {helpers} helpers: {taken[1]:.2f} ms a tick while they are "
        f"looked at, {late:.2f} afterwards (processor), {sum(taken) * BLOCK / 1e3:.1f} s "
        f"for {TICKS} ticks, peak {peak_rss_mib():,.0f} MiB, {chosen} chosen\n"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--one":
        measure(int(sys.argv[2]), int(sys.argv[3]))
    else:
        for each in sys.argv[1:] or ["207", "862"]:
            for helpers in ("0", "3"):
                command = [sys.executable, "-m", "tests.wide_columns", "--one"]
                subprocess.run([*command, each, helpers], check=True)  # noqa: S603
