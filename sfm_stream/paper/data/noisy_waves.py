"""Disturbed signals: squares and sawtooths with noise, an offset and a slow swing.

In the paper's signals, neighbouring values alone reveal the kind. In these they do not:
no value repeats, both kinds have the same power, sawtooths rise or fall, and every
signal has several periods, its own offset, a slow swing, and its own amount of noise.
"""

from __future__ import annotations

import numpy as np

from sfm_stream.paper.data.waves import SAWTOOTH, Floats, Waves, waves

PERIOD = (5.0, 25.0)
OFFSET = (-1.0, 1.0)
NOISE = (0.2, 0.6)
# Height and period of the slow swing.
SWING, SLOW = (0.25, 0.75), (30.0, 125.0)
# A sawtooth from -a to a has a third of the power of a square of ±a.
EQUAL_POWER = 3.0**0.5


def disturbed(
    count: int, seed: int | np.random.Generator, *, samples: int = 500
) -> Waves:
    """Draw signals as `waves` does, with disturbances and periods of U(5, 25).

    Each signal has an offset of U(-1, 1), an added sine of height U(.25, .75) and
    period U(30, 125), and white noise with a deviation of U(.2, .6). A sawtooth is √3
    times as high, and rises or falls at random.

    Args:
        count: B, even.
        seed: of all random draws.
        samples: T.

    Raises:
        ConfigError: as `waves` raises it.
    """
    rng = np.random.default_rng(seed)
    plain = waves(count, rng, samples=samples, period=PERIOD)

    def each(low: float, high: float) -> Floats:
        return rng.uniform(low, high, (count, 1))

    height = np.where(plain.label[:, None] == SAWTOOTH, EQUAL_POWER, 1.0)
    height = height * rng.choice([-1.0, 1.0], (count, 1))
    turned = plain.time / each(*SLOW) + each(0.0, 1.0)
    swing = each(*SWING) * np.sin(2.0 * np.pi * turned)
    noise = each(*NOISE) * rng.standard_normal(plain.value.shape)
    value = height * plain.value + each(*OFFSET) + swing + noise
    return plain._replace(value=value)
