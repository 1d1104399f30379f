"""The State-Frequency Memory cell in torch, and the baseline cells.

A name is loaded on first use: a backend can then import `parameters` and `frequencies`,
which need only numpy, without loading torch.
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

# The names in each module.
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
    """Load a public name from its module on first use."""
    for room, names in KEPT.items():
        if name in names:
            return getattr(import_module(f"sfm_stream.cell.{room}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    """List all public names, loaded or not."""
    return sorted({*globals(), *__all__})
