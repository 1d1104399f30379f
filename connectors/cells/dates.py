"""Recognise the format of a table's times from its first rows, and read its columns.

`times` reads numbers and ISO 8601. Polars' strptime reads all other text: the forms
below are tried on the first rows, and the form that reads all of them is chosen. If two
forms do and disagree, e.g. on which number is the day, this is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
import polars as pl

from connectors.cells import date_and_time, months, periods, times, zones
from connectors.cells.date_and_time import filled
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME, Ints

DAY = 86_400 * 10**9
FIRST, LAST = 946_684_800 * 10**9, 4_102_444_800 * 10**9
"""2000 and 2100: the range in which numbers are taken for times."""
EARLIEST, LATEST = -9_000_000_000_000_000, 9_000_000_000_000_000
"""The range of times that fit int64 nanoseconds, in microseconds."""
SMALLEST = 1e7
"""Smaller numbers are not times: neither days as `18500101` nor seconds."""
ENOUGH = 0.9
"""Share of the first rows that a form must read, if no form reads all of them."""
HALF = 0.5
"""The same, if the rows that the form does not read look like those that it reads."""
FEW = 40
DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y %m %d",
    "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%m.%d.%Y",
    "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d.%m.%y", "%y-%m-%d", "%y/%m/%d",
    "%d %B %Y", "%d-%B-%Y", "%d/%B/%Y", "%d-%B-%y", "%d%B%Y", "%B %d %Y", "%B %d, %Y",
    "%d %B, %Y",
    "%a, %d %B %Y", "%a %d %B %Y", "%a %B %d %Y", "%a, %B %d, %Y", "%A, %B %d, %Y",
    "%d. %B %Y",
)  # fmt: skip
TIMES = (
    "%H:%M:%S%.f", "%H:%M", "%I:%M:%S%.f %p", "%I:%M:%S%.f%p", "%I:%M %p", "%I:%M%p",
    "%H%M%S%3f", "%H%M%S%6f", "%H%M%S%9f", "%H%M%S", "%H%M%S%.f", "%H%M",
    "%H:%M:%S:%3f", "%H:%M:%S,%3f", "%H:%M:%S,%6f", "%H.%M.%S", "%H.%M", "%Hh%M",
)  # fmt: skip
BETWEEN = (" ", "T", "", ", ", "_", "-", " - ")
OFFSETS = ("", "Z", "%z", " %z")
MONTHS = ("%Y-%m", "%Y/%m", "%B %Y", "%B-%Y", "%Y %B", "%Y-%B", "%B-%y", "%m/%Y")
"""Forms of a month without a day, read as its first day."""
YEAR_FIRST, YEAR_MONTH = ("%Y %B", "%Y-%B"), r"^(\d+)\W(\pL+)$"
DOTTED = ("%d.%m.", "%m.%d.")
"""Two forms with dots: if both read the cells, the one with the day first is used."""
UNIX = ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S%.f %Y", "%d/%b/%Y:%H:%M:%S %z",
        "%H:%M:%S %d.%m.%Y", "%H:%M %d.%m.%Y", "%H:%M:%S %d/%m/%Y",
        "%H:%M %d/%m/%Y")  # fmt: skip
NAMED = (
    r"^(.*\d(?:\s?[AaPp][Mm])?)\s*[\[(]?"
    r"([A-Z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/+-]+)[\])]?$"
)
MIDNIGHT = r"(^|[ T])24:00"
OWN_OFFSET = r"(?:[Zz]|UTC|\d[+-]\d{2}:?(?:\d{2})?)$"
OFFSET = re.compile(r"(?<=\d)(?:[+-]\d{2}:?\d{2}|Z)$| [+-]\d{4}$")
LETTERS, DIGITS = re.compile("[A-Za-z]+"), re.compile("[0-9]+")
WORDED = re.compile("%[bBp]")
WORDS, NUMBERS = re.compile("%[abABp]"), re.compile("%[0-9]?[YmdyHMSI]|%[0-9]f")
COMPACT = "%Y%m%d"
TRIMS = {
    # the offset of a browser: `GMT+0200 (CEST)`
    "offset": (r"\s*(?:GMT|UTC)([+-]\d{2}:?\d{2})(?:\s*\(.*\))?$", "${1}"),
    # from the start of an interval to its end
    "interval": (r"^(.*\d\S*)\s+(?:-|\u2013|to)\s+\d.*$", "${1}"),
}
"""Patterns that cut other text off a time, each with its replacement."""
BARE_FRACTION = re.compile(r"(?<!\.)%f")


@dataclass(frozen=True, slots=True)
class Clock:
    """The columns and the format of a table's times.

    Attributes:
        columns: names of the columns that together hold the time.
        unit: unit of numbers, as in `feed.time_unit`.
        form: format for strptime; empty for numbers, ISO 8601 or columns of dates.
        named: whether the zone's name follows each time.
        zone: IANA name of the zone of times without one; empty for UTC.
        trim: key in `TRIMS` of the text to cut off first, or empty.
    """

    columns: tuple[str, ...]
    unit: str = "auto"
    form: str = ""
    named: bool = False
    zone: str = ""
    trim: str = ""

    def read(self, frame: pl.DataFrame, local: zones.Local | None = None) -> Ints:
        """Turn rows into ns.

        Args:
            frame: holds the columns.
            local: converter of local times, with the state after earlier rows; None
                without a `zone`.

        Returns:
            int64 [T], NO_TIME where a time is missing or cannot be read.
        """
        column = trimmed(
            date_and_time.joined(frame, self.columns, self.form), self.trim
        )
        names = None
        if self.named:
            column, names = _split(column)
        ns = (
            parsed(column, self.form)
            if self.form
            else times.nanoseconds(column, self.unit)
        )
        if names is not None:
            return zones.named(ns, names)
        return ns if local is None else local.utc(ns)


def trimmed(column: pl.Series, trim: str) -> pl.Series:
    """Cut off text that is not part of a time."""
    if not trim:
        return column
    return column.cast(pl.String).str.strip_chars().str.replace(*TRIMS[trim])


def parsed(column: pl.Series, form: str) -> Ints:
    """Read text of one form; 24:00 is midnight of the next day.

    Cells whose words cannot be read are translated into English and read again.
    """
    cells = column.cast(pl.String).str.strip_chars()
    ns = _parsed(cells, form)
    if WORDED.search(form) and (lost := ns == NO_TIME).any():
        again = pl.Series(cells.filter(pl.Series(lost)))
        ns = ns.copy()
        ns[lost] = _parsed(months.english(again), form)
    return ns


def _parsed(cells: pl.Series, form: str) -> Ints:
    if form in periods.PATTERNS:
        return periods.read(cells, form)
    if form in MONTHS:
        cells, form = _first_days(cells, form)
    late = cells.str.contains(MIDNIGHT).fill_null(value=False)
    if late.any():
        cells = cells.str.replace(MIDNIGHT, "${1}00:00")
    us = _read(cells, form, "us")
    fits = ((us > EARLIEST) & (us < LATEST)).fill_null(value=False)
    if "f" in form:
        kept = cells.zip_with(fits, pl.Series([None], dtype=pl.String))
        ns = _read(kept, form, "ns")
    else:
        ns = us.zip_with(fits, pl.Series([None], dtype=pl.Int64)) * 1000
    ns = ns + late.cast(pl.Int64) * DAY
    return ns.fill_null(NO_TIME).to_numpy()


def _first_days(cells: pl.Series, form: str) -> tuple[pl.Series, str]:
    """Add the first day to months without a day; give the form of the result too."""
    if form in YEAR_FIRST:  # polars 1 panics at a short name of a month after a year
        cells, form = cells.str.replace(YEAR_MONTH, "$2 $1"), "%B %Y"
    return cells + " 01", f"{form} %d"


def _read(cells: pl.Series, form: str, unit: Literal["us", "ns"]) -> pl.Series:
    try:
        found = cells.str.to_datetime(form, time_unit=unit, strict=False)
    except pl.exceptions.PolarsError:
        return pl.Series([None] * len(cells), dtype=pl.Int64)
    return found.to_physical()


def _split(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Split text into the time and the name of its zone."""
    parts = column.str.strip_chars().str.extract_groups(NAMED).struct.unnest()
    return parts[:, 0], parts[:, 1]


