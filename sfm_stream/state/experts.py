"""The settings of the experts: regressors, ridges, clips and prior weights.

The regressors of a tick lie side by side, so that every expert of least squares sees a
contiguous part of them:

    z (M) | inputs (N) | lags (L) | errors (R) | 1 | season

z is the output of the cell, lags are the last moves of the target, errors are those of
the last settled forecasts of the first horizon. Each horizon has its own season. It is
last, so that the experts can work without it until it is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config
from sfm_stream.settings.experts import EXPERTS, PARTS

# Columns of `squares`: number of the expert, its first regressor, its number of
# regressors, and the offsets of its coefficients and of their covariance.
EXPERT, FIRST, SIZE, THETA, COV = range(5)
# The ridge of a move grows with this power of its lag.
GROWTH = 2.0
# Number of regressors of the season, see `kernels.inputs.season`.
SEASON = 6


def regressors(config: Config, inputs: int) -> NDArray[np.int64]:
    """Give the offset of each part of the regressors, and the end of the last [7]."""
    cell = config.model.outputs if uses_cell(config) else 0
    season = SEASON * config.features.seasons
    sizes = [cell, inputs, config.features.lags, config.features.errors, 1, season]
    return np.cumsum([0, *sizes])


def ridges(config: Config, inputs: int) -> NDArray[np.float64]:
    """Give the ridge of each coefficient of least squares at birth, as in `theta`.

    Careful experts expect older moves to matter less: the ridge of a move grows with
    the square of its lag (Litterman, Forecasting with Bayesian vector autoregressions,
    Journal of Business and Economic Statistics 4, 1986).
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
    """Give the clip of each expert of least squares, in deviations [E']."""
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
        A table [E', 5] with the columns EXPERT to COV, and the forgetting factors
        [E'].
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
