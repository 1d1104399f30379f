"""The report of a run: one HTML file that opens anywhere, without a network."""

from __future__ import annotations

from pathlib import Path

from sfm_stream.errors import SinkError
from sfm_stream.report.run_report import content, page
from sfm_stream.storage import atomic, run_folder

__all__ = ["write"]

NAME = "report.html"


def write(run: run_folder.Run, out: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        run: that has come to its end.
        out: the file; if absent, `report.html` in the run's folder.

    Returns:
        The file.

    Raises:
        SinkError: if the records cannot be read or the file not be written.
    """
    path = run.folder / NAME if out is None else out
    html = page.assemble(content.gather(run))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, html.encode())
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e
    return path
