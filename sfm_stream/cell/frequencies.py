"""Frequency grids: the K angular speeds at which the memory turns."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError

Array = NDArray[np.float64]

# The shortest period visible with one value per tick (the Nyquist limit), in ticks.
SHORTEST_PERIOD = 2.0
# A frequency of at most this many radians per tick counts as constant.
CONSTANT = 1e-12


def frequencies(grid: str, count: int, longest_period: float) -> Array:
    """Compute the K angular frequencies of a grid.

    - `paper`: 2πk/K for k = 1..K (Hu & Qi, ICML 2017). k = K is DC, and k and K-k are
      conjugates: with equal gates only K/2 + 1 amplitudes differ.
    - `half`: πk/K for k = 0..K-1, no conjugates.
    - `log`: DC, then K-1 periods log-spaced from `longest_period` down to 2 ticks;
      K = 1 is DC alone, K = 2 is DC and the longest period.

    Args:
        grid: `paper`, `half` or `log`.
        count: K, at least 1.
        longest_period: in ticks, more than 2; used only by `log`.

    Returns:
        ω [K] in radians per tick.

    Raises:
        ConfigError: for an unknown grid, K < 1, or a longest period of at most 2 ticks.
    """
    if count < 1:
        raise ConfigError("model.frequencies", f"expected at least 1, was {count}")
    if grid == "paper":
        return 2.0 * np.pi * np.arange(1, count + 1, dtype=np.float64) / count
    if grid == "half":
        return np.pi * np.arange(count, dtype=np.float64) / count
    if grid == "log":
        return _log(count, longest_period)
    problem = f"expected one of half, log, paper, was {grid!r}"
    raise ConfigError("model.grid", problem, "use log unless you reproduce the paper")


def period(omega: float) -> float | None:
    """Give the period of a frequency in ticks; None for the constant one.

    Args:
        omega: radians per tick.
    """
    return math.tau / omega if omega > CONSTANT else None


def spacing(omega: Array) -> Array:
    """Compute the largest shift of each frequency in the adaptive cell.

    The reach δ_k is half the distance to the nearest neighbour on the grid, so two
    frequencies can meet but never change places. A single frequency has no neighbour;
    it may move by π/2, half of the band [0, π].

    Args:
        omega: ω [K] in radians per tick, in any order.

    Returns:
        δ [K] in radians per tick.

    References:
        The bounded form ω_t = ω_k + δ_k tanh(...) replaces the unbounded
        ω_t = W x + W' z + b of A-SFM (Hu & Qi, ICML 2017).
    """
    if omega.size == 1:
        return np.array([np.pi / 2.0])
    distance = np.abs(omega[:, None] - omega[None, :])
    np.fill_diagonal(distance, np.inf)
    nearest: Array = distance.min(axis=1)
    return nearest / 2.0


def _log(count: int, longest_period: float) -> Array:
    if not SHORTEST_PERIOD < longest_period < np.inf:
        problem = f"expected more than 2 ticks and finite, was {longest_period}"
        raise ConfigError(
            "model.longest_period", problem, "use your longest season in ticks"
        )
    periods = np.geomspace(longest_period, SHORTEST_PERIOD, max(count - 1, 1))
    return np.concatenate([[0.0], 2.0 * np.pi / periods])[:count]
