"""Writes a report as one HTML file that contains data, drawing code and style."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from sfm_stream import drawing
from sfm_stream.errors import SinkError
from sfm_stream.storage import run_folder

MODULE_LINES = re.compile(r"(?ms)^(import .*? from .*?;|export \{.*?\};)\n")
"""Imports and exports of the modules, which one file does not need."""


def write(
    room: str, script: str, title: str, content: dict[str, Any], to: Path
) -> Path:
    """Write the page of a report.

    Args:
        room: the package that contains the script.
        script: name of the JavaScript module that draws the page with `draw.js`.
        title: of the page.
        content: plain data; the script reads it from the page.
        to: the file.

    Returns:
        The file.

    Raises:
        SinkError: if the file cannot be written, or is there and is no report.
    """
    _expect_own(to)
    html = assemble(title, content, drawing.asset(script, room))
    run_folder.write(to, html.encode())
    return to


def _expect_own(path: Path) -> None:
    """Refuse to write over a file that does not begin as every report does."""
    begin = drawing.asset("report.html", __package__).partition("<title>")[0].encode()
    if path.is_file() and not path.read_bytes().startswith(begin):
        problem = "expected a report of sfm-stream or no file, was another file"
        raise SinkError(str(path), problem, "move it away, or name another file")


def assemble(title: str, content: dict[str, Any], script: str) -> str:
    """Put content, code and style into one page that loads nothing from other hosts.

    Args:
        title: of the page.
        content: plain data; the script reads it from the page.
        script: code of a JavaScript module that draws the page with `draw.js`.
    """
    data = msgspec.json.encode(content).decode().replace("</", "<\\/")
    code = drawing.asset("draw.js") + script
    return Template(drawing.asset("report.html", __package__)).substitute(
        title=escape(title),
        style=drawing.asset("uplot/uPlot.min.css") + drawing.asset("style.css"),
        plots=drawing.asset("uplot/uPlot.iife.min.js"),
        code=MODULE_LINES.sub("", code),
        data=data,
    )
