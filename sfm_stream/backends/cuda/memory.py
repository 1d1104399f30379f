"""Allocates arrays on the GPU, and copies arrays to it and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray


def send(array: Any) -> Any:
    """Copy an array to the GPU."""
    return cuda.to_device(np.ascontiguousarray(array))


def room(shape: Sequence[int], kind: Any) -> Any:
    """Allocate an array on the GPU; its contents are undefined."""
    return cuda.device_array(tuple(shape), kind)


def write(there: Any, array: NDArray[Any]) -> None:
    """Overwrite an array on the GPU."""
    there.copy_to_device(np.ascontiguousarray(array))


def read(there: Any, into: Any = None) -> NDArray[Any]:
    """Copy an array from the GPU after all kernels launched before have ended."""
    found: NDArray[Any] = there.copy_to_host(into)
    return found
