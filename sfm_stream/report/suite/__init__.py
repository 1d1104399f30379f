"""The report of a suite: the same page as a comparison's, with a part for each set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfm_stream.report import page
from sfm_stream.report.suite import content

__all__ = ["write"]

NAME = "report.html"


def write(
    folder: Path,
    sets: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    found: Mapping[str, Mapping[str, Any]],
    command: str,
) -> Path:
    """Write the report of a suite into its folder.

    Args:
        folder: of the results.
        sets: `name`, `title`, `measure`, `best` and `source` of each.
        names: of the models.
        found: per set and model, as the suite gives it; sets left out are absent.
        command: that made it.

    Returns:
        The file.

    Raises:
        SinkError: if the file cannot be written.
    """
    told = content.gather(folder.name, sets, names, found, command)
    return page.write(__name__, "suite.js", folder.name, told, folder / NAME)
