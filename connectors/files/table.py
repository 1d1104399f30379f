"""What all tables share: which columns are what, and rows turned into events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from connectors.files import times
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError, FeedError, did_you_mean
from sfm_stream.events import Block, Floats, Ints
from sfm_stream.feeds import FIRST_TIME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from connectors.files.options import TableOptions

TRUTHS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which column of a table is what.

    Attributes:
        fields: names of a tick's values.
        columns: the column of each field; empty where it is derived.
        derived: expression of each derived field.
        time: column of times, or empty: rows are `period` apart.
        unit: unit of the times.
        period: ns.
        symbol: column that names the stream, or empty: it is `stream`.
        stream: name of the only stream.
        rows: most rows of all files to read, or 0: all of them.
    """

    fields: tuple[str, ...]
    columns: tuple[str, ...]
    derived: Mapping[str, pl.Expr]
    time: str
    unit: str
    period: int
    symbol: str
    stream: str
    rows: int

    @property
    def numbers(self) -> list[str]:
        """The columns that must hold numbers, each once."""
        operands = (name for e in self.derived.values() for name in e.meta.root_names())
        return list(dict.fromkeys(name for name in (*self.columns, *operands) if name))

    @property
    def used(self) -> list[str]:
        """The columns to read, each once."""
        every = (*self.numbers, self.time, self.symbol)
        return list(dict.fromkeys(name for name in every if name))


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file.

    Attributes:
        source: the file.
        row: number of rows before them in the file.
        position: number of events before them in the feed.
        frame: the used columns.
    """

    source: str
    row: int
    position: int
    frame: pl.DataFrame


def plan(
    config: Config,
    options: TableOptions,
    columns: Sequence[str],
    numeric: Sequence[str],
    source: str,
) -> Plan:
    """Decide which column is what.

    Args:
        config: feed and stream are used.
        options: of the feed.
        columns: names of all columns.
        numeric: names of those that hold numbers.
        source: the file, to blame.

    Raises:
        FeedError: if a column is missing or there is nothing to read.
        ConfigError: if an expression cannot be meant.
    """
    feed, stream = config.feed, config.stream
    derived = {name: _expression(name, text) for name, text in options.derive.items()}
    if stream.fields:
        fields = {name: feed.columns.get(name, name) for name in stream.fields}
    else:
        renamed = {column: name for name, column in feed.columns.items()}
        free = [c for c in numeric if c not in (feed.time, feed.symbol, *renamed)]
        wanted = {*free, *renamed}
        order = [c for c in columns if c in wanted] + [
            c for c in renamed if c not in columns
        ]
        fields = {renamed.get(c, c): c for c in order} | dict.fromkeys(derived, "")
    fields |= {name: "" for name in fields if name in derived}
    if not fields:
        there = did_you_mean("", columns)
        raise FeedError(source, "expected columns of numbers, was none", there)
    period = feed.period.ns
    made = Plan(
        tuple(fields), tuple(fields.values()),
        {name: derived[name] for name in fields if name in derived},
        feed.time, feed.time_unit, period, feed.symbol, stream.name, options.rows,
    )  # fmt: skip
    require(made.used, columns, source)
    return made


def _expression(name: str, text: str) -> pl.Expr:
    """Read how a field is derived from columns, in Polars' SQL."""
    try:
        return pl.sql_expr(text).alias(name)
    except pl.exceptions.PolarsError as e:
        at, problem = (
            f"feed.options.derive.{name}",
            f"expected an expression, was {text!r}",
        )
        raise ConfigError(at, problem, str(e)) from e


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
            raise FeedError(source, f"expected once, was {count} times", column=name)


def blocks(
    pieces: Iterable[Piece], plan: Plan, size: int, after: int
) -> Iterator[Block]:
    """Turn rows into blocks of at most `size` ticks, leaving out the first `after`.

    Raises:
        FeedError: if a cell is no number or a stream has no name.
    """
    streams: dict[str, int] = {}
    for piece in pieces:
        if plan.rows and piece.position >= plan.rows:
            return
        skip = min(max(after - piece.position, 0), len(piece.frame))
        most = max(plan.rows - piece.position - skip, 0) if plan.rows else None
        rest = Piece(
            piece.source, piece.row + skip, piece.position + skip,
            piece.frame.slice(skip, most),
        )  # fmt: skip
        block = _block(rest, plan, streams)
        for start in range(0, len(block), size):
            yield block[start : start + size]


