"""Computes the curves of a report, and thins out those of millions of points."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.events import Floats, Ints

SCORES = ("stream", "target", "horizon", "origin", "time",
          "truth", "mean", "naive", "covered")  # fmt: skip
"""Columns of scores behind figures and curves."""
FEW = 20
"""Curves begin after this many scores."""
NS_PER_S = 10**9
ZOOM = 300
"""Rows of a zoom."""


def extremes(values: Floats, buckets: int) -> Ints:
    """Choose the rows with the least and the greatest value of each bucket.

    Args:
        values: float64 [n].
        buckets: number of stretches of equal length.

    Returns:
        Rows in order, at most 2 x buckets; all n rows if n is no larger.
    """
    if len(values) <= 2 * buckets:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), buckets + 1).astype(np.int64)
    pairs = [
        (start + int(np.argmin(values[start:stop])),
         start + int(np.argmax(values[start:stop])))
        for start, stop in pairwise(edges)
    ]  # fmt: skip
    return np.unique(np.array(pairs))


def rolling(values: Floats, width: int) -> Floats:
    """Average the last `width` values at each row; fewer at the beginning [n].

    The average is NaN where one of these values is infinite.
    """
    endless = np.isinf(values)
    known = np.where(endless, 0.0, values)
    sums = np.concatenate([[0.0], np.cumsum(known, dtype=np.float64)])
    lost = np.concatenate([[0], np.cumsum(endless)])
    at = np.arange(1, len(values) + 1)
    since = np.maximum(at - width, 0)
    averages: Floats = (sums[at] - sums[since]) / (at - since)
    averages[lost[at] > lost[since]] = np.nan
    return averages


def ratio_skill(squared: Floats, naive: Floats) -> Floats:
    """Compute 1 - squared / naive.

    The result is NaN where `naive` is 0, that is where the last value was never wrong,
    and where either argument is infinite.
    """
    where = (naive > 0) & np.isfinite(naive) & np.isfinite(squared)
    skill = np.full(len(naive), np.nan)
    skill[where] = 1 - squared[where] / naive[where]
    return skill


def worst(squared: Floats, width: int = ZOOM) -> slice:
    """Find the stretch of `width` rows with the largest sum of squared errors."""
    if len(squared) <= width:
        return slice(0, len(squared))
    sums = np.convolve(squared, np.ones(width), "valid")
    start = int(np.argmax(sums))
    return slice(start, start + width)


def grouped(keys: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """Sum values by key, [count]."""
    return np.bincount(keys, values, minlength=count)[:count].astype(np.float64)


def rounded(value: Any, digits: int = 5) -> float | None:  # noqa: ANN401 as polars gives it
    """Round a number to `digits` significant digits; None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")
