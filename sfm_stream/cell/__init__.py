"""The mathematics of the State-Frequency Memory, in its most readable form.

Names are loaded on first use, so that the numpy-only rooms (`birth`, `grids`) can be
imported by a backend that must not pay for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm_stream.cell.sfm import SFM, SFMCell, SFMState

__all__ = ["SFM", "SFMCell", "SFMState"]


def __getattr__(name: str) -> object:
    """Load a public name from `sfm_stream.cell.sfm` when it is first asked for."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module("sfm_stream.cell.sfm"), name)


def __dir__() -> list[str]:
    """Name what can be asked for, loaded or not."""
    return sorted({*globals(), *__all__})
