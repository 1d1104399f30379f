"""The file of a report: data, drawing code and style, all inside."""

from __future__ import annotations

import re
from importlib import resources
from string import Template
from typing import Any

import msgspec

from sfm_stream import drawing

MODULE_LINES = re.compile(r"(?ms)^(import .*? from .*?;|export \{.*?\};)\n")
"""What joins modules that are files; in one file they see each other."""


def assemble(content: dict[str, Any]) -> str:
    """Put content, code and style into one page that asks no other host.

    Args:
        content: as `content.gather` gives it.
    """
    data = msgspec.json.encode(content).decode().replace("</", "<\\/")
    code = drawing.asset("draw.js") + _own("report.js")
    return Template(_own("report.html")).substitute(
        title=_escaped(content["about"]["name"]),
        style=drawing.asset("uplot/uPlot.min.css") + drawing.asset("style.css"),
        plots=drawing.asset("uplot/uPlot.iife.min.js"),
        code=MODULE_LINES.sub("", code),
        data=data,
    )


def _own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)
