"""The report of a suite: an HTML page with a part for each data set."""

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
        sets: `name`, `title`, `measure`, `best` and `source` of each set.
        names: of the models.
        found: results per set and model, from `suite.carry_out`; sets left out are
            absent.
        command: the command that made the results.

    Returns:
        The file.

    Raises:
        SinkError: if the file cannot be written.
    """
    told = content.gather(folder.name, sets, names, found, command)
    return page.write(__name__, "suite.js", folder.name, told, folder / NAME)
