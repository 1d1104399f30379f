"""Which column is what in an input that is no file, by its first lines.

A record of JSON names its values, so one alone decides which fields there are: the
first that has what the settings name, or what most have of those that come at once.
Rows of CSV name none, so those that follow at once help to tell.
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
"""First lines that are seen at most."""


def first_lines(
    config: Config, lots: Iterable[bytes], odd: Tally
) -> tuple[bytes, LineTable]:
    """Read lines until they tell how ticks are laid out.

    Args:
        config: feed, stream and target are used.
        lots: lines that come together, until the input ends.
        odd: counts records that are passed over.

    Returns:
        The lines that were read, without those passed over, and the layout.

    Raises:
        NoRows: if there is no row.
        FeedError: if the rows lack a column, or have two readings.
    """
    lay_out = partial(_laid_out, config, spooled(io.BytesIO()))
    told = partial(_told_by, config, lay_out)
    # where the settings name the fields, an odd record adds none
    if _is_json(config) and not config.stream.fields:
        head, table = _by_one_record(config, lots, told, odd)
    else:
        head, table = _by_all(lots, told)
    return head, table or lay_out(head)  # the latter says what is lacking


def _by_all(lots: Iterable[bytes], told: Told) -> Tried:
    """Give the lines up to those that tell, and the layout they tell together."""
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
    """Give the lines up to a record that tells, and the layout that most tell."""
    tried: list[Tried] = []
    for lot in lots:
        tried += _each_alone(config, lot, told)
        if any(table for _, table in tried):
            return _agreed(tried, odd)
        if len(tried) >= ENOUGH:
            break
    return b"".join(line for line, _ in tried), None


def _each_alone(config: Config, text: bytes, told: Told) -> Iterator[Tried]:
    """Give each line, and how ticks are laid out by it alone, if it tells."""
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
    """Take the fields that most have; leave out what stands above and has none."""
    tables = [table for _, table in tried if table]
    ((most, _),) = Counter(table.fields for table in tables).most_common(1)
    chosen = next(table for table in tables if table.fields == most)
    first = next(i for i, (_, table) in enumerate(tried) if table is chosen)
    kept = []
    for line, table in tried[:first]:
        has_one = table and not {*most}.isdisjoint(table.fields)
        if has_one or not _keys(line):  # what is no record is counted later
            kept.append(line)
        else:
            shown = repr(line.strip()[:SHOWN].decode(errors="replace"))
            odd.add("garbage", 1, f"{LABEL}: no tick: {shown}")
    return b"".join([*kept, *(line for line, _ in tried[first:])]), chosen


def _told_by(
    config: Config, lay_out: Callable[[bytes], LineTable], text: bytes
) -> LineTable | None:
    """Lay ticks out by some lines; None where they lack what is needed."""
    try:
        return lay_out(text)
    except NoRows:
        return None
    except FeedError as error:
        if _is_json(config) and error.column not in _keys(text):
            return None  # a record of another kind may have it
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
    """Blame the input, and not the file that its first lines are kept in."""
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
    """Give the keys of the records in some lines."""
    rows, _ = records(text.splitlines())
    return frozenset(chain.from_iterable(rows))


def _is_json(config: Config) -> bool:
    return config.feed.connector == "jsonl"
