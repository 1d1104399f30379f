"""Intervals around the forecasts of peers, which give none themselves.

A half-width is that of normal errors whose variance forgets, times a factor that a
quantile tracker calibrates: it grows after a miss and shrinks after a hit, so that the
shares balance at the level (Gibbs and Candes, Adaptive conformal inference under
distribution shift, NeurIPS 2021). So a peer with poor means still gets fair widths.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sfm_stream.events import Floats, Ints

ENOUGH = 20
"""Scores before an interval is stated, as ours."""
PACE, STEP = 0.02, 0.03
"""Of the running variance, and of a tracker in standard deviations of hit or miss."""


class Judged(NamedTuple):
    """How intervals did: columns of scores, [n] each."""

    covered: NDArray[np.int8]
    winkler: Floats
    crps: Floats


class Widths:
    """Half-widths of one target of one stream, for every horizon and level.

    Args:
        horizons: Q.
        levels: L of them, rising.
    """

    def __init__(self, horizons: int, levels: Sequence[float]) -> None:
        self._levels = np.array(levels)
        normal = NormalDist()
        self._usual = np.array([normal.inv_cdf(0.5 + 0.5 * p) for p in levels])
        self._variance, self._scored = np.zeros((2, horizons))
        self._factor = np.zeros((horizons, len(levels)))

    def say(self) -> Floats:
        """Give the half-widths [Q, L]; NaN until enough is scored."""
        deviation = np.sqrt(self._variance)[:, None]
        widths = self._usual * deviation * np.exp(self._factor)
        widths[self._scored < ENOUGH] = np.nan
        known: Floats = np.maximum.accumulate(widths, axis=1)
        return known

    def learn(self, horizon: Ints, error: Floats, said: Floats) -> None:
        """Take errors [n] of horizons [n], and the half-widths said of them [n, L]."""
        for q, e, widths in zip(horizon.tolist(), error.tolist(), said, strict=True):
            self._scored[q] += 1
            pace = max(PACE, 1.0 / self._scored[q])
            if math.isfinite(e * e):  # else there were no width ever after
                self._variance[q] += pace * (e * e - self._variance[q])
            inside = abs(e) <= widths
            spread = np.sqrt(self._levels * (1.0 - self._levels))
            if not np.isnan(widths[0]):
                self._factor[q] += STEP * (self._levels - inside) / spread


def judge(levels: Sequence[float], error: Floats, said: Floats) -> Judged:
    """Score intervals: errors [n], their half-widths [n, L], NaN where none was said.

    The scores are those of `kernels.experts.interval`, of intervals around a mean.
    """
    tails = 1.0 - np.array(levels)
    away = np.abs(error)[:, None]
    scores = 2.0 * (said + np.maximum(away - said, 0.0) / tails)
    crps = 0.5 * np.abs(error) + (0.5 * tails * scores).sum(1)
    inside = (away[:, 0] <= said[:, -1]).astype(np.int8)
    known = ~np.isnan(said[:, -1])
    covered = np.where(known, inside, np.int8(-1))
    return Judged(covered, scores[:, -1], crps / (len(tails) + 0.5))
