"""numba's array functions, loaded without the BLAS that no kernel calls."""

from __future__ import annotations

import sys
from importlib import import_module

BLAS = "scipy.linalg.cython_blas"
ARRAYS = "numba.np.arraymath"


def leave_out() -> None:
    """Load numba's array functions as where there is no BLAS, in a tenth of the time.

    numba looks for it when they are loaded, which loads half of scipy. Without it numba
    multiplies short vectors by a loop of its own. For a process of ours alone: another
    thread that loads scipy meanwhile would find it broken.
    """
    if BLAS in sys.modules:
        return
    sys.modules[BLAS] = None  # type: ignore[assignment]  # so an import of it fails
    try:
        import_module(ARRAYS)
    finally:
        del sys.modules[BLAS]
