"""Loads numba's array functions without BLAS, which no kernel calls."""

from __future__ import annotations

import sys
from importlib import import_module

BLAS = "scipy.linalg.cython_blas"
ARRAYS = "numba.np.arraymath"


def leave_out() -> None:
    """Load numba's array functions without BLAS, in a tenth of the time.

    On loading, numba looks for BLAS, which loads half of scipy. Without BLAS numba
    multiplies short vectors in its own loop. Use this only in a process of this
    package: another thread that loads scipy at the same time would fail.
    """
    if BLAS in sys.modules:
        return
    sys.modules[BLAS] = None  # type: ignore[assignment]  # so an import of it fails
    try:
        import_module(ARRAYS)
    finally:
        del sys.modules[BLAS]
