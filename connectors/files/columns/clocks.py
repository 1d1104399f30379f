"""Decide which columns hold the time, and their format, by settings or first rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from connectors.cells import date_and_time, dates, months, times, zones
from connectors.cells.dates import Clock
from connectors.cells.periods import DAY_OF_YEAR
from connectors.files.columns.seen import Seen, require
from connectors.stamps import EXCEL
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME, Ints
from sfm_stream.settings import Feed

if TYPE_CHECKING:
    from connectors.files.options import TableOptions

NO_TIMES = "-"
"""`feed.time` of a table whose rows are `period` apart."""
TIMELIKE = re.compile(
    r"(?i)(^|[^a-z])(time|date|day|ts|timestamp|datetime|when|ds|at|t|epoch|unix|stamp)"
    r"($|[^a-z])|time$|date$|stamp$|^column_\d+$|^(Unnamed: \d+)?$"
    r"|^(zeit|uhrzeit|zeitpunkt|datum|temps|heure|hora|fecha|tijd)$"
)
"""Names of columns in which numbers are read as times."""
NAMELESS, LEAST = re.compile(r"^column_\d+$"), 1e11
"""In a column without a name only numbers from this size on are times, not ids."""
NUMBERLIKE = re.compile(
    r"(?i)(^|[^a-z])(nr|no|num|number|seq|sequence|index|idx|key|code|count|counter)"
    r"($|[^a-z])|ids?$"
)
"""Names of columns whose numbers do not count time."""
USUAL = 1_100_000_000 * 10**9, 2_000_000_000 * 10**9
"""2004 to 2033, in ns; ids often start at 1,000,000,000 or 2,000,000,000."""
MOSTLY = 0.9
"""Share of steps in one direction in a column of times; some rows may be unordered."""
LEAST_STEPS = 2
"""Fewest steps, all upward, by which a column counts from a start of its own."""
EXCEL_DAYS = 36_526, 73_051
"""The range from 2000 to 2100 in Excel's days."""
HOURLIKE = re.compile(r"(?i)^(hour|hr|he|hour[ _]?ending|hour[ _]?of[ _]?day)$")
"""Names of columns with the hour of the day, which complete a column of dates."""
WORDED = r"^\d{1,2}[\s./-]+\pL{3,}[\s./-]+\d{4}\b"
"""A date with a word in its middle."""
PARTS = ("year", "month", "day", "hour", "minute", "second")


def choose(
    feed: Feed, options: TableOptions, seen: Seen
) -> tuple[Clock | None, list[str]]:
    """Decide which columns hold the time, and their format.

    Returns:
        The columns and the format, or None if rows are `period` apart; and notes on a
        choice that the settings did not make.

    Raises:
        FeedError: if a column is missing, or its times have two readings.
        ConfigError: if a zone is invalid.
    """
    if feed.time == NO_TIMES:
        return None, []
    named = (feed.time,) if isinstance(feed.time, str) else feed.time
    if any(named):
        require(named, seen.names, seen.source)
        clock = _named_clock(named, feed, options, seen)
        return clock, [] if clock.form else _unread_months(seen, named)
    found = _said(feed, options, seen)
    if not found:
        told = f"no column reads as times: ticks are {feed.period.text} apart"
        likely = [_may_be_times(name) for name in _doubtful(feed, seen)]
        return None, [told, *likely, *_unread_months(seen, seen.names)]
    first, *others = found
    told = f"times are those of {_listed(first.columns)}; feed.time names another"
    if others:
        told += f", e.g. {_listed(others[0].columns)}"
    return _in_zone(first, options, seen), [f"{told}, or '{NO_TIMES}' for none"]


def _unread_months(seen: Seen, names: Sequence[str]) -> list[str]:
    """Make a note of a column of dates whose names of months are unknown."""
    for name in names:
        cells = seen.columns[name].cast(pl.String).drop_nulls().str.strip_chars()
        if len(cells) and cells.str.contains(WORDED).all():
            known = f"months are known by their names in English, {months.LANGUAGES}"
            return [f"{name!r} looks like dates, first {cells[0]!r}; {known}"]
    return []


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))