def recognise(column: pl.Series, source: str, at: str) -> Clock | None:
    """Recognise the format of the times in a column.

    Args:
        column: first rows of the column, or of several columns joined.
        source: path of the file, for errors.
        at: name of the column.

    Returns:
        The format; None if no form reads the column.

    Raises:
        FeedError: if two forms read the column and disagree, naming both readings.
    """
    if column.dtype != pl.String and not column.dtype.is_integer():
        known = times.readable(column.dtype) and not column.dtype.is_float()
        return Clock((at,)) if known and column.dtype != pl.Null else None
    cells = column.cast(pl.String)
    if _is_small(cells) or not len(cells := filled(cells)):
        return None
    if _is_plain(cells):
        return Clock((at,))
    if period := periods.form_of(cells, ENOUGH):
        return Clock((at,), form=period)
    if named := _in_named_zone(cells, source, at):
        return named
    form = _form(cells, source, at) or _form(months.english(cells), source, at)
    if form or _looks_plain(cells):
        return Clock((at,), form=form)
    return _within_more(cells, source, at)


def _in_named_zone(cells: pl.Series, source: str, at: str) -> Clock | None:
    """Recognise the format of times that are followed by a zone's name."""
    bare, names = _split(cells)
    if names.has_nulls() or not all(map(zones.is_known, names.unique())):
        return None
    if (times.nanoseconds(bare, "iso") != NO_TIME).all():
        return Clock((at,), named=True, unit="iso")
    form = _form(bare, source, at)
    return Clock((at,), form=form, named=True) if form else None


