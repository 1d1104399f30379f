"""Files of others made into the files that the results are read from.

    python -m tests.data_sets ecg 100.dat mitbih100_mlii.parquet
    python -m tests.data_sets lean xauusd/201405*_quote.zip oanda_xauusd.parquet

`ecg` reads record 100 of the MIT-BIH Arrhythmia Database: two signals in turn, in
WFDB's signal format 212, two 12-bit numbers in three bytes. `lean` reads the tick
quotes of QuantConnect/Lean, a zipped CSV per day of milliseconds since midnight, bid
and ask; the file's name is the day.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl

POINTS_PER_UNIT = {"xauusd": 1_000, "eurusd": 100_000}
SIGN_BIT = 0x800


def ecg(source, made):
    """Write the first signal of a record as `mlii`, units of the digitiser."""
    low, middle, high = np.fromfile(source, np.uint8).reshape(-1, 3).T.astype(np.int16)
    first = low | (middle & 0x0F) << 8
    del high  # of the second signal
    frame = pl.DataFrame({"mlii": (first ^ SIGN_BIT) - SIGN_BIT})
    frame.write_parquet(made)


def lean(sources, made):
    """Write quotes as `t_100ns` since the epoch, `bid_pt` and `ask_pt` in points."""
    days = [
        _day(Path(source)) for source in sorted(sources, key=lambda s: Path(s).name)
    ]
    pl.concat(days).write_parquet(made)


def _day(path):
    midnight = np.datetime64(f"{path.name[:4]}-{path.name[4:6]}-{path.name[6:8]}", "ms")
    points = POINTS_PER_UNIT[path.resolve().parent.name]
    with zipfile.ZipFile(path) as packed, packed.open(packed.namelist()[0]) as file:
        rows = pl.read_csv(
            file.read(), has_header=False, new_columns=["ms", "bid", "ask"],
            schema_overrides={"ms": pl.Float64, "bid": pl.Float64, "ask": pl.Float64},
        )  # fmt: skip
    begin = int(midnight.astype(np.int64)) * 10_000
    return rows.select(
        t_100ns=begin + (pl.col("ms") * 10_000).round().cast(pl.Int64),
        bid_pt=(pl.col("bid") * points).round().cast(pl.Int32),
        ask_pt=(pl.col("ask") * points).round().cast(pl.Int32),
    )


def main(words):
    """Convert what the command line names; the last name is the file to make."""
    kind, *sources, made = words
    if kind == "ecg":
        ecg(sources[0], made)
    elif kind == "lean":
        lean(sources, made)
    else:
        sys.exit(f"data_sets: expected ecg or lean, was {kind!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
