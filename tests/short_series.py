"""A cell for each of many short series, or one for all: which forecasts better?

`python -m tests.short_series` reads pieces of ../shared/data side by side, each a
stream, and prints the mean over streams of their skill one tick ahead: from tick 32 on,
from tick 500 on, and of the second half of the streams where they begin when the first
half has ended.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block

DATA = Path(__file__).parents[2] / "shared" / "data"
START, STEP = 1_700_000_000 * 10**9, 300 * 10**9
PIECES, ROUNDS = 6, 64
MODELS = {"own": False, "shared": True}


def ecg(length=1024, pieces=24):
    """Give pieces of a heart's record, spread over its half hour."""
    values = column(DATA / "ecg" / "mitbih100_mlii.parquet", "mlii")
    starts = range(0, len(values) - length, len(values) // pieces)
    return [values[start : start + length] for start in starts][:pieces]


def transformer(length=2048):
    """Give the loads of ETTm1 in pieces of its two years, drawn at random."""
    frame = pl.read_csv(DATA / "otsf" / "ETTm1.csv.gz")
    values = frame[:, 1:7].cast(pl.Float64).to_numpy()
    random = np.random.default_rng(0)
    starts = random.choice(len(values) // length, PIECES, replace=False) * length
    return [piece for start in starts for piece in values[start : start + length].T]


def unlike(length=1100):
    """Give the first ticks of the 14 streams of NAB, which have little in common."""
    files = sorted((DATA / "nab").glob("*/*.csv.gz"))
    return [column(path, "value")[:length] for path in files]


def column(path, name):
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    return frame[name].cast(pl.Float64).to_numpy()


SETS = {"ecg": ecg, "transformer": transformer, "unlike": unlike}


def blocks(series, first=0, prefix="s"):
    """Give the ticks of all series, moment by moment, some moments to a block."""
    names = tuple(f"{prefix}{j}" for j in range(len(series)))
    longest = max(map(len, series))
    for begin in range(0, longest, ROUNDS):
        ticks = [
            (START + (first + i) * STEP, values[i], j)
            for i in range(begin, min(begin + ROUNDS, longest))
            for j, values in enumerate(series) if i < len(values)
        ]  # fmt: skip
        time, value, stream = zip(*ticks, strict=True)
        yield Block.ticks(
            np.array(time), np.array(value)[:, None], streams=names,
            stream=np.array(stream, np.int32),
        )  # fmt: skip


def skills(engine, series, since, first=0, prefix="s"):
    """Run an engine over series; give each one's skill from some ticks on."""
    before = len(engine.streams)
    said = [engine.run(b).columns["scores"] for b in blocks(series, first, prefix)]
    stream, origin, truth, mean, naive = (
        np.concatenate([columns[name] for columns in said])
        for name in ("stream", "origin", "truth", "mean", "naive")
    )
    ours, theirs = np.square(truth - mean), np.square(truth - naive)
    found = []
    for start in since:
        for number in range(before, before + len(series)):
            mine = (stream == number) & (origin >= start)
            found.append(1 - ours[mine].sum() / theirs[mine].sum())
    return np.reshape(found, (len(since), len(series))).mean(axis=1)


def measure(series, *, shared):
    """Give the mean skill from tick 32, from tick 500, and of streams born late."""
    tree = {"model": {"shared": shared}, "features": {"inputs": ["change", "level"]}}
    one, other = (Engine(from_tree(tree), ["value"]) for _ in range(2))
    half = len(series) // 2
    early, late = series[:half], series[half:]
    whole = skills(one, series, (32, 500))
    skills(other, early, (32,))
    (born_late,) = skills(other, late, (32,), max(map(len, early)) + 1, "late")
    return (*whole, born_late)


def main():
    """Print a row of the table for each set and model."""
    for name, pieces in SETS.items():
        series = pieces()
        for model, shared in MODELS.items():
            figures = measure(series, shared=shared)
            shown = " | ".join(f"{figure:.3f}" for figure in figures)
            sys.stdout.write(f"| {name}, {len(series)} series | {model} | {shown} |\n")


if __name__ == "__main__":
    main()
