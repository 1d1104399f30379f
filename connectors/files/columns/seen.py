"""The first rows of a table, from which the role of each column is decided."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sfm_stream.errors import FeedError, did_you_mean, listed

FEW = 12
"""Largest number of columns whose names an error lists in full."""
UNNAMED = re.compile(r"^(|Unnamed: \d+)$")
ALIKE = "stream.fields names the columns that all files have"


@dataclass(frozen=True, slots=True)
class Seen:
    """The first rows of a table.

    Attributes:
        source: the file.
        names: names of all its columns.
        columns: the first rows of each column, by name.
        notes: earlier notes on the file.
        typed: whether the file has typed columns, so that text is never a number.
    """

    source: str
    names: tuple[str, ...]
    columns: Mapping[str, pl.Series]
    notes: tuple[str, ...] = ()
    typed: bool = False


def require(
    wanted: Iterable[str], columns: Sequence[str], source: str, way_out: str = ""
) -> None:
    """Refuse a file that lacks a wanted column, or has it more than once.

    Args:
        wanted: names of the wanted columns.
        columns: names of the file's columns.
        source: the file.
        way_out: a further hint for a missing column, or empty.

    Raises:
        FeedError: naming the column, the file and a hint.
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
    """Refuse files if one lacks a used column; give a note on additional columns.

    Args:
        wanted: names of the columns that are read.
        first: the first file.
        files: names of the columns of each file.

    Raises:
        FeedError: naming the column, the file and a hint.
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
    """Give a hint on how to give each column a different name."""
    named: list[str] = []
    for name in columns:
        again = columns[: len(named)].count(name)
        named.append(f"{name} {again + 1}" if again else name)
    example = f" = {json.dumps(named, ensure_ascii=False)}" if len(named) <= FEW else ""
    return (
        f"feed.options.names{example} tells them apart, with feed.options.header = "
        "false and feed.options.skip = 1"
    )