def _within_more(cells: pl.Series, source: str, at: str) -> Clock | None:
    """Recognise the format of times that are only a part of the text."""
    for trim, (pattern, _) in TRIMS.items():
        if _most(cells.str.contains(pattern)):
            found = recognise(trimmed(cells, trim), source, at)
            return found and replace(found, trim=trim)
    return None


def _is_small(cells: pl.Series) -> bool:
    """Say whether text is numbers too small for times; this check is fast."""
    numbers = cells.cast(pl.Float64, strict=False)
    small = (numbers.abs() < SMALLEST).fill_null(value=False).mean()
    return isinstance(small, float) and small > 1.0 - ENOUGH


def _is_plain(cells: pl.Series) -> bool:
    """Say whether most text is ISO 8601, or numbers that are times of 2000 to 2100."""
    ns = times.nanoseconds(cells, "auto")
    within = (ns >= FIRST) & (ns < LAST)
    dated = cells.str.contains(times.DATED).to_numpy()
    return bool(np.mean(within | (dated & (ns != NO_TIME))) >= ENOUGH)


def _looks_plain(cells: pl.Series) -> bool:
    """Say whether most text looks like ISO 8601, and over half can be read so."""
    read = np.mean(times.nanoseconds(cells, "iso") != NO_TIME)
    return bool(read > HALF) and _most(cells.str.contains(times.DATED))


def _form(cells: pl.Series, source: str, at: str) -> str:
    """Give the form that reads the cells, or empty."""
    few = cells.head(FEW)
    shapes = {shape(cell) for cell in few}
    near = [f for f in forms(shapes) if _share(few, f) > HALF]
    shares = {f: _share(cells, f) for f in near}
    best = max(shares.values(), default=0.0)
    fit = [f for f in near if shares[f] == best]
    if not fit or (best < ENOUGH and not _looks_like(cells, fit[0])):
        return ""
    first = parsed(cells, fit[0])
    for other in fit[1:]:
        if (fit[0][:6], other[:6]) == DOTTED:
            continue
        again = parsed(cells, other)
        if not np.array_equal(first, again):
            row = int(np.argmax(first != again))
            raise _ambiguous(str(cells[row]), (fit[0], other), (first[row], again[row]),
                             source, at)  # fmt: skip
    return fit[0]


def _looks_like(cells: pl.Series, form: str) -> bool:
    """Say whether most cells have a form's outline, and it reads over half of them."""
    wanted = outline(form)
    return _share(cells, form) > HALF and _most(
        pl.Series([shape(cell) in wanted for cell in cells])
    )


