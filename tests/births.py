"""How do forecasts begin? The first ticks of many short series, against the last value.

`python -m tests.births` reads pieces of 300 ticks of ../shared/data side by side, each a
stream, and prints MSE / MSE of the last value, the geometric mean over pieces: of the
ticks 2 to 24, 2 to 49 and 2 to 300, beside the worst of each; then the same of random
walks.
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from tests.short_series import DATA, blocks, column

LENGTH, PER_COLUMN, WALKS = 300, 5, 100
SPANS = {"2 to 24": (2, 24), "2 to 49": (2, 49), "2 to 300": (2, 300)}


def tables():
    """Give the columns of real series, name by name [T]."""
    for path in sorted((DATA / "nab").glob("*/*.csv.gz")):
        yield column(path, "value")
    for path in sorted((DATA / "otsf").glob("*.csv.gz")):
        frame = pl.read_csv(path).select(pl.selectors.numeric())
        for name in frame.columns[:7]:
            yield frame[name].cast(pl.Float64).to_numpy()
    yield column(DATA / "ecg" / "mitbih100_mlii.parquet", "mlii")
    for path in sorted((DATA / "binance").glob("*_bookTicker.parquet")):
        yield column(path, "bid")
    for path in sorted((DATA / "fx_ticks").glob("*.parquet")):
        yield column(path, "bid_pt")


def pieces():
    """Give pieces spread evenly over each column; those that stand still are left out.

    They must move within their first ticks, or there is nothing to compare with.
    """
    found = []
    for values in tables():
        starts = np.linspace(0, len(values) - LENGTH, PER_COLUMN).astype(int)
        found += [values[start : start + LENGTH] for start in starts]
    return [piece for piece in found if np.ptp(piece[: SPANS["2 to 24"][1]]) > 0]


def walks():
    """Give random walks, of which nothing can be known."""
    moves = np.random.default_rng(0).standard_normal((WALKS, LENGTH))
    return list(moves.cumsum(axis=1))


def ratios(series):
    """Give MSE / MSE of the last value of each piece, per span [SPANS, pieces]."""
    engine = Engine(from_tree({"features": {"inputs": ["change", "level"]}}), ["value"])
    said = [engine.run(block).columns["scores"] for block in blocks(series)]
    stream, origin, truth, mean, naive = (
        np.concatenate([columns[name] for columns in said])
        for name in ("stream", "origin", "truth", "mean", "naive")
    )
    shape = len(SPANS), len(series)
    ours, theirs, tick = np.zeros(shape), np.zeros(shape), origin + 2
    for i, (first, last) in enumerate(SPANS.values()):
        there = (tick >= first) & (tick <= last)
        np.add.at(ours[i], stream[there], np.square(truth - mean)[there])
        np.add.at(theirs[i], stream[there], np.square(truth - naive)[there])
    return ours / np.where(theirs > 0, theirs, np.nan)


def main():
    """Print a row per kind of series and span."""
    for name, series in {"pieces": pieces(), "walks": walks()}.items():
        for span, found in zip(SPANS, ratios(series), strict=True):
            known = found[found > 0]
            mean, worst = np.exp(np.log(known).mean()), known.max()
            sys.stdout.write(
                f"| {len(known)} {name} | {span} | {mean:.3f} | {worst:.2f} |\n"
            )


if __name__ == "__main__":
    main()
