"""The first rows of a table, by which it is decided which column is what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sfm_stream.errors import FeedError, did_you_mean


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


def require(wanted: Iterable[str], columns: Sequence[str], source: str) -> None:
    """Refuse a file that lacks a column, or has it twice.

    Raises:
        FeedError: naming column and file, and what is there.
    """
    for name in wanted:
        count = columns.count(name)
        if not count:
            hint = did_you_mean(name, columns)
            raise FeedError(source, "no such column", hint, column=name)
        if count > 1:
            hint = (
                "stream.fields leaves it out; feed.options.names names the columns "
                "anew, with header = false and skip = 1"
            )
            problem = f"expected once, was {count} times"
            raise FeedError(source, problem, hint, column=name)
