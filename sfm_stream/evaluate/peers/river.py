"""Peers from River, the library for online learning.

Regressions get the same scaled regressors as least squares. SNARIMAX takes scaled
changes, Holt-Winters takes values, and both forecast the next ticks one by one: so they
cannot forecast a horizon in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.evaluate.peers.scaling import Task
    from sfm_stream.evaluate.referee import Labels, Seen
    from sfm_stream.events import Floats, Ints

AUTOREGRESSIVE, MOVING_AVERAGE = 16, 4
LEVEL, TREND = 0.3, 0.1
SMOOTHING = 0.999
LEARNING_RATE = 0.001
"""Gradient descent diverged on most of our sets at ten times this, River's default."""
STEADY_AFTER = 2


class Linear:
    """One of River's linear models per horizon."""

    def __init__(self, models: list[Any]) -> None:
        self._models = models

    def predict(self, origin: int, x: Floats) -> Floats:
        """Predict with each horizon's model."""
        del origin
        named = dict(enumerate(x.tolist()))
        return np.array([float(model.predict_one(named)) for model in self._models])

    def learn(self, horizon: Ints, origin: Ints, x: Floats, y: Floats) -> None:
        """Update each horizon's model with its label."""
        del origin
        for q, regressors, label in zip(horizon, x, y.tolist(), strict=True):
            self._models[q].learn_one(dict(enumerate(regressors.tolist())), label)


def linear(horizons: int) -> Linear:
    """Make linear regressions trained by stochastic gradient descent."""
    from river import linear_model, optim

    rate = LEARNING_RATE
    return Linear([linear_model.LinearRegression(optim.SGD(rate), intercept_lr=rate)
                   for _ in range(horizons)])  # fmt: skip


def bayes(horizons: int) -> Linear:
    """Make Bayesian linear regressions with forgetting."""
    from river import linear_model

    return Linear([linear_model.BayesianLinearRegression(smoothing=SMOOTHING)
                   for _ in range(horizons)])  # fmt: skip


class Snarimax:
    """An ARMA model of scaled changes, thus an ARIMA model of values."""

    def __init__(self, task: Task) -> None:
        from river import linear_model, optim, preprocessing, time_series

        descent = linear_model.LinearRegression(optim.SGD(LEARNING_RATE))
        self._model: Any = time_series.SNARIMAX(
            AUTOREGRESSIVE, 0, MOVING_AVERAGE,
            regressor=preprocessing.StandardScaler() | descent,
        )  # fmt: skip
        self._task, self._steps = task, _steps(task, "snarimax")
        self._before, self._square, self._count = 0.0, 0.0, 0

    def forecast(self, seen: Seen) -> Floats:
        """Take the change of the tick; give the value plus the changes ahead."""
        clip = self._task.config.forecast.input_clip
        value = float(seen.values[self._task.target])
        if not seen.fresh:
            self._take(value - self._before, clip)
        self._before = value
        if self._count <= STEADY_AFTER:
            return np.full(len(self._steps), value)
        path = np.array(self._model.forecast(int(self._steps.max())), np.float64)
        ahead = np.cumsum(np.clip(path, -clip, clip))[self._steps - 1]
        said: Floats = value + np.sqrt(self._square) * ahead
        return said

    def learn(self, labels: Labels) -> None:
        """Do nothing: the model learns from each tick in `forecast`."""
        del labels

    def _take(self, change: float, clip: float) -> None:
        unit = float(np.sqrt(self._square)) or 1.0
        scaled = max(-clip, min(change / unit, clip))
        if self._count >= STEADY_AFTER:
            self._model.learn_one(scaled)
        self._count += 1
        rate = 1.0 / min(self._count, self._task.config.features.scale)
        held = scaled * unit if self._count > AUTOREGRESSIVE else change
        self._square += rate * (held**2 - self._square)


class HoltWinters:
    """Level and trend of values, exponentially smoothed."""

    def __init__(self, task: Task) -> None:
        from river import time_series

        holt_winters: Any = time_series.HoltWinters  # it carries no annotations
        self._model = holt_winters(LEVEL, TREND)
        self._target, self._steps = task.target, _steps(task, "holtwinters")
        self._count = 0

    def forecast(self, seen: Seen) -> Floats:
        """Take the value of the tick; give level and trend ahead."""
        value = float(seen.values[self._target])
        self._model.learn_one(value)
        self._count += 1
        if self._count <= STEADY_AFTER:
            return np.full(len(self._steps), value)
        path = self._model.forecast(int(self._steps.max()))
        return np.array(path, np.float64)[self._steps - 1]

    def learn(self, labels: Labels) -> None:
        """Do nothing: the model learns from each tick in `forecast`."""
        del labels


def _steps(task: Task, name: str) -> Ints:
    """Give the ticks of the horizons; refuse horizons in time."""
    if (task.ahead == 0).any():
        problem = f"{name} forecasts ticks, target.horizons has a time"
        raise ConfigError("--models", problem, f"leave out {name}")
    return task.ahead
