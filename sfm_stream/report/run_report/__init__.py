"""The report of a run: one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path

from sfm_stream.report import page
from sfm_stream.report.run_report import content
from sfm_stream.storage import run_folder

__all__ = ["write"]

NAME = "report.html"


def write(run: run_folder.Run, out: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        run: a run that has ended.
        out: the file, or an existing folder for `report.html`; None means the run's.

    Returns:
        The file.

    Raises:
        SinkError: if the records cannot be read or the file cannot be written.
    """
    place = run.folder if out is None else out
    path = place / NAME if place.is_dir() else place
    found = content.gather(run)
    return page.write(__name__, "report.js", found["about"]["name"], found, path)
