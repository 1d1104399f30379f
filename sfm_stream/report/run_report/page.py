"""The file of a report: data, drawing code and style, all inside."""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import Any

import msgspec

DRAWING = "sfm_stream.report.drawing"


def assemble(content: dict[str, Any]) -> str:
    """Put content, code and style into one page that asks no other host.

    Args:
        content: as `content.gather` gives it.
    """
    data = msgspec.json.encode(content).decode().replace("</", "<\\/")
    return Template(_asset("report.html")).substitute(
        title=_escaped(content["about"]["name"]),
        style=_asset("uplot/uPlot.min.css") + _asset("style.css"),
        code="\n".join(
            _asset(name) for name in ("uplot/uPlot.iife.min.js", "draw.js", "report.js")
        ),
        data=data,
    )


def _asset(name: str) -> str:
    return resources.files(DRAWING).joinpath(name).read_text(encoding="utf-8")


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)
