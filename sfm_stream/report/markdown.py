"""Figures as tables in Markdown, and the commit that made them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table; all columns but the first are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commit() -> str:
    """Name the commit of this code, and whether it was changed since.

    It is `unknown` where there is no repository, or no git.
    """
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 whichever git there is
            cwd=PACKAGE, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return "unknown"
    return said.stdout.strip() or "unknown"
