"""Intervals around the forecasts of peers, which forecast only means.

A half-width is that of normal errors with a running variance, times a factor that a
quantile tracker calibrates. The factor grows after a miss and shrinks after a hit, so
that the share of hits settles at the level (Gibbs and Candes, Adaptive conformal
inference under distribution shift, NeurIPS 2021). So a peer with poor means still gets
calibrated widths. As for our model, a late error moves the factor less, and the factor
has bounds: while hundreds of forecasts wait for their truth, a burst of misses would
otherwise raise the factor once for each of them.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sfm_stream.kernels.experts.interval import ENOUGH, STEP, WIDEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sfm_stream.events import Floats, Ints

PACE = 0.02
"""Rate of the running variance."""


class Judged(NamedTuple):
    """Scores of intervals, as columns [n]."""

    covered: NDArray[np.int8]
    winkler: Floats
    crps: Floats


class Widths:
    """Half-widths of one target of one stream, for every horizon and level.

    Args:
        horizons: Q.
        levels: of the intervals [L], rising.
    """

    def __init__(self, horizons: int, levels: Sequence[float]) -> None:
        self._levels = np.array(levels)
        normal = NormalDist()
        self._usual = np.array([normal.inv_cdf(0.5 + 0.5 * p) for p in levels])
        self._variance, self._scored = np.zeros((2, horizons))
        self._factor = np.zeros((horizons, len(levels)))

    def say(self) -> Floats:
        """Give the half-widths [Q, L]; NaN until `ENOUGH` forecasts are scored."""
        deviation = np.sqrt(self._variance)[:, None]
        widths = self._usual * deviation * np.exp(self._factor)
        widths[self._scored < ENOUGH] = np.nan
        known: Floats = np.maximum.accumulate(widths, axis=1)
        return known

    def learn(self, horizon: Ints, wait: Ints, error: Floats, said: Floats) -> None:
        """Learn from errors.

        Args:
            horizon: [n], of each error.
            wait: [n], ticks from the forecast to its truth.
            error: [n], truth less forecast.
            said: [n, L], the half-widths at the forecasts.
        """
        steps = STEP / np.sqrt(wait)
        settled = zip(
            horizon.tolist(), steps.tolist(), error.tolist(), said, strict=True
        )
        for q, step, e, widths in settled:
            self._scored[q] += 1
            pace = max(PACE, 1.0 / self._scored[q])
            if math.isfinite(e * e):  # else the variance would stay infinite
                self._variance[q] += pace * (e * e - self._variance[q])
            inside = abs(e) <= widths
            spread = np.sqrt(self._levels * (1.0 - self._levels))
            if not np.isnan(widths[0]):
                moved = self._factor[q] + step * (self._levels - inside) / spread
                self._factor[q] = np.clip(moved, -WIDEST, WIDEST)


def judge(levels: Sequence[float], error: Floats, said: Floats) -> Judged:
    """Score intervals by errors [n] and half-widths [n, L], NaN without an interval.

    The scores are those of `kernels.experts.interval` for intervals around a mean.
    """
    tails = 1.0 - np.array(levels)
    away = np.abs(error)[:, None]
    scores = 2.0 * (said + np.maximum(away - said, 0.0) / tails)
    crps = 0.5 * np.abs(error) + (0.5 * tails * scores).sum(1)
    inside = (away[:, 0] <= said[:, -1]).astype(np.int8)
    known = ~np.isnan(said[:, -1])
    covered = np.where(known, inside, np.int8(-1))
    return Judged(covered, scores[:, -1], crps / (len(tails) + 0.5))
