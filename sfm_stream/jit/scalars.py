"""Arithmetic and compiler options shared by the compiled stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from sfm_stream.jit.lanes import hold

F = TypeVar("F", bound=Callable[..., Any])

# All fast-math flags but those that exclude NaN and infinity, which the kernels test
# for.
FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}


# The caller keeps the arrays alive during a call. Without reference counts, a stage
# takes a tenth of the time to compile and to call.
OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
}


def jit(function: F) -> F:
    """Compile a stage: cached on disk, without the GIL, divisions as in numpy."""
    compiled: F = numba.njit(fastmath=FAST, **OPTIONS)(function)
    return compiled


def strict(function: F) -> F:
    """Compile a stage whose operations must not be reordered or fused."""
    # Without an explicit value, the flags of the first compiled caller would apply.
    compiled: F = numba.njit(fastmath=False, **OPTIONS)(function)
    return compiled


def inline(function: F) -> F:
    """Compile a function inline into its caller: only then can it return views."""
    compiled: F = numba.njit(inline="always", fastmath=FAST, **OPTIONS)(function)
    return compiled


# A rational approximation of tanh in float32 (odd 13th over even 6th degree, the
# coefficients published with the Eigen library); error below 3e-7 and never above 1.
# The tanh of libm takes 30 to 40 ns per element because LLVM cannot vectorise it.
LIMIT = np.float32(7.90531110763549805)
A1, A3, A5, A7, A9, A11, A13 = np.array(
    [4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05,
     5.12229709037114e-08, -8.60467152213735e-11, 2.00018790482477e-13,
     -2.76076847742355e-16], np.float32,
)  # fmt: skip
B0, B2, B4, B6 = np.array(
    [4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04,
     1.19825839466702e-06], np.float32,
)  # fmt: skip
# Limits that keep squares and exponentials in float64, and scaled levels in float32.
LARGEST_ROOT, LONGEST_LOG, FARTHEST = 1e150, 700.0, 1e9
HALF, ONE, TWO, ZERO = np.array([0.5, 1.0, 2.0, 0.0], np.float32)


@inline
def ratio(x):
    """Compute tanh x for |x| <= LIMIT, for a number or lanes."""
    y = x * x
    p = A1 + y * (A3 + y * (A5 + y * (A7 + y * (A9 + y * (A11 + y * A13)))))
    return x * p / (B0 + y * (B2 + y * (B4 + y * B6)))


@inline
def tanh(x):
    """Compute tanh x in float32; NaN stays NaN."""
    x = min(x, LIMIT)
    x = max(x, -LIMIT)
    return ratio(x)


@inline
def logistic(x):
    """Compute 1 / (1 + e^-x) in float32, stable for all x."""
    return HALF + HALF * tanh(HALF * x)


@inline
def tanh_lanes(x):
    """Compute `tanh` of each lane."""
    return ratio(hold(x, -LIMIT, LIMIT))


@inline
def logistic_lanes(x):
    """Compute `logistic` of each lane."""
    return HALF + HALF * tanh_lanes(HALF * x)


@inline
def clip(x, limit):
    """Clip x to [-limit, limit]."""
    return limit if x > limit else (max(x, -limit))