def _block(piece: Piece, plan: Plan, streams: dict[str, int]) -> Block:
    frame = piece.frame
    known = {name: numbers(frame[name], piece.source, piece.row)
             for name in plan.numbers}  # fmt: skip
    values = np.empty((len(frame), len(plan.fields)))
    for i, (name, column) in enumerate(zip(plan.fields, plan.columns, strict=True)):
        values[:, i] = known[column] if column else _derived(known, plan.derived[name])
    if plan.symbol:
        stream = _streams(frame[plan.symbol], streams, piece)
    else:
        stream = None
        streams.setdefault(plan.stream, 0)
    time = _times(piece, plan)
    return Block.ticks(time, values, streams=tuple(streams), stream=stream)


def _derived(columns: Mapping[str, Floats], expression: pl.Expr) -> Floats:
    found = pl.DataFrame(dict(columns)).select(expression).to_series()
    return found.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _times(piece: Piece, plan: Plan) -> Ints:
    if not plan.time:
        ticks = piece.position + np.arange(len(piece.frame), dtype=np.int64)
        return FIRST_TIME + ticks * plan.period
    column = piece.frame[plan.time]
    if not times.readable(column.dtype):
        problem = f"expected times, was {column.dtype}"
        raise FeedError(piece.source, problem, column=plan.time)
    return times.nanoseconds(column, plan.unit)


def _streams(
    column: pl.Series, streams: dict[str, int], piece: Piece
) -> NDArray[np.int32]:
    names = column.cast(pl.String)
    blank = names.fill_null("") == ""
    if blank.any():
        row = piece.row + int(blank.arg_max() or 0) + 1
        problem = "expected the name of a stream, was ''"
        raise FeedError(piece.source, problem, row=row, column=column.name)
    there = names.unique(maintain_order=True).to_list()
    index = [streams.setdefault(name, len(streams)) for name in there]
    return names.replace_strict(there, index, return_dtype=pl.Int32).to_numpy()


def is_number(column: pl.Series) -> bool:
    """Say whether a column of text holds numbers and nothing else, and any at all."""
    cells = column.str.strip_chars()
    filled = cells.filter(cells.fill_null("") != "")
    return len(filled) > 0 and not _converted(filled).has_nulls()


def numbers(column: pl.Series, source: str, row: int = 0) -> Floats:
    """Turn a column of any kind into float64: null is NaN, truth is 1.

    Args:
        column: [T].
        source: the file, to blame.
        row: rows before it in the file.

    Raises:
        FeedError: naming file, row, column and text of the first cell that is no
            number.
    """
    dtype = column.dtype
    if dtype.base_type() in (pl.String, pl.Categorical, pl.Enum):
        return _from_text(column.cast(pl.String), source, row)
    if dtype.is_numeric() or dtype.base_type() in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    raise FeedError(source, f"expected numbers, was {dtype}", column=column.name)


def _from_text(column: pl.Series, source: str, row: int) -> Floats:
    cells = column.str.strip_chars()
    found = _converted(cells)
    odd = found.is_null() & (cells.fill_null("") != "")
    if odd.any():
        at = int(odd.arg_max() or 0)
        problem = f"expected a number, was {column[at]!r}"
        hint = "leave the column out of stream.fields, or mend the cell"
        raise FeedError(source, problem, hint, row=row + at + 1, column=column.name)
    return found.fill_null(np.nan).to_numpy()


def _converted(cells: pl.Series) -> pl.Series:
    """Read numbers and truths, null where there is neither."""
    found = cells.cast(pl.Float64, strict=False)
    if not found.has_nulls():
        return found
    truths = cells.str.to_lowercase().replace_strict(
        TRUTHS, default=None, return_dtype=pl.Float64
    )
    return found.zip_with(found.is_not_null(), truths)
