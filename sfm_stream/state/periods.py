"""Finds the periods of targets: a day of the clock, or a peak of autocorrelation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.state.places import LOOKED_AT, TICKS_OF_DAY

# The correlation at a period must rise by this many standard errors: without a period,
# the largest rise among all lags is about 7.
SURELY = 8.0
# The shortest period with this share of the strongest rise is chosen: the multiples of
# a period are as strong as the period itself.
SHARE = 0.8
# Least number of whole periods in the data.
SEEN = 3


def found(
    view: Callable[[str], NDArray[Any]],
    targets: Sequence[str],
    streams: Iterable[str],
    memory: int,
) -> dict[str, dict[str, int]]:
    """Give the period of each target, in ticks, for each stream in which it has one.

    The period is the number of ticks of a day if ticks divide the day, else the result
    of `strongest`.

    Args:
        view: gives arrays of all rows by name, as `Engine.view` does.
        targets: names.
        streams: names of the streams with rows, in their order.
        memory: of running means, `features.scale`.
    """
    products, gauges = view("period_products"), view("period_gauges")
    days = view("counters")[:, TICKS_OF_DAY]
    periods: dict[str, dict[str, int]] = {target: {} for target in targets}
    for number, name in enumerate(streams):
        for row, target in enumerate(targets, number * len(targets)):
            count = min(float(gauges[row, LOOKED_AT]), 2.0 * memory)
            period = int(days[row]) or strongest(products[row], count)
            if period:
                periods[target][name] = period
    return periods


def strongest(products: NDArray[np.float64], count: float) -> int:
    """Give the period with the strongest autocorrelation, in ticks; 0 without one.

    A period is a peak of the autocorrelation that rises above its lowest value at
    shorter lags by more than chance would give. The standard error assumes that there
    is no correlation beyond the first lag without a positive one (Bartlett, On the
    theoretical specification and sampling properties of autocorrelated time-series,
    Journal of the Royal Statistical Society 8, 1946).

    Args:
        products: means of products by lag; index 0 is the mean of squares.
        count: number of values in these means.
    """
    if not products[0] > 0.0:
        return 0
    r = products / products[0]
    unlike = np.flatnonzero(r <= 0.0)
    alike = r[1 : unlike[0] if len(unlike) else len(r)]
    error = np.sqrt((1.0 + 2.0 * np.square(alike).sum()) / count)
    lags = np.arange(2, min(len(r) - 1, int(count) // SEEN + 1))
    peaks = lags[(r[lags] >= r[lags - 1]) & (r[lags] > r[lags + 1])]
    rises = r[peaks] - np.minimum.accumulate(r)[peaks]
    sure = rises > max(SURELY * error, SHARE * rises.max(initial=0.0))
    return int(peaks[sure][0]) if sure.any() else 0
