"""Decide the role of each column of a table from its first rows, with notes on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from connectors.cells import dates, numbers
from connectors.cells.dates import Clock
from connectors.cells.numbers import Notation
from connectors.files import text
from connectors.files.columns import clocks
from connectors.files.columns import derived as expressions
from connectors.files.columns.seen import UNNAMED, Seen, require
from connectors.files.encodings import STAND_IN
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError, FeedError, did_you_mean, listed
from sfm_stream.events import Floats
from sfm_stream.settings import Feed

if TYPE_CHECKING:
    from connectors.files.options import TableOptions

INDEXLIKE = re.compile(
    r"(?i)^(|unnamed: ?\d+|__unnamed__\d+|index|idx|row(_?(id|num|number))?|#|nr|no)$"
)
QUOTE = re.compile(r"(?i)^(best_?)?(bid|ask)(_?(px|price|pt))?(_?\d+)?$")
"""Names of columns of quoted prices, which are never zero."""
EMPTY = "is empty in the first"
FEW = 20
"""Fewer rows than this are too few to call a column constant."""
SHOWN = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """The role of each column of a table.

    Attributes:
        fields: names of a tick's values.
        columns: the column of each field; empty for a derived field.
        derived: expression of each derived field.
        clock: columns and format of times, or None if rows are `period` apart.
        period: distance of rows without times, ns.
        symbol: column that names the stream, or empty if there is only `stream`.
        stream: name of the only stream.
        rows: most rows to read in all files, or 0 for all rows.
        notation: notation of the numbers.
        prices: columns in which a zero means a missing price.
        scales: value of one unit in columns of whole numbers.
        notes: notes for people on what was chosen and left out.
        left_out: columns that are not fields, each with the reason.
        watched: left-out columns that are empty in the first rows; later numbers in
            them are counted.
        there: names of all columns.
    """

    fields: tuple[str, ...]
    columns: tuple[str, ...]
    derived: Mapping[str, pl.Expr]
    clock: Clock | None
    period: int
    symbol: str
    stream: str
    rows: int
    notation: Notation = field(default_factory=Notation)
    prices: frozenset[str] = frozenset()
    scales: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    watched: tuple[str, ...] = ()
    there: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[str]:
        """Names of the columns that must hold numbers, each once."""
        each = zip(self.fields, self.columns, strict=True)
        own = (column for name, column in each if name not in self.derived)
        operands = (name for e in self.derived.values() for name in e.meta.root_names())
        return list(dict.fromkeys((*own, *operands)))

    @property
    def used(self) -> list[str]:
        """Names of the columns that a file must have, each once."""
        told = self.clock.columns if self.clock else ()
        every = (*self.numbers, *told, *filter(None, [self.symbol]))
        return list(dict.fromkeys(every))

    def read(self, names: Sequence[str]) -> list[str]:
        """Give the columns to read in a file with these column names."""
        return [*self.used, *(name for name in self.watched if names.count(name) == 1)]


def choose(
    config: Config, options: TableOptions, seen: Seen, notation: Notation
) -> Plan:
    """Decide the role of each column.

    Args:
        config: feed and stream are used.
        options: options of the feed.
        seen: the first rows.
        notation: notation of the numbers.

    Raises:
        FeedError: if a column is missing, times have two readings, or no column holds
            numbers.
        ConfigError: if an expression or a zone is invalid.
    """
    feed, stream = config.feed, config.stream
    derived = {n: expressions.expression(n, text) for n, text in options.derive.items()}
    clock, told = clocks.choose(feed, options, seen)
    busy = {*(clock.columns if clock else ()), *filter(None, [feed.symbol])}
    left_out: dict[str, str] = {}
    if stream.fields:
        fields = {name: feed.columns.get(name, name) for name in stream.fields}
    else:
        left_out = _left_out(seen, notation, busy, feed.columns.values())
        free = {*seen.columns} - {*left_out, *busy, *feed.columns.values()}
        if clock is None:
            left_out |= clocks.counting_from_start(seen, free)
        fields = _fields(feed, seen, {*left_out, *busy}) | dict.fromkeys(derived, "")
    fields |= {name: "" for name in fields if name in derived}
    if not fields:
        problem = "expected columns of numbers, was none"
        hint = _told(left_out) or did_you_mean("", seen.names)
        raise FeedError(seen.source, problem, hint)
    scales = {n: s for n, s in options.scale.items() if _is_whole(seen, n)}
    columns = tuple(fields.values())
    still = _still(config, columns, seen)
    unread = _unread(seen.names)
    again = text.repeated(feed.path)
    notes = (*seen.notes, again, unread, *told, _scaled(scales), _told(left_out), still)
    made = Plan(
        fields=tuple(fields),
        columns=columns,
        derived={name: derived[name] for name in fields if name in derived},
        clock=clock,
        period=feed.period.ns,
        symbol=feed.symbol,
        stream=stream.name,
        rows=options.rows,
        notation=notation,
        prices=_prices(fields, options),
        scales=scales,
        notes=tuple(filter(None, notes)),
        left_out=left_out,
        watched=tuple(n for n, why in left_out.items() if why.startswith(EMPTY)),
        there=seen.names,
    )
    require(made.used, seen.names, seen.source)
    _expect_numbers(made, seen)
    return made


def notation(seen: Seen, options: TableOptions, config: Config) -> Notation:
    """Decide the notation of the numbers in a table.

    Raises:
        FeedError: if a used column has two readings, naming both.
        ConfigError: if the decimal and the thousands separator are the same.
    """
    missing = numbers.MISSING if options.missing is None else options.missing
    decimal, thousands = (getattr(options, k, "") for k in ("decimal", "thousands"))
    if decimal and decimal == thousands:
        problem = f"expected another sign than feed.options.decimal, was {decimal!r}"
        raise ConfigError("feed.options.thousands", problem)
    if decimal or thousands:
        sign = decimal or ("," if thousands == "." else ".")
        return Notation(sign, thousands or ("." if sign == "," else ""), missing)
    texts = {n: c for n, c in seen.columns.items() if c.dtype == pl.String}
    (first, *others), columns = numbers.recognise(texts, missing)
    asked = {config.feed.columns.get(n, n) for n in config.stream.fields}
    for name, column in columns.items():
        if asked and name not in asked:
            continue
        for other in others:
            one, two = (numbers.read(column, n)[0] for n in (first, other))
            if (at := np.flatnonzero(~((one == two) | np.isnan(one)))).size:
                raise _two_readings(
                    seen, column, int(at[0]), (first, one), (other, two)
                )
    return first


def _two_readings(
    seen: Seen, column: pl.Series, at: int, *readings: tuple[Notation, Floats]
) -> FeedError:
    told = " or ".join(
        f"{values[at]:g} (feed.options.decimal = {notation.decimal!r})"
        for notation, values in readings
    )
    problem = f"expected one reading of {column[at]!r}, was {told}"
    hint = "name the sign that is meant"
    return FeedError(seen.source, problem, hint, row=at + 1, column=column.name)


def _fields(feed: Feed, seen: Seen, without: set[str]) -> dict[str, str]:
    """Give the default fields, used if the settings name none: field = column."""
    renamed = {column: name for name, column in feed.columns.items()}
    order = [c for c in dict.fromkeys(seen.names) if c in renamed or c not in without]
    order += [c for c in renamed if c not in seen.names]
    return {renamed.get(c, c): c for c in order}


def _left_out(
    seen: Seen, notation: Notation, busy: set[str], named: Iterable[str]
) -> dict[str, str]:
    """Give the columns that are not default fields, each with the reason."""
    why = {}
    for name, column in seen.columns.items():
        if name in busy or name in named:
            continue
        is_text = seen.typed and column.dtype == pl.String
        if is_text or not _is_numeric(column, notation):
            why[name] = _first(column, notation)
        elif _is_index(name, column):
            why[name] = "counts rows"
        elif clocks.tells_time(name, column, seen.source):
            why[name] = "reads as times"
        elif clocks.may_be_excel(name, column):
            why[name] = (
                "may hold days as Excel counts them, which feed.time with "
                "feed.time_unit = 'excel' reads"
            )
    return why


def _is_numeric(column: pl.Series, notation: Notation) -> bool:
    if column.dtype == pl.String:
        return numbers.is_numeric(column, notation)
    return column.dtype.is_numeric() or column.dtype == pl.Boolean


def _first(column: pl.Series, notation: Notation) -> str:
    """Describe the content of a column that does not hold numbers."""
    if column.dtype != pl.String:
        return f"holds {str(column.dtype).lower()}"
    filled = numbers.filled(column, notation)
    if dates.is_dated(column) and len(odd := filled.filter(~dates.readable(filled))):
        return f"looks like dates, but {odd[0]!r} is not one"
    return (
        f"holds text, first {filled[0]!r}"
        if len(filled)
        else f"{EMPTY} {len(column):,} rows"
    )


def _is_index(name: str, column: pl.Series) -> bool:
    """Say whether a column counts the rows."""
    if not INDEXLIKE.match(name):
        return False
    whole = column.cast(pl.Int64, strict=False)
    return not whole.has_nulls() and bool((whole.diff().drop_nulls().abs() == 1).all())


def _told(left_out: Mapping[str, str]) -> str:
    # an empty column after the last separator of each line is not worth a note
    told = [f"{name!r} {why}" for name, why in left_out.items()
            if not (why.startswith(EMPTY) and UNNAMED.match(name))]  # fmt: skip
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return f"left out: {'; '.join(told[:SHOWN])}{more}" if told else ""


def _unread(names: Sequence[str]) -> str:
    """Make a note of names with characters that could not be read, or empty."""
    odd = [repr(name) for name in names if STAND_IN in name]
    if not odd:
        return ""
    told = f"{listed(odd, SHOWN)} could not be read in full"
    return f"{told}; is feed.options.encoding right? empty, it is detected"


def _still(config: Config, columns: Sequence[str], seen: Seen) -> str:
    """Make a note if the default target is constant and other fields are not."""
    if config.target.values or config.stream.fields:
        return ""
    first, *others = (seen.columns.get(name) for name in columns)
    if first is None or len(first) < FEW or first.n_unique() > 1:
        return ""
    moving = [c.name for c in others if c is not None and c.n_unique() > 1]
    if not moving:
        return ""
    told = f"the target {columns[0]!r} is {first[0]} in all of the first rows"
    return f"{told}; target.values names another, e.g. {moving[0]!r}"


def _prices(fields: Mapping[str, str], options: TableOptions) -> frozenset[str]:
    if options.zero_price == "value":
        return frozenset()
    return frozenset(
        column
        for name, column in fields.items()
        if QUOTE.match(name) or QUOTE.match(column)
    )


def _is_whole(seen: Seen, name: str) -> bool:
    """Say whether a column exists and holds only whole numbers."""
    if name not in seen.columns:
        return False
    column = seen.columns[name]
    if column.dtype != pl.String:
        return column.dtype.is_integer()
    filled = column.str.strip_chars().drop_nulls()
    return bool(filled.str.contains(r"^[+-]?\d*$").all())


def _scaled(scales: Mapping[str, float]) -> str:
    told = [f"{name!r} counts in {scale:g}" for name, scale in scales.items()]
    return f"{', '.join(told)}: feed.options.scale" if told else ""


def _expect_numbers(plan: Plan, seen: Seen) -> None:
    """Refuse a field whose column does not hold numbers."""
    for name in plan.numbers:
        column = seen.columns[name]
        if column.dtype.base_type() in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        filled = column.drop_nulls()
        if column.dtype == pl.String and len(filled):
            share = numbers.share_odd(column, plan.notation)
            if share is None or share < numbers.MOSTLY_TEXT:
                continue
        elif _is_numeric(column, plan.notation) or column.dtype in (pl.String, pl.Null):
            continue
        told = str(column.dtype)
        if column.dtype == pl.String:
            odd = numbers.read(filled, plan.notation)[1]
            told = repr(filled.filter(odd).first())
        hint = (
            "leave it out of stream.fields, or say how its numbers are written: "
            "feed.options has decimal, thousands and missing"
        )
        problem = f"expected numbers, was {told}"
        raise FeedError(seen.source, problem, hint, column=name)
