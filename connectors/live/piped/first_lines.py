"""Decide the role of each column of a piped input from its first lines.

A record of JSON names its values, so a single record decides the fields: the first that
has the names in the settings; if several come together, the fields that most of them
have. Rows of CSV have no names, so rows that come together decide together.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from connectors.files.csv import Csv
from connectors.files.jsonl import Jsonl, records
from connectors.files.table import LineTable
from connectors.files.text import spooled
from connectors.live.piped.lines import SHOWN
from connectors.tally import Tally
from sfm_stream.errors import FeedError, NoRows
from sfm_stream.settings.derived import MADE_OF

if TYPE_CHECKING:
    from sfm_stream.config import Config

    Told: TypeAlias = Callable[[bytes], LineTable | None]
    Tried: TypeAlias = tuple[bytes, LineTable | None]

KINDS = {"csv": Csv, "jsonl": Jsonl}
LABEL = "standard input"
ENOUGH = 1_000
"""Most lines to read for the decision."""


def first_lines(
    config: Config, lots: Iterable[bytes], odd: Tally
) -> tuple[bytes, LineTable]:
    """Read lines until they show the layout of the ticks.

    Args:
        config: feed, stream and target are used.
        lots: groups of lines that come together, until the input ends.
        odd: counts the records that are skipped.

    Returns:
        The lines that were read, without the skipped records, and the layout.

    Raises:
        NoRows: if there is no row.
        FeedError: if the rows lack a column, or have two readings.
    """
    lay_out = partial(_laid_out, config, spooled(io.BytesIO()))
    told = partial(_told_by, config, lay_out)
    # if the settings name the fields, an unusual record adds none
    if _is_json(config) and not config.stream.fields:
        head, table = _by_one_record(config, lots, told, odd)
    else:
        head, table = _by_all(lots, told)
    return head, table or lay_out(head)  # the latter raises the error


def _by_all(lots: Iterable[bytes], told: Told) -> Tried:
    """Read lines until all of them together show the layout; give both."""
    head = b""
    for lot in lots:
        head += lot
        table = told(head)
        if table or head.count(b"\n") >= ENOUGH:
            return head, table
    return head, None


def _by_one_record(
    config: Config, lots: Iterable[bytes], told: Told, odd: Tally
) -> Tried:
    """Read lines until a record shows a layout; give them and the commonest layout."""
    tried: list[Tried] = []
    for lot in lots:
        tried += _each_alone(config, lot, told)
        if any(table for _, table in tried):
            return _agreed(tried, odd)
        if len(tried) >= ENOUGH:
            break
    return b"".join(line for line, _ in tried), None


def _each_alone(config: Config, text: bytes, told: Told) -> Iterator[Tried]:
    """Give each line, and the layout that it alone shows, or None."""
    known: dict[frozenset[str], LineTable] = {}
    for line in text.splitlines(keepends=True):
        keys = _keys(line)
        table = known.get(keys) or told(line)
        if table and not _has_targets(config, table):
            table = None
        if table and keys:
            known[keys] = table
        yield line, table


def _agreed(tried: Sequence[Tried], odd: Tally) -> tuple[bytes, LineTable]:
    """Choose the most common fields; skip records above that have none of them."""
    tables = [table for _, table in tried if table]
    ((most, _),) = Counter(table.fields for table in tables).most_common(1)
    chosen = next(table for table in tables if table.fields == most)
    first = next(i for i, (_, table) in enumerate(tried) if table is chosen)
    kept = []
    for line, table in tried[:first]:
        has_one = table and not {*most}.isdisjoint(table.fields)
        if has_one or not _keys(line):  # a line that is no record is counted later
            kept.append(line)
        else:
            shown = repr(line.strip()[:SHOWN].decode(errors="replace"))
            odd.add("garbage", 1, f"{LABEL}: no tick: {shown}")
    return b"".join([*kept, *(line for line, _ in tried[first:])]), chosen


def _told_by(
    config: Config, lay_out: Callable[[bytes], LineTable], text: bytes
) -> LineTable | None:
    """Find the layout from lines; None if they lack rows or needed columns."""
    try:
        return lay_out(text)
    except NoRows:
        return None
    except FeedError as error:
        if _is_json(config) and error.column not in _keys(text):
            return None  # a record of another kind may have the column
        raise


def _laid_out(config: Config, path: str, head: bytes) -> LineTable:
    Path(path).write_bytes(head)
    kind = KINDS[config.feed.connector]
    feed = msgspec.structs.replace(config.feed, path=path)
    try:
        return kind(msgspec.structs.replace(config, feed=feed))
    except FeedError as error:
        raise _of_input(error, head) from error


def _of_input(error: FeedError, head: bytes) -> FeedError:
    """Name the input in an error, not the temporary file with its first lines."""
    problem = error.problem
    if isinstance(error, NoRows) and head.strip():
        first = head.lstrip().splitlines()[0][:SHOWN].decode(errors="replace")
        problem = f"{problem}; the first line was {first!r}"
    told = problem, error.hint
    return type(error)(LABEL, *told, row=error.row, column=error.column)


def _has_targets(config: Config, table: LineTable) -> bool:
    there = {*table.fields}
    absent = {*config.target.values} - there
    return all(there.issuperset(MADE_OF.get(name, (name,))) for name in absent)


def _keys(text: bytes) -> frozenset[str]:
    """Give the keys of all records in lines."""
    rows, _ = records(text.splitlines())
    return frozenset(chain.from_iterable(rows))


def _is_json(config: Config) -> bool:
    return config.feed.connector == "jsonl"