def shape(cell: str) -> str:
    """Give the outline of a time: 9 for digits, a for letters, ~ for an offset."""
    bare = cell.strip()
    if bare.endswith("Z") or ":" in bare or "T" in bare:
        bare = OFFSET.sub("~", bare)
    return DIGITS.sub("9", LETTERS.sub("a", bare))


def forms(shapes: Iterable[str]) -> Iterator[str]:
    """Give the forms that have one of the outlines."""
    wanted = set(shapes)
    for date in DATES:
        begins = outline(date).pop()
        if begins in wanted:
            yield date
        if any(text.startswith(begins) for text in wanted):
            for between, time, offset in product(BETWEEN, TIMES, OFFSETS):
                form = f"{date}{between}{time}{offset}"
                if (between or date == COMPACT) and outline(form) & wanted:
                    yield form
    yield from (form for form in (*UNIX, *MONTHS) if outline(form) & wanted)


def outline(form: str) -> set[str]:
    """Give the outlines of a form's times: without a fraction, and with one."""
    text = WORDS.sub("a", NUMBERS.sub("9", form.replace("%z", "~").replace("Z", "~")))
    bare = LETTERS.sub("a", text)
    return {DIGITS.sub("9", bare.replace("%.a", f)) for f in ("", ".9")}


def _share(cells: pl.Series, form: str) -> float:
    """Give the share of cells that a form reads as times that fit int64 ns."""
    ns = parsed(cells, form)
    return float(np.mean((ns > EARLIEST * 1000) & (ns < LATEST * 1000)))


def share(clock: Clock, columns: Mapping[str, pl.Series]) -> float:
    """Give the share of first rows that a clock's form reads; 1 if all are empty."""
    frame = pl.DataFrame([columns[name].alias(name) for name in clock.columns])
    column = date_and_time.joined(frame, clock.columns, clock.form)
    cells = filled(column.cast(pl.String))
    return _share(cells, clock.form) if len(cells) else 1.0


def _ambiguous(
    cell: str, forms: tuple[str, str], ns: tuple[int, int], source: str, at: str
) -> FeedError:
    told = [
        f"{np.datetime64(int(t), 'ns').astype('datetime64[s]').item():%d %B %Y} "
        f"(feed.options.time_format = {python(form, cell)!r})"
        for form, t in zip(forms, ns, strict=True)
    ]
    problem = f"expected one reading of {cell!r}, was {' or '.join(told)}"
    return FeedError(source, problem, "name the one that is meant", column=at)


def python(form: str, cell: str) -> str:
    """Translate a form from Polars to Python's strptime, for times like `cell`."""
    fraction = ".%f" if "." in cell.rpartition(":")[2] else ""
    return form.replace("%.f", fraction).replace("%3f", "%f").replace("%6f", "%f")


def chosen(form: str, column: pl.Series) -> str:
    """Translate a form from Python's strptime to Polars.

    Args:
        form: `%f` is a fraction with any number of digits.
        column: first rows of the column, which decide the number of digits.
    """
    polars = form.replace(".%f", "%.f").replace(",%f", ",%3f")
    if not BARE_FRACTION.search(polars):
        return polars
    cells = filled(column.cast(pl.String))
    tries = [BARE_FRACTION.sub(f"%{digits}f", polars) for digits in (3, 6, 9)]
    return max(tries, key=lambda one: _share(cells, one) if len(cells) else 0.0)


def readable(cells: pl.Series) -> pl.Series:
    """Say which cells of text are ISO 8601."""
    return pl.Series(times.nanoseconds(cells, "iso") != NO_TIME)


def has_offset(column: pl.Series) -> bool:
    """Say whether times carry their offset from UTC, or are numbers."""
    if column.dtype != pl.String:
        return not isinstance(column.dtype, pl.Datetime | pl.Date) or (
            isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None
        )
    cells = filled(column)
    return bool(len(cells)) and bool(cells.str.contains(OWN_OFFSET).all())


def is_dated(column: pl.Series) -> bool:
    """Say whether times are dates, not numbers that count from 1970."""
    if column.dtype != pl.String:
        return isinstance(column.dtype, pl.Datetime | pl.Date)
    cells = filled(column)
    return bool(len(cells)) and _most(cells.str.contains(times.DATED))


def _most(said: pl.Series) -> bool:
    return int(said.sum()) >= ENOUGH * len(said)
