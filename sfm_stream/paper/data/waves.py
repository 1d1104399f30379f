"""Generates the signals of the paper's first task: squares and sawtooths.

The signals are sampled at irregular times.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfm_stream.errors import ConfigError

Floats = NDArray[np.float64]

SQUARE, SAWTOOTH = 0, 1

# Bounds of uniform distributions; spans and periods have the same unit of time.
SPAN = (15.0, 125.0)
PERIOD = (15.0, 125.0)
AMPLITUDE = (0.75, 2.0)
DUTY = (0.25, 0.75)


class Waves(NamedTuple):
    """Signals to classify.

    Attributes:
        value: [B, T].
        time: time since the signal's start, ascending along T [B, T].
        label: `SQUARE` or `SAWTOOTH` [B].
    """

    value: Floats
    time: Floats
    label: NDArray[np.int64]

    @property
    def inputs(self) -> Floats:
        """The inputs of a model, value and time [B, T, 2]."""
        return np.stack([self.value, self.time], -1)

    @property
    def elapsed(self) -> Floats:
        """Time since the sample before; for the first sample since the start [B, T]."""
        return np.diff(self.time, axis=-1, prepend=0.0)


def waves(
    count: int,
    seed: int | np.random.Generator,
    *,
    samples: int = 500,
    period: tuple[float, float] = PERIOD,
) -> Waves:
    """Draw signals, squares and sawtooths in turn.

    A signal has a span of U(15, 125) with sorted sample times, uniform on the span; a
    period of U(15, 125), so that half of the signals show less than one period; an
    amplitude a of U(.75, 2); and a random phase. A square is a for a part of U(.25,
    .75) of its period and -a for the rest; a sawtooth rises from -a to a.

    Args:
        count: B, even, so that both kinds have the same number.
        seed: of all random draws; train and test sets differ only in the seed.
        samples: T.
        period: bounds of the period; the default is the paper's.

    Raises:
        ConfigError: for a count that is odd or below 2, or samples below 1.

    References:
        Hu & Qi, State-Frequency Memory Recurrent Neural Networks, ICML 2017; ranges
        measured on its authors' test set. A rule separates the kinds: most values of a
        square equal the value before. So the task shows that a model works, not that it
        is good.
    """
    if count < 2 or count % 2:
        problem = f"expected an even number from 2, was {count}"
        raise ConfigError("count", problem, "the two kinds are equally many")
    if samples < 1:
        raise ConfigError("samples", f"expected at least 1, was {samples}")
    rng = np.random.default_rng(seed)

    def each(low: float, high: float) -> Floats:
        return rng.uniform(low, high, (count, 1))

    time = np.sort(rng.random((count, samples)), axis=-1) * each(*SPAN)
    turned = (time / each(*period) + each(0.0, 1.0)) % 1.0
    amplitude = each(*AMPLITUDE)
    square = np.where(turned < each(*DUTY), amplitude, -amplitude)
    sawtooth = amplitude * (2.0 * turned - 1.0)
    label = np.arange(count) % 2
    return Waves(np.where(label[:, None] == SQUARE, square, sawtooth), time, label)


def repeats(value: Floats) -> NDArray[np.int64]:
    """Classify signals by one rule: most values of a square equal the value before.

    Args:
        value: [B, T].

    Returns:
        `SQUARE` or `SAWTOOTH` [B].
    """
    moves = np.median(np.abs(np.diff(value, axis=-1)), axis=-1) > 0
    return np.where(moves, SAWTOOTH, SQUARE)
