"""The first rows of a table, by which it is decided which column is what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sfm_stream.errors import FeedError, did_you_mean, listed

FEW = 12
"""Columns whose names an error shows in full."""
UNNAMED = re.compile(r"^(|Unnamed: \d+)$")
ALIKE = "stream.fields names the columns that all files have"


@dataclass(frozen=True, slots=True)
class Seen:
    """The first rows of a table.

    Attributes:
        source: the file.
        names: of all its columns.
        columns: the first rows, by name.
        notes: what was noticed before.
        typed: whether the file says what is a number: text is none then.
    """

    source: str
    names: tuple[str, ...]
    columns: Mapping[str, pl.Series]
    notes: tuple[str, ...] = ()
    typed: bool = False


def require(
    wanted: Iterable[str], columns: Sequence[str], source: str, way_out: str = ""
) -> None:
    """Refuse a file that lacks a column, or has it twice.

    Args:
        wanted: names of the columns.
        columns: that are there.
        source: the file.
        way_out: what to do where one is lacking, beside taking another name.

    Raises:
        FeedError: naming column and file, and what is there.
    """
    for name in wanted:
        count = columns.count(name)
        if not count:
            hint = "; ".join(filter(None, [did_you_mean(name, columns), way_out]))
            raise FeedError(source, "no such column", hint, column=name)
        if count > 1:
            problem = f"expected once, was {count} times"
            raise FeedError(source, problem, _apart(columns), column=name)


def require_alike(
    wanted: Iterable[str], first: Seen, files: Mapping[str, Sequence[str]]
) -> str:
    """Refuse files of which one lacks a column; say which have others besides.

    Args:
        wanted: the columns that are read.
        first: of the files.
        files: the columns of each of them.

    Raises:
        FeedError: naming column and file, and what is there.
    """
    more: dict[str, str] = {}
    for path, names in files.items():
        require(wanted, names, path, ALIKE)
        for name in names:
            if name not in first.names and not UNNAMED.match(name):
                more.setdefault(name, path)
    told = [f"{name!r} of {path}" for name, path in more.items()]
    return f"left out, as {first.source} lacks it: {listed(told, FEW)}" if told else ""


def _apart(columns: Sequence[str]) -> str:
    """Say what to write so that each column has a name of its own."""
    named: list[str] = []
    for name in columns:
        again = columns[: len(named)].count(name)
        named.append(f"{name} {again + 1}" if again else name)
    example = f" = {json.dumps(named, ensure_ascii=False)}" if len(named) <= FEW else ""
    return (
        f"feed.options.names{example} tells them apart, with feed.options.header = "
        "false and feed.options.skip = 1"
    )
