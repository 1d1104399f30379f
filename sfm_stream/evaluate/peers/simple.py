"""Peers that need no library: last value, mean, recursive least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sfm_stream.evaluate.peers.scaling import Task
    from sfm_stream.evaluate.referee import Labels, Seen
    from sfm_stream.events import Floats, Ints

RIDGE = 1.0
QUIET = 1e-9
"""Below this x'Px a label is skipped: the step would only forget."""


class Last:
    """Forecasts the last value."""

    def __init__(self, task: Task) -> None:
        self._target, self._horizons = task.target, len(task.ahead)

    def forecast(self, seen: Seen) -> Floats:
        """Give the value of the tick."""
        return np.full(self._horizons, seen.values[self._target])

    def learn(self, labels: Labels) -> None:
        """Do nothing: there is nothing to learn."""
        del labels


class Mean:
    """Forecasts the mean of all values so far."""

    def __init__(self, task: Task) -> None:
        self._target, self._horizons = task.target, len(task.ahead)
        self._mean, self._count = 0.0, 0

    def forecast(self, seen: Seen) -> Floats:
        """Add the tick to the mean, and give the mean."""
        self._count += 1
        self._mean += (seen.values[self._target] - self._mean) / self._count
        return np.full(self._horizons, self._mean)

    def learn(self, labels: Labels) -> None:
        """Do nothing: the mean learns from each tick in `forecast`."""
        del labels


class LeastSquares:
    """Recursive least squares, one problem per horizon.

    Source: the exponentially forgetting recursion (Ljung and Soderstrom, Theory and
    Practice of Recursive Identification, 1983).

    Args:
        horizons: Q.
        size: number of regressors, P.
        forgetting: factor per step; 1 means no forgetting.
    """

    def __init__(self, horizons: int, size: int, forgetting: float) -> None:
        self._forgetting = forgetting
        self._theta = np.zeros((horizons, size))
        self._cov = np.tile(np.eye(size) / RIDGE, (horizons, 1, 1))

    def predict(self, origin: int, x: Floats) -> Floats:
        """Give theta x [Q]."""
        del origin
        return self._theta @ x

    def learn(self, horizon: Ints, origin: Ints, x: Floats, y: Floats) -> None:
        """Take one step per label."""
        del origin
        for q, regressors, label in zip(horizon, x, y, strict=True):
            self._step(self._theta[q], self._cov[q], regressors, label)

    def _step(self, theta: Floats, cov: Floats, x: Floats, y: float) -> None:
        product = cov @ x
        energy = product @ x
        if not energy > QUIET:
            return
        gain = product / (self._forgetting + energy)
        theta += gain * (y - theta @ x)
        cov -= np.outer(gain, product)
        cov /= self._forgetting
