"""numba's array functions come without BLAS, and work."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from sfm_stream.jit import blas
blas.leave_out()
import numba, numpy as np
assert not [name for name in sys.modules if name.startswith("scipy.linalg")]
both = numba.njit(lambda a, b: np.convolve(a, b)[2] + np.dot(a, b))
found = both(np.arange(3.0), np.ones(3))
import scipy.linalg.cython_blas
blas.leave_out()  # it is there: nothing to do
assert blas.BLAS in sys.modules and scipy.linalg.norm([3.0, 4.0]) == 5.0
print(found)
"""


def test_numba_works_without_blas_and_scipy_loads_afterwards():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.stdout == "6.0\n", done.stderr
