"""Join columns that together hold a time: date and time of day, or year, month, day.

They become one column of text, which `dates` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from connectors.cells.numbers import MISSING

TIME_OF_DAY = r"^\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:[AaPp][Mm])?$"
BARE_CLOCKS = {4: "%H%M", 6: "%H%M%S", 9: "%H%M%S%3f"}
"""Forms of times of day without separators, by their number of digits."""
BARE_CLOCK, WHOLE = r"^\d{1,9}(?:\.\d+)?$", r"^(\d+)"
HOURS, MOST_LOST = 2, 2
"""Digits of an hour, and the most leading zeros that the longest time may have lost."""
BARE_HOUR = r"^(\d{1,2})$"


def joined(frame: pl.DataFrame, columns: Sequence[str], form: str = "") -> pl.Series:
    """Give the column of times; join several columns into one of text.

    Two columns are a date and a time of day. Three or more are year, month, day, hour
    and so on.

    Args:
        frame: holds the columns.
        columns: names of the columns.
        form: format of the result, or empty if not known.
    """
    if len(columns) == 1:
        return frame[columns[0]]
    parts = [frame[name].cast(pl.String).str.strip_chars() for name in columns]
    if len(parts) < 3:
        return (parts[0] + " " + _full(parts[1], form)).alias(columns[0])
    date = parts[0] + "-" + parts[1].str.zfill(2) + "-" + parts[2].str.zfill(2)
    clock = [part.str.zfill(2) for part in parts[3:]]
    if not clock:
        return date.alias(columns[0])
    day = clock[0] if len(clock) > 1 else clock[0] + ":00"
    for part in clock[1:]:
        day = day + ":" + part
    return (date + " " + day).alias(columns[0])


def _full(clock: pl.Series, form: str) -> pl.Series:
    """Restore lost leading zeros of times of day without separators.

    An hour alone becomes a time of day.
    """
    told = form.removesuffix("%.f")
    digits = next((n for n, one in BARE_CLOCKS.items() if told.endswith(one)), 0)
    if digits or (not form and (digits := bare_digits(clock))):
        return _padded(clock, digits)
    bare = clock.str.contains(BARE_HOUR).fill_null(value=False)
    return clock.zip_with(~bare, clock.str.zfill(2) + ":00")


def _padded(clock: pl.Series, digits: int) -> pl.Series:
    """Add leading zeros until there are `digits` digits before the decimal point."""
    whole = clock.str.extract(WHOLE, 1).str.zfill(digits)
    return (whole + clock.str.replace(WHOLE, "")).alias(clock.name)


def bare_digits(column: pl.Series) -> int:
    """Give the full number of digits of times of day without separators.

    Leading zeros may be lost, e.g. if the column held numbers: `93000`.

    Returns:
        The smallest number of digits that reads all cells; 0 if none does.
    """
    cells = filled(column.cast(pl.String))
    if not len(cells) or not cells.str.contains(BARE_CLOCK).all():
        return 0
    longest = int(cells.str.extract(WHOLE, 1).str.len_chars().to_numpy().max())
    if longest <= HOURS:
        return 0
    wide = [digits for digits in BARE_CLOCKS if digits - MOST_LOST <= longest <= digits]
    return next((digits for digits in wide if _are_clocks(cells, digits)), 0)


def _are_clocks(cells: pl.Series, digits: int) -> bool:
    """Say whether digits are hours, minutes and, if six or more, seconds."""
    clock = _padded(cells, digits)
    parts = [clock.str.slice(i, 2).cast(pl.Int64) for i in range(0, min(digits, 6), 2)]
    most = (23, 59, 59)
    return all(bool((part <= m).all()) for part, m in zip(parts, most, strict=False))


def sample(columns: Mapping[str, pl.Series], names: Sequence[str]) -> pl.Series:
    """Join the first rows of the columns of times."""
    return joined(pl.DataFrame([columns[n].alias(n) for n in names]), names)


def is_time_of_day(column: pl.Series) -> bool:
    """Say whether a column holds only times of day."""
    if column.dtype != pl.String:
        return False
    cells = filled(column)
    return bool(len(cells)) and bool(cells.str.contains(TIME_OF_DAY).all())


def filled(column: pl.Series) -> pl.Series:
    """Give the cells of text that are not empty, null or a word for a missing value."""
    cells = column.str.strip_chars().drop_nulls()
    return cells.filter((cells != "") & ~cells.is_in(list(MISSING)))
