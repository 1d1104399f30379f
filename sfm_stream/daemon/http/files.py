"""The files of the daemon's page, read once when the process starts.

They are in `page/` and in the room `drawing`; no other file is ever served.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from sfm_stream import drawing

ROOM = "/page/"
INDEX = "index.html"
SHARED = {
    "draw.js": "draw.js",
    "style.css": "style.css",
    "uPlot.iife.min.js": "uplot/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/uPlot.min.css",
}
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Limits of the page: it loads only from this address, and runs only our scripts."""


class File(NamedTuple):
    """A file of the page.

    Attributes:
        kind: content type.
        body: bytes of the file.
    """

    kind: str
    body: bytes


def read() -> Mapping[str, File]:
    """Read all files, by the path at which each is served; `/` is the page itself."""
    own = resources.files("sfm_stream.daemon.http").joinpath("page")
    found = {
        one.name: one.read_text(encoding="utf-8")
        for one in own.iterdir()
        if one.name.rpartition(".")[2] in KINDS
    }
    found |= {name: drawing.asset(place) for name, place in SHARED.items()}
    files = {ROOM + name: _file(name, text) for name, text in sorted(found.items())}
    return {"/": files.pop(ROOM + INDEX), **files}


def wants_html(accept: str) -> bool:
    """Say whether the client is a browser, by its accepted content types."""
    return "text/html" in accept


def _file(name: str, text: str) -> File:
    return File(KINDS[name.rpartition(".")[2]], text.encode())
