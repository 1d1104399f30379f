"""What pages draw with: uPlot, charts, style; shared by report and daemon."""

from __future__ import annotations

from importlib import resources

__all__ = ["asset"]


def asset(name: str, room: str = __name__) -> str:
    """Give a file that lies beside code as text.

    Args:
        name: e.g. `draw.js`, `uplot/uPlot.min.css`.
        room: the package it lies in, if it is not this one.
    """
    return resources.files(room).joinpath(name).read_text(encoding="utf-8")
