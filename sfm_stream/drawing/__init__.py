"""Drawing code of pages (uPlot, charts, style), shared by reports and the daemon."""

from __future__ import annotations

from importlib import resources

__all__ = ["asset"]


def asset(name: str, room: str = __name__) -> str:
    """Read a text file that is part of a package.

    Args:
        name: of the file, e.g. `draw.js`, `uplot/uPlot.min.css`.
        room: the package that contains the file.
    """
    return resources.files(room).joinpath(name).read_text(encoding="utf-8")