def _named_clock(
    named: tuple[str, ...], feed: Feed, options: TableOptions, seen: Seen
) -> Clock:
    column = date_and_time.sample(seen.columns, named)
    if not times.readable(column.dtype):
        problem = f"expected times, was {column.dtype}"
        raise FeedError(seen.source, problem, column=named[0])
    if options.time_format:
        clock = _written(named, options.time_format, seen)
        if not dates.share(clock, seen.columns):
            shown = repr(next(iter(date_and_time.filled(column.cast(pl.String)))))
            raise _unwritten(options.time_format, shown, seen, column=named[0])
    elif feed.time_unit != "auto":
        clock = Clock(named, unit=feed.time_unit)
    else:
        found = dates.recognise(column, seen.source, named[0])
        clock = replace(found or Clock(named), columns=named)
    return _in_zone(clock, options, seen)


def _in_zone(clock: Clock, options: TableOptions, seen: Seen) -> Clock:
    """Set the zone of the settings for local times that carry no zone or offset."""
    if not options.zone:
        return clock
    zones.expect(options.zone)
    column = date_and_time.sample(seen.columns, clock.columns)
    counted = not clock.form and not dates.is_dated(column)
    if clock.unit != EXCEL and (clock.named or counted or dates.has_offset(column)):
        return clock
    return replace(clock, zone=options.zone)


def _said(feed: Feed, options: TableOptions, seen: Seen) -> list[Clock]:
    """Find the columns of times, in the format of the settings or else any format."""
    form, unit = options.time_format, feed.time_unit
    if not form and unit == "auto":
        return _telling(feed, seen)
    free = _free(feed, seen)
    if form:
        each = [_written(names, form, seen) for names in (*zip(free), *pairwise(free))]
        told = [c for c in each if dates.share(c, seen.columns) >= dates.ENOUGH]
    else:
        told = [Clock((name,), unit) for name in free if _counts(name, unit, seen)]
    if told:
        return told
    if form:
        raise _unwritten(form, "no column of such times", seen)
    problem = f"expected times in {unit!r} (feed.time_unit), was no such column"
    raise FeedError(seen.source, problem, "feed.time names the column")


def _written(names: tuple[str, ...], form: str, seen: Seen) -> Clock:
    """Give the clock of columns whose times have a form of Python's strptime."""
    sample = date_and_time.sample(seen.columns, names)
    return Clock(names, form=dates.chosen(form, sample))


def _unwritten(form: str, was: str, seen: Seen, column: str | None = None) -> FeedError:
    problem = f"expected times like {form!r} (feed.options.time_format), was {was}"
    hint = "a form has year, month and day; feed.time names the column"
    return FeedError(seen.source, problem, hint, column=column)


def _free(feed: Feed, seen: Seen) -> list[str]:
    """Give the columns that may hold times: those that have no other role."""
    busy = {*feed.columns.values(), *filter(None, [feed.symbol])}
    return [name for name in seen.columns if name not in busy]


def _counts(name: str, unit: str, seen: Seen) -> bool:
    """Say whether a column holds times in a unit, by its name and its numbers."""
    column = seen.columns[name]
    if not (times.readable(column.dtype) and TIMELIKE.search(name)):
        return False
    ns = times.nanoseconds(column, unit)
    within = np.mean((ns >= dates.FIRST) & (ns < dates.LAST)) if len(ns) else 0.0
    return bool(within >= dates.ENOUGH) and _goes_one_way(ns)


def _goes_one_way(ns: Ints) -> bool:
    steps = np.diff(ns)
    return max(int((steps >= 0).sum()), int((steps <= 0).sum())) >= MOSTLY * len(steps)


def _telling(feed: Feed, seen: Seen) -> list[Clock]:
    """Give the clock of each column that reads as times, the best first."""
    each = (tells_time(n, seen.columns[n], seen.source) for n in _free(feed, seen))
    found = [clock for clock in each if clock]
    if found and (pair := _with_time_of_day(found[0], seen)):
        return [pair, *found[1:]]
    if not found and (parts := _in_parts(seen)):
        return [parts]
    first = seen.names[0]
    if not found and NAMELESS.match(first) and first in _doubtful(feed, seen):
        return [Clock((first,))]
    return found


