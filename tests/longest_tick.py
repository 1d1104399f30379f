"""How long the ticks of the default model are, by `learn.schedule`.

    python -m tests.longest_tick [--repeats 40]

prints quantiles, in microseconds, over 960 ticks from Python, `observe` and `learn`.
Each tick's time is the least of all repeats, which begin at the same snapshot and take
turns: so a busy machine disturbs them little.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.evaluate.pace.one_by_one import each_tick_us
from sfm_stream.events import Block

START = 1_704_067_200 * 10**9
SCHEDULES = ("staggered", "striped")
FIELDS = ("a", "b", "c", "d")
WARM, TICKS = 16_384, 1_024
# The first update after a snapshot is taken back meets memory that nobody has touched.
LEFT_OUT = 64


def block(first, count):
    time = START + np.arange(first, first + count) * 10**9
    values = np.random.default_rng(first).standard_normal((count, len(FIELDS)))
    return Block.ticks(time, values, streams=("main",))


def main(repeats):
    events = list(block(WARM, TICKS).events())
    engines = [Engine(from_tree({"learn": {"schedule": s}}), FIELDS) for s in SCHEDULES]
    for engine in engines:
        engine.run(block(0, WARM))
    begun = [engine.snapshot() for engine in engines]
    least = np.full((len(SCHEDULES), TICKS), np.inf)
    for _ in range(repeats):
        for engine, snapshot, best in zip(engines, begun, least, strict=True):
            engine.restore(*snapshot)
            np.minimum(best, each_tick_us(engine, events), out=best)
    for schedule, best in zip(SCHEDULES, least[:, LEFT_OUT:], strict=True):
        p50, p90, p99 = np.percentile(best, [50, 90, 99])
        sys.stdout.write(
            f"{schedule:9}: p50 {p50:5.1f}, p90 {p90:5.1f}, p99 {p99:5.1f}, "
            f"p99 / p50 {p99 / p50:4.2f}, longest {best.max():5.1f}, "
            f"mean {best.mean():5.1f}\n"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=40)
    main(parser.parse_args().repeats)
