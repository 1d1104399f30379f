"""The file of a report: data, drawing code and style, all inside; and its writing."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from sfm_stream import drawing
from sfm_stream.storage import run_folder

MODULE_LINES = re.compile(r"(?ms)^(import .*? from .*?;|export \{.*?\};)\n")
"""What joins modules that are files; in one file they see each other."""


def write(
    room: str, script: str, title: str, content: dict[str, Any], to: Path
) -> Path:
    """Write the page of a report.

    Args:
        room: the package that the script lies in.
        script: name of the module that writes the page with `draw.js`.
        title: of the page.
        content: plain data, that the script finds in the page.
        to: the file.

    Returns:
        The file.

    Raises:
        SinkError: if it cannot be written.
    """
    html = assemble(title, content, drawing.asset(script, room))
    run_folder.write(to, html.encode())
    return to


def assemble(title: str, content: dict[str, Any], script: str) -> str:
    """Put content, code and style into one page that asks no other host.

    Args:
        title: of the page.
        content: plain data, that the script finds in the page.
        script: a module that writes the page with `draw.js`.
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
