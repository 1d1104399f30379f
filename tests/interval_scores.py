"""How good are the intervals of runs? Of any version, from its records alone.

`python -m tests.interval_scores RUN...` joins the bounds of each run's forecasts with
the truth they met, and prints the interval score of the widest interval at 90 % (its
width, and 20 times what the truth lay beyond it), in units of the mean absolute move,
the mean over targets; and the share of truths inside. Then the means over runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

MISS = 2 / (1 - 0.9)
KEYS = ("stream", "target", "horizon", "origin")
ENOUGH = 300


def score(run):
    """Give the interval score and the coverage of a run."""
    said, met = (
        pl.scan_parquet(run / "records" / f"{kind}*.parquet")
        for kind in ("forecasts", "scores")
    )
    lower, upper, truth = (pl.col(name) for name in ("lower", "upper", "truth"))
    beyond = (lower - truth).clip(0) + (truth - upper).clip(0)
    each = (
        met.join(said.select(*KEYS, "lower", "upper"), on=KEYS)
        .filter((pl.col("origin") >= ENOUGH) & lower.is_finite())
        .group_by("target", "horizon")
        .agg(
            score=(upper - lower + MISS * beyond).mean()
            / (truth - pl.col("naive")).abs().mean(),
            inside=truth.is_between(lower, upper).mean(),
        )
    )
    return each.select(pl.mean("score", "inside")).collect().row(0)


def main():
    """Print a row per run."""
    found = {path: score(Path(path)) for path in sys.argv[1:]}
    found["mean"] = tuple(sum(c) / len(c) for c in zip(*found.values(), strict=True))
    for name, (mean, inside) in found.items():
        sys.stdout.write(f"| {name} | {mean:.4f} | {inside:.4f} |\n")


if __name__ == "__main__":
    main()
