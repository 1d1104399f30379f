"""The mathematics of the State-Frequency Memory, and the cells it is measured against.

Names are loaded on first use, so that `parameters` and `frequencies`, which need numpy
alone, can be imported by a backend that must not pay for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm_stream.cell.baselines.act import ACTCell, ACTState
    from sfm_stream.cell.baselines.associative import AssociativeCell, AssociativeState
    from sfm_stream.cell.baselines.clockwork import CWRNNCell, CWRNNState
    from sfm_stream.cell.baselines.highway import RHNCell, RHNState
    from sfm_stream.cell.baselines.phased import PhasedLSTMCell, PhasedState
    from sfm_stream.cell.baselines.torch_native import (
        GRUCell,
        HiddenState,
        LSTMCell,
        LSTMState,
        RNNCell,
    )
    from sfm_stream.cell.layer import Cell, Layer
    from sfm_stream.cell.sfm import SFM, SFMCell
    from sfm_stream.cell.step import SFMState

__all__ = [
    "SFM",
    "ACTCell",
    "ACTState",
    "AssociativeCell",
    "AssociativeState",
    "CWRNNCell",
    "CWRNNState",
    "Cell",
    "GRUCell",
    "HiddenState",
    "LSTMCell",
    "LSTMState",
    "Layer",
    "PhasedLSTMCell",
    "PhasedState",
    "RHNCell",
    "RHNState",
    "RNNCell",
    "SFMCell",
    "SFMState",
]

# Which room a name is kept in.
KEPT = {
    "baselines.act": ("ACTCell", "ACTState"),
    "baselines.associative": ("AssociativeCell", "AssociativeState"),
    "baselines.clockwork": ("CWRNNCell", "CWRNNState"),
    "baselines.highway": ("RHNCell", "RHNState"),
    "baselines.torch_native": (
        "GRUCell",
        "HiddenState",
        "LSTMCell",
        "LSTMState",
        "RNNCell",
    ),
    "baselines.phased": ("PhasedLSTMCell", "PhasedState"),
    "layer": ("Cell", "Layer"),
    "sfm": ("SFM", "SFMCell"),
    "step": ("SFMState",),
}


def __getattr__(name: str) -> object:
    """Load a public name from its room when it is first asked for."""
    for room, names in KEPT.items():
        if name in names:
            return getattr(import_module(f"sfm_stream.cell.{room}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    """Name what can be asked for, loaded or not."""
    return sorted({*globals(), *__all__})
