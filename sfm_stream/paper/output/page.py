"""Writes all tables and figures as one HTML page that needs no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template
from typing import NamedTuple

from sfm_stream import drawing
from sfm_stream.errors import SinkError
from sfm_stream.paper.output.claims import Claim
from sfm_stream.storage import run_folder

NAME = "paper.html"
TITLE = "The State-Frequency Memory: what the slides say, and what was found"
SAID = {True: "Holds", False: "Does not hold", None: "Not decided"}
COLOURS = {True: "good", False: "bad", None: "faint"}


class Chapter(NamedTuple):
    """One experiment.

    Attributes:
        title: heading of the chapter.
        about: the question of the experiment, in a sentence or two.
        claims: judged claims of the slides.
        text: its tables in Markdown.
        pictures: caption of each picture, by the name of its PNG file in the results
            folder, without the ending.
    """

    title: str
    about: str
    claims: Sequence[Claim]
    text: str
    pictures: Mapping[str, str]


def write(chapters: Sequence[Chapter], notes: Sequence[str], out: Path) -> Path:
    """Write the page into the results folder; give its path.

    Args:
        chapters: in the order of the page.
        notes: sentences at the top of the page.
        out: the results folder, which contains the pictures.

    Raises:
        SinkError: if a picture cannot be read or the page cannot be written.
    """
    head = [*notes, _sum([claim for one in chapters for claim in one.claims])]
    parts = [_paragraphs(head), *(_chapter(one, out) for one in chapters)]
    html = Template(drawing.asset("page.html", __package__)).substitute(
        title=escape(TITLE),
        style=drawing.asset("style.css"),
        chapters="\n".join(parts),
    )
    run_folder.write(out / NAME, html.encode())
    return out / NAME


def html_of(text: str) -> str:
    """Convert tables of Markdown, and the lines between them, to HTML."""
    lines = (line for line in text.splitlines() if line)
    return "\n".join(
        _table(list(block)) if is_row else _paragraphs(block)
        for is_row, block in groupby(lines, lambda line: line.startswith("|"))
    )


def _paragraphs(lines: Iterable[str]) -> str:
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)


def _sum(claims: Sequence[Claim]) -> str:
    counts = [sum(claim.holds is verdict for claim in claims) for verdict in SAID]
    return (
        f"Of {len(claims)} sentences {counts[0]} hold, {counts[1]} do not, and "
        f"{counts[2]} are not decided."
    )


def _chapter(one: Chapter, out: Path) -> str:
    claims = "\n".join(_claim(claim) for claim in one.claims)
    pictures = "\n".join(
        _picture(out / f"{name}.png", shows) for name, shows in one.pictures.items()
    )
    return (
        f"<section><h2>{escape(one.title)}</h2>\n<p>{escape(one.about)}</p>\n"
        f"<ul>{claims}</ul>\n{html_of(one.text)}\n{pictures}</section>"
    )


def _claim(claim: Claim) -> str:
    verdict = f'<b class="{COLOURS[claim.holds]}">{SAID[claim.holds]}</b>'
    return f"<li>{verdict}: {escape(claim.says)} ({escape(claim.shows)}).</li>"


def _picture(path: Path, shows: str) -> str:
    try:
        held = b64encode(path.read_bytes()).decode()
    except OSError as e:
        raise SinkError(str(path), f"cannot be read: {e.strerror or e}") from e
    image = f'<img alt="{escape(shows)}" src="data:image/png;base64,{held}">'
    return f"<figure>{image}<figcaption>{escape(shows)}</figcaption></figure>"


def _table(lines: Sequence[str]) -> str:
    cells = [[escape(cell) for cell in line[2:-2].split(" | ")] for line in lines]
    head, _, *rows = cells
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )
