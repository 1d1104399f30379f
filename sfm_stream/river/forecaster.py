"""A forecaster of time series for River, built on the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, overload

import numpy as np
from river import base, conf
from river.time_series.base import Forecaster

from sfm_stream.errors import ConfigError, ShapeError
from sfm_stream.river.base import DEFAULT, LAGS, OneTarget, interval
from sfm_stream.river.rows import Row


class SFMForecaster(OneTarget, Forecaster):
    """State-Frequency Memory network with linear experts, for a time series.

    Each step up to `horizon` has its own trained heads. Farther steps are forecast
    recursively: a copy of the model takes the forecasts as values and forecasts from
    there. The `horizon` steps that are forecast at once use the features of the first
    step only; the copy takes the features of each step between.

    Features and targets are treated as in `SFMRegressor`; all features are optional.

    Parameters
    ----------
    horizon
        Number of steps ahead that have their own heads.
    n_states
        Number of states of the memory.
    n_frequencies
        Number of frequencies that each state remembers.
    n_outputs
        Number of outputs that are read from the memory.
    cell
        `"sfm"` with fixed frequencies, or `"a-sfm"`, whose frequencies move.
    grid
        Spacing of the frequencies: `"log"`, `"half"` or `"paper"`.
    longest_period
        Longest period of the `"log"` grid, in ticks.
    lags
        Number of past changes of the target that the linear experts see.
    optimizer
        Name of the optimiser; `"adam"` is the only one.
    loss
        Name of the loss; `"squared"` is the only one.
    lr
        Learning rate. `mutate({"lr": ...})` changes it at any time.
    clip_gradient
        Largest norm of the gradient.
    window_size
        Number of ticks through which gradients flow back.
    confidence_level
        Share of the truths that the intervals should cover.
    drift_detector
        Gets the mean absolute error of the forecasts that each row settles. At a drift
        the model keeps its learned state and learns as fast as at birth.
    seed
        Seed of the initial weights. None is the same seed as 0, so models without a
        seed begin with the same weights.
    remember
        Number of rows whose forecasts are kept for `history`; 0 keeps no rows.

    Attributes:
    ----------
    n_seen
        Number of rows that the model has learned from.
    n_drifts
        Number of drifts that the detector has reported.
    frequencies
        Frequencies of the memory, in cycles per tick.
    amplitudes
        Amplitude of each frequency now: root mean square of the memory over the states.
    coefficients
        The memory itself, complex, frequencies times states.
    dominant_period
        Ticks per cycle of the strongest frequency above 0.

    Examples:
    --------
    >>> from river import datasets
    >>> from sfm_stream.river import SFMForecaster

    >>> model = SFMForecaster(horizon=12, seed=1)
    >>> for x, y in datasets.AirlinePassengers():
    ...     model.learn_one(y, x)
    >>> forecast = model.forecast(24)
    >>> len(forecast), all(300 < y < 900 for y in forecast)
    (24, True)

    Call the model itself for intervals: a pipeline does not pass `with_interval` on to
    its last step.

    >>> low, *_, high = model.forecast(12, with_interval=True)
    >>> low.lower < forecast[0] < low.upper
    True

    """

    def __init__(
        self,
        horizon: int = 12,
        n_states: int = DEFAULT.model.states,
        n_frequencies: int = DEFAULT.model.frequencies,
        n_outputs: int = DEFAULT.model.outputs,
        cell: str = DEFAULT.model.cell,
        grid: str = DEFAULT.model.grid,
        longest_period: float = DEFAULT.model.longest_period,
        lags: int = LAGS,
        optimizer: str = DEFAULT.learn.optimizer,
        loss: str = "squared",
        lr: float = DEFAULT.learn.lr,
        clip_gradient: float = DEFAULT.learn.clip,
        window_size: int = DEFAULT.learn.window,
        confidence_level: float = DEFAULT.forecast.levels[-1],
        drift_detector: base.DriftDetector | None = None,
        seed: int | None = None,
        remember: int = 0,
    ) -> None:
        self.horizon = horizon
        super().__init__(
            n_states, n_frequencies, n_outputs, cell, grid, longest_period, lags,
            optimizer, loss, lr, clip_gradient, window_size, confidence_level,
            drift_detector, seed, remember,
        )  # fmt: skip

    @property
    def _heads(self) -> int:
        return self.horizon

    def learn_one(self, y: float | None, x: Row | None = None) -> None:
        """Take a row: move the memory, compare the forecasts with the value, learn.

        Parameters
        ----------
        y
            The value, or None where it is unknown.
        x
            Features that are known together with the value.

        """
        self._watch(self._learner.learn(x or {}, {"y": y}))

    @overload
    def forecast(
        self,
        horizon: int,
        xs: Iterable[Row] | None = ...,
        with_interval: Literal[False] = ...,
    ) -> list[float]: ...
    @overload
    def forecast(
        self, horizon: int, xs: Iterable[Row] | None, with_interval: Literal[True]
    ) -> list[conf.Interval]: ...
    @overload
    def forecast(
        self, horizon: int, *, with_interval: Literal[True]
    ) -> list[conf.Interval]: ...
    def forecast(
        self,
        horizon: int,
        xs: Iterable[Row] | None = None,
        with_interval: bool = False,
    ) -> list[float] | list[conf.Interval]:
        """Forecast the next values without changing the model.

        Parameters
        ----------
        horizon
            Number of steps.
        xs
            Features of each step: `horizon` rows.
        with_interval
            Whether to give intervals in place of forecasts.

        """
        if not isinstance(horizon, int | np.integer) or horizon < 0:
            problem = f"expected a whole number of steps from 0 on, was {horizon!r}"
            raise ConfigError("horizon", problem)
        rows = [{}] * horizon if xs is None else list(xs)
        if len(rows) != horizon:
            raise ShapeError("xs", f"({horizon},)", f"({len(rows)},)")
        said = self._learner.forecast(rows)
        return (
            [interval(step) for step in said] if with_interval else said[:, 0].tolist()
        )