def _doubtful(feed: Feed, seen: Seen) -> list[str]:
    """Find columns of numbers that may be times although their names do not say so."""
    found = []
    for name in _free(feed, seen):
        column = seen.columns[name]
        if NUMBERLIKE.search(name) or len(seen.columns) == 1:
            continue
        clock = dates.recognise(column, seen.source, name)
        if clock != Clock((name,)) or dates.is_dated(column):
            continue
        ns = clock.read(pl.DataFrame([column.alias(name)]))
        usual = (ns >= USUAL[0]) & (ns < USUAL[1])
        if usual.mean() >= dates.ENOUGH and np.ptp(ns) and _goes_one_way(ns):
            found.append(name)
    return found


def _may_be_times(name: str) -> str:
    return f"{name!r} may be times: feed.time = {name!r} reads them"


def tells_time(name: str, column: pl.Series, source: str) -> Clock | None:
    """Give the clock of a column that reads as times, or None."""
    clock = dates.recognise(column, source, name)
    if clock and clock.form == DAY_OF_YEAR and not TIMELIKE.search(name):
        return None  # invoice numbers look the same
    if clock is None or clock.form or clock.named or dates.is_dated(column):
        return clock
    whole = column.cast(pl.Float64, strict=False).drop_nulls()
    if NAMELESS.match(name) and not (whole >= LEAST).all():
        return None
    ns = clock.read(pl.DataFrame([column.alias(name)]))
    return clock if TIMELIKE.search(name) and _goes_one_way(ns) else None


def counting_from_start(seen: Seen, names: Collection[str]) -> dict[str, str]:
    """Find columns of numbers that count time from a start of their own; say why."""
    found = {}
    for name, column in seen.columns.items():
        if name not in names or NAMELESS.match(name) or not TIMELIKE.search(name):
            continue
        at = column.cast(pl.Float64, strict=False)
        steps = at.diff().drop_nulls()
        if not at.has_nulls() and len(steps) >= LEAST_STEPS and (steps > 0).all():
            told = f"counts from a start, first {at[0]:g} and {at[1]:g}"
            if at[0] >= dates.SMALLEST:
                told = f"is of no year from 2000 to 2100, first {_moment(column)}"
            found[name] = f"{told}; feed.period says how far apart rows are"
    return found


def _moment(column: pl.Series) -> str:
    """Describe the first number of a column, and its date if it is a time."""
    ns = times.nanoseconds(column.head(1), "auto")[0]
    day = np.datetime64(int(ns), "ns").astype("datetime64[D]")
    when = "" if ns == NO_TIME else f", which is {day}"
    return f"{column[0]}{when}"


def may_be_excel(name: str, column: pl.Series) -> bool:
    """Say whether a column of times may hold days as Excel counts them."""
    if not name or NAMELESS.match(name) or not TIMELIKE.search(name):
        return False
    days = column.cast(pl.Float64, strict=False).drop_nulls().to_numpy()
    within = (days >= EXCEL_DAYS[0]) & (days < EXCEL_DAYS[1])
    steps = np.diff(days)
    one_way = (steps >= 0).all() or (steps <= 0).all()
    return bool(len(days) and within.all() and one_way)


def _in_parts(seen: Seen) -> Clock | None:
    """Find columns of year, month and day, with or without hour, minute and second."""
    there = {name.strip().lower(): name for name in seen.names}
    if not all(part in there for part in PARTS[:3]):
        return None
    named = tuple(there[part] for part in PARTS if part in there)
    found = dates.recognise(
        date_and_time.sample(seen.columns, named), seen.source, named[0]
    )
    return found and replace(found, columns=named)


def _with_time_of_day(clock: Clock, seen: Seen) -> Clock | None:
    """Find the column of times of day that belongs to a column of dates."""
    ns = clock.read(pl.DataFrame([seen.columns[n].alias(n) for n in clock.columns]))
    if (ns % dates.DAY).any():
        return None
    for name, column in seen.columns.items():
        if name not in clock.columns and (
            date_and_time.is_time_of_day(column)
            or _tells_hours(name, column)
            or (TIMELIKE.search(name) and date_and_time.bare_digits(column) > 0)
        ):
            both = (clock.columns[0], name)
            whole = date_and_time.sample(seen.columns, both)
            found = dates.recognise(whole, seen.source, both[0])
            return found and replace(found, columns=both)
    return None


def _tells_hours(name: str, column: pl.Series) -> bool:
    """Say whether a column holds hours of the day, from 0 to 24."""
    if not HOURLIKE.match(name.strip()):
        return False
    hours = column.cast(pl.Int64, strict=False)
    return not hours.has_nulls() and bool(hours.is_between(0, 24).all())
