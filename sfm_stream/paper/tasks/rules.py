"""Classifies signals by simple rules: one statistic, and the bound that fits best."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sfm_stream.paper.data.waves import SAWTOOTH, SQUARE, Floats, Waves, repeats

JUMPS = 5
"""Number of a signal's largest steps that count as jumps."""


def accuracies(train: Waves, test: Waves) -> dict[str, float]:
    """Give the accuracy of `repeats`, and of a bound on each of `STATISTICS`.

    Args:
        train: signals to which the bounds are fitted.
        test: signals on which the accuracy is measured.
    """
    found = {"repeats": float((repeats(test.value) == test.label).mean())}
    for name, statistic in STATISTICS.items():
        bound, above = fit(statistic(train.value), train.label)
        kinds = np.where(statistic(test.value) >= bound, above, SAWTOOTH - above)
        found[name] = float((kinds == test.label).mean())
    return found


def fit(statistic: Floats, label: NDArray[np.int64]) -> tuple[float, int]:
    """Find the bound that classifies most signals correctly, and the kind above it.

    Args:
        statistic: of each signal [B].
        label: kind of each signal [B].
    """
    above = statistic[None, :] >= np.sort(statistic)[:, None]
    right = (above == (label == SAWTOOTH)).mean(-1)
    best = int(np.argmax(np.abs(right - 0.5)))
    kind = SAWTOOTH if right[best] >= 0.5 else SQUARE
    return float(np.sort(statistic)[best]), kind


def _neighbours(value: Floats) -> Floats:
    return np.asarray(np.median(_steps(value), axis=-1))


def _jumps(value: Floats) -> Floats:
    return np.asarray(np.sort(_steps(value), axis=-1)[:, -JUMPS:].mean(-1))


def _kurtosis(value: Floats) -> Floats:
    return np.asarray((_standard(value) ** 4).mean(-1))


def _steps(value: Floats) -> Floats:
    return np.abs(np.diff(_standard(value), axis=-1))


def _standard(value: Floats) -> Floats:
    """Scale signals to mean 0 and deviation 1; a constant signal becomes 0."""
    deviation = value.std(-1, keepdims=True)
    centred = value - value.mean(-1, keepdims=True)
    return np.asarray(centred / np.where(deviation > 0.0, deviation, 1.0))


# Functions from signals [B, T] to [B]: the median step between neighbours, the mean of
# the largest steps, and the kurtosis, which is least for signals of two values.
STATISTICS: Mapping[str, Callable[[Floats], Floats]] = {
    "neighbours": _neighbours,
    "jumps": _jumps,
    "kurtosis": _kurtosis,
}
