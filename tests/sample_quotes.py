"""Made-up quotes, for the examples that read files.

`python -m tests.sample_quotes` writes `configs/quotes.csv`, one instrument, and
`configs/quotes.parquet`, two of them. The mid follows our generator's tones, and the
book leans towards where the mid goes next. The prices are nobody's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from connectors import open_feed
from sfm_stream.config import from_tree

FOLDER = Path(__file__).parents[1] / "configs"
TICKS = 3_000
START = np.datetime64("2024-01-02T09:00:00.000", "ms")
MEAN_GAP_MS = 250.0
LEVEL, SWING, STEP = 100.0, 0.1, 0.01
LEAN = 4.0
"""How much more the book leans for a change of the generator's signal by 1."""


def tones(ticks, seed):
    """Give our generator's signal."""
    feed = {
        "connector": "synthetic",
        "options": {"signal": "tones", "ticks": ticks, "seed": seed},
    }
    blocks = open_feed(from_tree({"feed": feed})).blocks(ticks)
    return np.concatenate([block.values[:, 0] for block in blocks])


def quotes(instrument, seed):
    """Give times, best bid and ask with their quantities, of one instrument."""
    random = np.random.default_rng(seed)
    signal = tones(TICKS + 1, seed)
    gaps = 1 + random.exponential(MEAN_GAP_MS, TICKS).astype(np.int64)
    steps = np.floor((LEVEL + SWING * signal[:-1]) / STEP)
    spread = 1 + random.poisson(0.5, TICKS)
    lean = LEAN * np.diff(signal) + random.standard_normal(TICKS)
    share = 1 / (1 + np.exp(-lean))
    depth = random.lognormal(1.0, 0.3, TICKS)
    return pl.DataFrame(
        {
            "time": START + np.cumsum(gaps).astype("timedelta64[ms]"),
            "instrument": [instrument] * TICKS,
            "bid": np.round(steps * STEP, 2),
            "ask": np.round((steps + spread) * STEP, 2),
            "bid_qty": np.round(depth * share, 3),
            "ask_qty": np.round(depth * (1 - share), 3),
        }
    )


def main(folder=FOLDER):
    """Write both files."""
    one = quotes("AAA", seed=0)
    stamps = pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    one.drop("instrument").with_columns(stamps).write_csv(folder / "quotes.csv")
    names = {"time": "t", "bid": "bid_px", "ask": "ask_px",
             "bid_qty": "bid_sz", "ask_qty": "ask_sz"}  # fmt: skip
    both = pl.concat([one, quotes("BBB", seed=1)]).sort("time", "instrument")
    both.rename(names).write_parquet(folder / "quotes.parquet")


if __name__ == "__main__":
    main()
