from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sfm_stream.config import from_tree
from sfm_stream.engine.resampler import Resampler

MS = 10**6
START = 1_700_000_000 * 10**9
FOLDS = ("last", "first", "min", "max", "sum", "mean", "count")
NAN = float("nan")


def resampler(every):
    """Fold one value in every way: as many fields as folds."""
    table = {how: how for how in FOLDS}
    return Resampler(from_tree({"stream": {"every": every, "folds": table}}), FOLDS)


@pytest.mark.parametrize("every", ["100ms", "3ms", "1s"])
def test_every_fold_equals_that_of_polars(every):
    rng = np.random.default_rng(5)
    count, streams = 4_000, 3
    time = START + np.sort(rng.integers(0, 20_000 * MS, count))
    stream = rng.integers(0, streams, count)
    # Eighths add up exactly, in whatever order polars adds them.
    value = np.where(rng.random(count) < 0.2, NAN, rng.integers(-80, 80, count) / 8)
    out = resampler(every).fold(
        np.zeros(count, np.int8),
        stream,
        time,
        np.repeat(value[:, None], len(FOLDS), axis=1),
        np.zeros(count, np.int64),
        np.arange(count),
    )
    expected = by_polars(time, stream, value, every)
    for s in range(streams):
        mine = out.stream == s
        theirs = expected.filter(pl.col("stream") == s)
        np.testing.assert_array_equal(out.time[mine], theirs["time"])
        was = theirs.select(FOLDS).to_numpy()
        np.testing.assert_allclose(out.values[mine], was, rtol=1e-12, atol=0)


def by_polars(time, stream, value, every):
    """Fold with polars: bins by `group_by_dynamic`, empty ones by `upsample`."""
    x = pl.col("x")
    some = x.count() > 0
    frame = pl.DataFrame({"time": time, "stream": stream, "x": value}).with_columns(
        pl.col("time").cast(pl.Datetime("ns")), x.fill_nan(None)
    )
    folded = frame.group_by_dynamic(
        "time", every=every, label="right", group_by="stream"
    ).agg(
        last=x.drop_nulls().last(),
        first=x.drop_nulls().first(),
        min=x.min(),
        max=x.max(),
        sum=pl.when(some).then(x.sum()),
        mean=x.mean(),
        count=pl.len().cast(pl.Float64),
    )
    parts = []
    for bins in folded.sort("time").partition_by("stream"):
        # The last bin is still open.
        full = bins[:-1].with_columns(held=pl.col("last").forward_fill())
        grid = bins.select("time").upsample("time", every=every)[:-1]
        joined = grid.join(full, on="time", how="left").with_columns(
            pl.col("stream", "held").forward_fill()
        )
        empty = pl.col("count").is_null()
        held = ("last", "first", "min", "max", "mean")
        parts.append(
            joined.with_columns(
                *(pl.when(empty).then("held").otherwise(f).alias(f) for f in held),
                *(pl.when(empty).then(0.0).otherwise(f).alias(f)
                  for f in ("sum", "count")),
            )
        )  # fmt: skip
    return pl.concat(parts).with_columns(pl.col("time").to_physical())
