"""Stage 7: the optimiser's step.

Kingma and Ba, Adam, 2015, with the gradient's global norm clipped. The callers skip the
step if the gradient is not finite.
"""

from __future__ import annotations

import math

import numpy as np

from sfm_stream.jit.scalars import ONE, jit

BETA1, BETA2 = np.float32(0.9), np.float32(0.999)
EPSILON = np.float32(1e-8)
# From this step on the bias corrections are 1 in float32.
CORRECTED_AFTER = 20_000
# The learning rate falls with the root of 1 + steps / STEADY_STEPS, down to
# LEAST_SHARE: near the best weights a step is mostly noise, but the stream may still
# change.
STEADY_STEPS, LEAST_SHARE = 4_000.0, 0.25


@jit
def slowed(lr, count):
    """Compute the learning rate of step number `count`."""
    return lr * max(LEAST_SHARE, 1.0 / math.sqrt(1.0 + count / STEADY_STEPS))


@jit
def norm(gradient):
    """Compute the Euclidean norm; NaN or infinite if an element is."""
    total = 0.0
    for i in range(len(gradient)):
        total += gradient[i] * gradient[i]
    return math.sqrt(total)


@jit
def step(weights, moment, moment2, gradient, size, clip, lr, count):
    """Take step number `count` (from 1) along a gradient of norm `size`."""
    shrink = np.float32(clip / size) if size > clip else ONE
    first, second = 1.0, 1.0
    if count < CORRECTED_AFTER:
        first = 1.0 - 0.9**count
        second = 1.0 - 0.999**count
    pace = np.float32(lr / first)
    root = np.float32(1.0 / math.sqrt(second))
    for i in range(len(weights)):
        g = shrink * gradient[i]
        moment[i] = BETA1 * moment[i] + (ONE - BETA1) * g
        moment2[i] = BETA2 * moment2[i] + (ONE - BETA2) * g * g
        weights[i] -= pace * moment[i] / (math.sqrt(moment2[i]) * root + EPSILON)
