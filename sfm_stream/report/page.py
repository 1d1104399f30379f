"""The file of a report: data, drawing code and style, all inside; and its writing."""

from __future__ import annotations

import re
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from sfm_stream import drawing
from sfm_stream.errors import SinkError
from sfm_stream.storage import atomic

MODULE_LINES = re.compile(r"(?ms)^(import .*? from .*?;|export \{.*?\};)\n")
"""What joins modules that are files; in one file they see each other."""


def assemble(title: str, content: dict[str, Any], script: str) -> str:
    """Put content, code and style into one page that asks no other host.

    Args:
        title: of the page.
        content: plain data, that the script finds in the page.
        script: a module that writes the page with `draw.js`.
    """
    data = msgspec.json.encode(content).decode().replace("</", "<\\/")
    code = drawing.asset("draw.js") + script
    return Template(_own("report.html")).substitute(
        title=escape(title),
        style=drawing.asset("uplot/uPlot.min.css") + drawing.asset("style.css"),
        plots=drawing.asset("uplot/uPlot.iife.min.js"),
        code=MODULE_LINES.sub("", code),
        data=data,
    )


def _own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def save(html: str, path: Path) -> None:
    """Write a page.

    Raises:
        SinkError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, html.encode())
    except OSError as e:
        raise SinkError(str(path), *atomic.explain(e)) from e
