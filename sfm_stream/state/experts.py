"""Who is asked for a forecast at each tick, and what the linear ones see.

The regressors of a tick lie side by side, so that every expert of least squares sees
one run of them:

    inputs (N) | lags (L) | errors (R) | 1 | z (M)

Lags are the target's last moves, errors those of the last settled forecasts of the
first horizon, z what the cell says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config

INPUTS, LAGS, ERRORS, ONE, CELL = range(5)


class LeastSquares(NamedTuple):
    """An expert of recursive least squares.

    Attributes:
        first: part of the regressors that its run begins with.
        last: part that its run ends with.
        fast: whether it forgets fast.
    """

    first: int
    last: int
    fast: bool = False


LEAST_SQUARES = {
    "rls": LeastSquares(INPUTS, ONE),
    "rls-fast": LeastSquares(LAGS, ONE, fast=True),
    "sfm-rls": LeastSquares(INPUTS, CELL),
}
# Parts of the trust at birth, when all still say the last value. Least squares learn
# first; where they have nothing to go by, the last value soon has their share.
TRUST = {"last": 7.0, "rls": 6.0, "rls-fast": 1.0, "sfm": 3.0, "sfm-rls": 2.0}
# Columns of `squares`: number of the expert, first regressor, how many, and where its
# coefficients and their covariance begin.
EXPERT, FIRST, SIZE, THETA, COV = range(5)


def regressors(config: Config, inputs: int) -> NDArray[np.int64]:
    """Say where each part of the regressors begins, and where the last one ends [6]."""
    cell = config.model.outputs if uses_cell(config) else 0
    sizes = [inputs, config.features.lags, config.features.errors, 1, cell]
    return np.cumsum([0, *sizes])


def uses_cell(config: Config) -> bool:
    """Say whether any expert needs the cell."""
    return any(name.startswith("sfm") for name in config.forecast.experts)


def trust(config: Config) -> NDArray[np.float64]:
    """Give the weights of the experts at birth [E], sum 1."""
    parts = np.array([TRUST[name] for name in config.forecast.experts])
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
        if name in LEAST_SQUARES:
            sees = LEAST_SQUARES[name]
            first, size = at[sees.first], at[sees.last + 1] - at[sees.first]
            rows.append((number, first, size, theta, cov))
            rates.append(
                config.forecast.fast if sees.fast else config.forecast.forgetting
            )
            theta, cov = theta + size, cov + size * size
    return np.array(rows, np.int64).reshape(len(rows), 5), rates
