"""The experts: who forecasts at each tick, and what the linear ones see.

The regressors of a tick lie side by side, so that every expert of least squares sees
one run of them:

    z (M) | inputs (N) | lags (L) | errors (R) | 1 | season

z is what the cell says, lags are the target's last moves, errors those of the last
settled forecasts of the first horizon. The season is each horizon's own. It stands
last, so that until it is known the experts work without those regressors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config
from sfm_stream.settings.experts import EXPERTS, PARTS

# Columns of `squares`: number of the expert, first regressor, how many, and where its
# coefficients and their covariance begin.
EXPERT, FIRST, SIZE, THETA, COV = range(5)
# How the ridge of a move grows with its lag, as a power.
GROWTH = 2.0
# Regressors of the season, see `kernels.inputs.season`.
SEASON = 6


def regressors(config: Config, inputs: int) -> NDArray[np.int64]:
    """Say where each part of the regressors begins, and where the last one ends [7]."""
    cell = config.model.outputs if uses_cell(config) else 0
    season = SEASON * config.features.seasons
    sizes = [cell, inputs, config.features.lags, config.features.errors, 1, season]
    return np.cumsum([0, *sizes])


def ridges(config: Config, inputs: int) -> NDArray[np.float64]:
    """Give the ridge of each coefficient of least squares at birth, as in `theta`.

    To careful experts, the further back a move lies, the less it is expected to
    matter: its ridge grows with the square of its lag (Litterman, Forecasting with
    Bayesian vector autoregressions, Journal of Business and Economic Statistics 4,
    1986).
    """
    at, lags = regressors(config, inputs), config.features.lags
    rows, _ = squares(config, inputs)
    every = np.full(at[-1], config.forecast.ridge)
    begin = at[PARTS.index("lags")]
    every[begin : begin + lags] *= np.arange(1.0, lags + 1.0) ** GROWTH
    found = [np.zeros(0)]
    for number, first, size, *_ in rows.tolist():
        careful = EXPERTS[config.forecast.experts[number]].careful
        found.append(every[first : first + size] if careful else np.ones(size))
    return np.concatenate(found)


def clips(config: Config) -> list[float]:
    """Give the deviations at which each expert of least squares clips [E']."""
    experts = (EXPERTS[name] for name in config.forecast.experts)
    return [getattr(config.forecast, one.clips) for one in experts if one.sees]


def uses_cell(config: Config) -> bool:
    """Say whether any expert needs the cell."""
    return any(
        name == "sfm" or "cell" in EXPERTS[name].sees
        for name in config.forecast.experts
    )


def trust(config: Config) -> NDArray[np.float64]:
    """Give the weights of the experts at birth [E], sum 1."""
    parts = np.array([EXPERTS[name].trust for name in config.forecast.experts])
    weights: NDArray[np.float64] = parts / parts.sum()
    return weights


def squares(config: Config, inputs: int) -> tuple[NDArray[np.int64], list[float]]:
    """List the experts of least squares.

    Returns:
        Where each stands and what it sees [E', 5], columns EXPERT to COV; and the
        factor each forgets by [E'].
    """
    at = regressors(config, inputs)
    rows, rates, theta, cov = [], [], 0, 0
    for number, name in enumerate(config.forecast.experts):
        expert = EXPERTS[name]
        if expert.sees:
            first, last = map(PARTS.index, expert.sees)
            size = at[last + 1] - at[first]
            rows.append((number, at[first], size, theta, cov))
            rates.append(getattr(config.forecast, expert.forgets))
            theta, cov = theta + size, cov + size * size
    return np.array(rows, np.int64).reshape(len(rows), 5), rates
