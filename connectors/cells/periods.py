"""Read times that name a quarter, a week or a day of the year, as its first moment.

Quarters are written `2024-Q1`, `2024Q1` or `Q1 2024`; weeks and days of the year as in
ISO 8601: `2024-W05`, `2024-W05-3` and `2024-032`. A time of day may follow a day.
"""

from __future__ import annotations

import polars as pl

from connectors.cells import times
from sfm_stream.events import Ints

QUARTER, QUARTER_FIRST = "%Y-Q%q", "Q%q %Y"
WEEK, DAY_OF_WEEK, DAY_OF_YEAR = "%G-W%V", "%G-W%V-%u", "%Y-%j"
REST = r"(?P<rest>(?:[Tt ]\d.*)?)$"
PATTERNS = {
    QUARTER: r"^(?P<year>\d{4})[-/ ]?[Qq](?P<part>[1-4])(?P<rest>)$",
    QUARTER_FIRST: r"^[Qq](?P<part>[1-4])[-/ ](?P<year>\d{4})(?P<rest>)$",
    WEEK: r"^(?P<year>\d{4})-?W(?P<part>\d{2})(?P<rest>)$",
    DAY_OF_WEEK: r"^(?P<year>\d{4})-?W(?P<part>\d{2})-?(?P<day>[1-7])" + REST,
    DAY_OF_YEAR: r"^(?P<year>\d{4})-(?P<part>\d{3})" + REST,
}
"""Patterns by form, in strptime's notation; `%q` is the quarter."""
WEEKS = (WEEK, DAY_OF_WEEK)


def form_of(cells: pl.Series, share: float) -> str:
    """Give the form that reads at least a share of the cells, or empty.

    Args:
        cells: text without empty cells.
        share: the required share, from 0 to 1.
    """
    for form, pattern in PATTERNS.items():
        fits = cells.filter(cells.str.contains(pattern))
        right = dated(fits, form).is_not_null().sum() if len(fits) else 0
        if right >= share * len(cells):
            return form
    return ""


def read(cells: pl.Series, form: str) -> Ints:
    """Read cells of a form, ns; NO_TIME where the day does not exist."""
    return times.nanoseconds(dated(cells, form), "iso")


def dated(cells: pl.Series, form: str) -> pl.Series:
    """Rewrite cells of a form as dates, `2024-01-29`, keeping the time of day."""
    found = cells.str.extract_groups(PATTERNS[form]).struct.unnest()
    year, part = pl.col("year").cast(pl.Int32), pl.col("part").cast(pl.Int32)
    if form in WEEKS:
        of_week = pl.col("day").cast(pl.Int32) if form == DAY_OF_WEEK else pl.lit(1)
        fourth = pl.date(year, 1, 4)  # is always in the first week
        monday = fourth - pl.duration(days=fourth.dt.weekday() - 1)
        day = monday + pl.duration(days=7 * (part - 1) + of_week - 1)
        is_there = (day.dt.iso_year() == year) & (day.dt.week() == part)
    elif form == DAY_OF_YEAR:
        day = pl.date(year, 1, 1) + pl.duration(days=part - 1)
        is_there = (day.dt.year() == year) & (part >= 1)
    else:
        day = pl.date(year, 3 * part - 2, 1)
        is_there = day.is_not_null()
    text = pl.when(is_there).then(day.dt.to_string("%Y-%m-%d") + pl.col("rest"))
    return found.select(text.alias(cells.name)).to_series()
