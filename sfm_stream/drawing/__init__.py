"""What pages draw with: uPlot, charts, style; shared by report and daemon."""

from __future__ import annotations

from importlib import resources

__all__ = ["asset"]


def asset(name: str) -> str:
    """Give a file of this room as text.

    Args:
        name: e.g. `draw.js`, `uplot/uPlot.min.css`.
    """
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
