"""The report of a comparison: an HTML page that shows several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfm_stream.report import page
from sfm_stream.report.comparison import content

__all__ = ["write"]

NAME = "report.html"


def write(
    folder: Path, names: Sequence[str], warmup: float, paces: Mapping[str, Any]
) -> Path:
    """Write the report of a comparison into its folder.

    Args:
        folder: with the records of each model in a folder of its name.
        names: of the models.
        warmup: `run.warmup`, a count (int) or a share (float) of each stream's ticks.
        paces: per model, ticks a second and peak memory.

    Returns:
        The file.

    Raises:
        SinkError: if the records cannot be read or the file cannot be written.
    """
    found = content.gather(folder, names, warmup, paces)
    return page.write(__name__, "comparison.js", folder.name, found, folder / NAME)
