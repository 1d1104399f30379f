"""Scales a tick into regressors, and makes a peer that forecasts from them.

The scaling is that of the engine: running means and variances that forget over
`features.scale` ticks, taken up to the tick before, and clipped values. The target of a
regression is the change from the last value, in units of its running root mean square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sfm_stream.evaluate.referee import Ring

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.evaluate.referee import Labels, Seen
    from sfm_stream.events import Floats, Ints

LAGS = 24
"""Past changes of the target among the regressors."""
STEADY_AFTER = 50
"""Number of values after which an outlier is clipped before it updates the scale."""
DAY = 86_400 * 10**9
"""In ns."""
HANDS = 4
"""Readings of the time of day."""


@dataclass(frozen=True, slots=True)
class Task:
    """The forecasting task of a peer.

    Attributes:
        target: index of the target among the values of a tick.
        values: number of values of a tick, S.
        ahead: int64 [Q], ticks of each horizon; 0 for a horizon in time.
        wait: the largest number of ticks until a label settles.
        weights: number of learned weights of our model of the same target.
        config: of the run.
    """

    target: int
    values: int
    ahead: Ints
    wait: int
    weights: int
    config: Config


class Regression(Protocol):
    """A regression from regressors to scaled changes, updated label by label."""

    def predict(self, origin: int, x: Floats) -> Floats:
        """Give the scaled change [Q] at every horizon from regressors [P]."""

    def learn(self, horizon: Ints, origin: Ints, x: Floats, y: Floats) -> None:
        """Learn scaled changes y [n] of horizons [n] from the regressors x [n, P]."""


class Regressors:
    """Scaled regressors of a tick: moves of the target, others, and a constant.

    Args:
        task: its target gives the moves, newest first.
        lags: number of moves; with 0 lags there is no constant either.
        rest: whether to include changes and levels of all values, and the time of day.
    """

    def __init__(self, task: Task, lags: int, *, rest: bool) -> None:
        features = task.config.features
        self._target, self._rest, self._scale = task.target, rest, features.scale
        self._clip = task.config.forecast.input_clip
        self._before = np.zeros(task.values)
        self._mean, self._variance = np.zeros((2, 2 * task.values))
        self._moves, self._square = np.zeros(lags), 0.0
        self._count = 0
        self._constant = np.ones(1 if lags else 0)
        others = 2 * task.values + HANDS if rest else 0
        self.size = lags + len(self._constant) + others

    def take(self, seen: Seen) -> Floats:
        """Take a tick; give its regressors [P]."""
        if seen.fresh:
            self._before = seen.values
            self._moves = np.zeros(len(self._moves))
        change = seen.values - self._before
        self._before = seen.values
        rate = 1.0 / min(self._count + 1.0, self._scale)
        move = change[self._target]
        self._moves = np.concatenate([[move], self._moves])[: len(self._moves)]
        unit = np.sqrt(self._square) or 1.0
        moves = np.clip(self._moves / unit, -self._clip, self._clip)
        self._square += rate * (self._held(move, unit) ** 2 - self._square)
        rest = []
        if self._rest:
            levels = self._scaled(np.concatenate([change, seen.values]), rate)
            rest = [levels, hands(seen.time)]
        self._count += 1
        return np.concatenate([moves, *rest, self._constant])

    def _held(self, move: float, unit: float) -> float:
        most = self._clip * unit if self._count > STEADY_AFTER else np.inf
        return max(-most, min(move, most))

    @np.errstate(over="ignore")
    def _scaled(self, raw: Floats, rate: float) -> Floats:
        away = raw - self._mean
        deviation = np.sqrt(self._variance)
        deviation[deviation == 0] = 1.0
        scaled: Floats = np.clip(away / deviation, -self._clip, self._clip)
        self._mean += rate * away
        square = away**2
        square[np.isinf(square)] = 0.0  # else the variance would stay infinite
        self._variance = (1.0 - rate) * (self._variance + rate * square)
        return scaled


def hands(time: int) -> Floats:
    """Give sine and cosine of the time of day and of twice its angle [4]."""
    angle = 2.0 * np.pi * (time % DAY) / DAY * np.array([1.0, 2.0])
    read: Floats = np.sqrt(2.0) * np.concatenate([np.sin(angle), np.cos(angle)])
    return read


class Regressed:
    """A peer that forecasts by a regression on scaled regressors.

    Args:
        task: the forecasting task.
        regressors: makes the regressors of a tick.
        regression: maps regressors to scaled changes.
    """

    def __init__(
        self, task: Task, regressors: Regressors, regression: Regression
    ) -> None:
        horizons = len(task.ahead)
        self._target, self._regressors = task.target, regressors
        self._regression = regression
        self._scale = task.config.features.scale
        self._clip = task.config.forecast.input_clip
        self._x = Ring(task.wait, regressors.size)
        self._origin = Ring(task.wait, 1 + horizons)  # value, unit per horizon
        self._square, self._count = np.zeros(horizons), np.zeros(horizons)

    def forecast(self, seen: Seen) -> Floats:
        """Take a tick; give the means [Q]."""
        x = self._regressors.take(seen)
        value = seen.values[self._target]
        unit = np.sqrt(self._square)
        unit[unit == 0] = 1.0
        self._x.put(seen.origin, x)
        self._origin.put(seen.origin, np.concatenate([[value], unit]))
        said = self._regression.predict(seen.origin, x)
        means: Floats = value + unit * np.clip(said, -self._clip, self._clip)
        return means

    @np.errstate(over="ignore")
    def learn(self, labels: Labels) -> None:
        """Learn from settled labels."""
        horizon, origin = labels.horizon, labels.origin
        raw = labels.truth - self._origin.at(origin, 0)
        unit = self._origin.at(origin, 1 + horizon)
        y = np.clip(raw / unit, -self._clip, self._clip)
        self._regression.learn(horizon, origin, self._x.at(origin), y)
        usual = np.where(
            self._count[horizon] > STEADY_AFTER, self._square[horizon], np.inf
        )
        square = np.minimum(raw**2, self._clip**2 * usual)
        rate = 1.0 / np.minimum(self._count[horizon] + 1.0, self._scale)
        self._square[horizon] += rate * (square - self._square[horizon])
        self._count[horizon] += 1.0
