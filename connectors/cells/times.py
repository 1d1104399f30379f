"""Convert columns of times to int64 nanoseconds UTC, without a Python loop over values.

A value that cannot be read, or does not fit int64 nanoseconds, becomes `NO_TIME`:
nothing overflows into a plausible year. The engine checks whether a year is plausible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from connectors.stamps import DAY, EXCEL, EXCEL_EPOCH, MAGNITUDES, SECOND, UNIT_NS
from sfm_stream.events import NO_TIME, Floats, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = np.iinfo(np.int64).max
DECIMAL = r"^([+-]?)(\d+)(?:\.(\d*))?$"
DATED = r"^\d{4}[-/]"
ISO = (
    r"^(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[Tt ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?)?"
    r"\s*(?:[Zz]|UTC|([+-])(\d{2}):?(\d{2})?)?$"
)
# The most common layout has a fixed width: `2015-01-01 00:00:00[.123456][Z]`.
PUNCTUATION = {4: b"-/", 7: b"-/", 10: b"T ", 13: b"::", 16: b"::", 19: b".,"}
WHOLE = 19
YEARS = 10_000
MONTHS = (np.arange(YEARS * 12 + 1) - 1970 * 12).astype("datetime64[M]")
MONTH_START = MONTHS.astype("datetime64[D]").astype(np.int64)
"""For each month from year 0, the first day in days since the epoch."""


def readable(dtype: pl.DataType) -> bool:
    """Say whether a column of this type can hold times."""
    return dtype.is_numeric() or dtype.base_type() in (
        pl.String, pl.Datetime, pl.Date, pl.Null,
    )  # fmt: skip


def nanoseconds(column: pl.Series, unit: str) -> Ints:
    """Read a column of times.

    Args:
        column: [T], numbers, text, or polars dates and datetimes.
        unit: s, ms, us, 100ns, ns; `iso` for ISO 8601 text (UTC if it names no zone);
            `excel` for days since 1899-12-30, rounded to ms; `auto` decides per value
            by magnitude. Not used for columns of dates and datetimes.

    Returns:
        int64 [T], NO_TIME where null, unreadable or beyond int64.
    """
    dtype = column.dtype
    if unit == EXCEL and dtype.base_type() not in (pl.Datetime, pl.Date):
        return _excel(column)
    if isinstance(dtype, pl.Datetime):
        return _counted(column.to_physical(), dtype.time_unit)
    if dtype == pl.Date:
        days = column.to_physical().cast(pl.Int64)
        return _counted(days * DAY, "s")
    if dtype == pl.String:
        return _text(column.str.strip_chars(), unit)
    if unit == "iso":
        return np.full(len(column), NO_TIME, np.int64)
    if isinstance(dtype, pl.Decimal):
        return _decimal(column.cast(pl.String), unit)
    if dtype.is_float():
        return of_floats(column.cast(pl.Float64).fill_null(np.nan).to_numpy(), unit)
    return _counted(column, unit)


def of_integers(values: Ints, unit: str) -> Ints:
    """Turn whole numbers of a unit into ns; NO_TIME where they do not fit."""
    scale = _scale(values.astype(np.float64), unit)
    limit = LARGEST // scale
    fits = (values <= limit) & (values >= -limit)
    return np.where(fits, np.where(fits, values, 0) * scale, NO_TIME)


def of_floats(values: Floats, unit: str) -> Ints:
    """Turn floats of a unit into ns, to the precision of float64."""
    scale = _scale(values, unit)
    fits = np.abs(values) < 2.0**63 / scale - 1
    known = np.where(fits, values, 0.0)
    whole = np.floor(known)
    # The fraction of a float is exact; multiplying the whole number would round it.
    ns = whole.astype(np.int64) * scale + np.rint((known - whole) * scale).astype(int)
    return np.where(fits, ns, NO_TIME)


def _excel(column: pl.Series) -> Ints:
    """Read days as Excel counts them; round to ms, the precision of such fractions."""
    days = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    return of_floats(np.rint((days - EXCEL_EPOCH) * (DAY * 1000)), "ms")


def _scale(values: Floats, unit: str) -> Ints:
    """Give the number of ns in the unit of each value."""
    if unit != "auto":
        return np.full(len(values), UNIT_NS[unit], np.int64)
    size = np.abs(values)
    below = [size < limit for _, limit in MAGNITUDES]
    return np.select(below, [UNIT_NS[name] for name, _ in MAGNITUDES], 1)


def _counted(column: pl.Series, unit: str) -> Ints:
    whole = column.cast(pl.Int64, strict=False)
    null = whole.is_null().to_numpy()
    ns = of_integers(whole.fill_null(0).to_numpy(), unit)
    return np.where(null, NO_TIME, ns)


def _text(column: pl.Series, unit: str) -> Ints:
    """Read text in which each value may be a number or a date."""
    dated = column.str.contains(DATED).fill_null(value=False)
    if unit == "iso" or (unit == "auto" and dated.all()):
        return _iso(column)
    if unit != "auto" or not dated.any():
        return _decimal(column, unit)
    ns = np.full(len(column), NO_TIME, np.int64)
    dates = dated.to_numpy()
    ns[dates] = _iso(column.filter(dated))
    ns[~dates] = _decimal(column.filter(~dated), unit)
    return ns


def _decimal(column: pl.Series, unit: str) -> Ints:
    """Read decimal text by its digits: float64 cannot hold a date in seconds to ns."""
    parts = column.str.extract_groups(DECIMAL).struct.unnest()
    sign, whole, fraction = (parts[:, i] for i in range(3))
    values, known = _integers(whole)
    scale = _scale(values.astype(np.float64), unit)
    nano, _ = _integers(fraction.fill_null("").str.slice(0, 9).str.pad_end(9, "0"))
    ns = of_integers(values, unit)
    below = nano * scale // SECOND
    fits = known & (ns != NO_TIME) & (ns <= LARGEST - below)
    ns = np.where(fits, np.where(fits, ns, 0) + below, NO_TIME)
    ns = np.where(fits & (sign == "-").fill_null(value=False).to_numpy(), -ns, ns)
    if not known.all():  # exponents
        floats = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        ns = np.where(whole.is_null().to_numpy(), of_floats(floats, unit), ns)
    return ns


def _integers(text: pl.Series) -> tuple[Ints, NDArray[np.bool_]]:
    values = text.cast(pl.Int64, strict=False)
    return values.fill_null(0).to_numpy(), values.is_not_null().to_numpy()


def _iso(column: pl.Series) -> Ints:
    """Read ISO 8601 text: the common layout width by width, other text by pattern."""
    widths = column.str.len_bytes().fill_null(0).to_numpy()
    ns = np.full(len(column), NO_TIME, np.int64)
    for width in np.unique(widths[widths >= WHOLE]):
        rows = np.flatnonzero(widths == width)
        part = column if len(rows) == len(column) else column.gather(rows)
        ns[rows] = _fixed(part, int(width))
    odd = np.flatnonzero((ns == NO_TIME) & (widths > 0))
    if len(odd):
        ns[odd] = _patterned(column.gather(odd))
    return ns


def _fixed(column: pl.Series, width: int) -> Ints:
    """Read text of one width; NO_TIME where it does not have the common layout."""
    joined = column.str.join("").item().encode()
    text = np.frombuffer(joined, np.uint8).reshape(-1, width).T.copy()
    bare = width - 1 if (text[-1] == ord("Z")).all() else width
    right = np.full(text.shape[1], bare == WHOLE or bare > WHOLE + 1)
    for at, (mark, other) in PUNCTUATION.items():
        if at < bare:
            right &= (text[at] == mark) | (text[at] == other)
    text -= ord("0")  # characters other than digits wrap to numbers above 9
    for at in set(range(bare)) - set(PUNCTUATION):
        right &= text[at] <= 9
    spans = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
    parts = [_number(text[slice(*span)]) for span in spans]
    nano = _number(text[WHOLE + 1 : min(bare, WHOLE + 10)])
    nano *= 10 ** min(9, max(0, WHOLE + 10 - bare))
    for part in parts[:2]:
        part[~right] = 1
    return np.where(right, _civil(parts, nano), NO_TIME)


def _number(digits: NDArray[np.uint8]) -> Ints:
    value = np.zeros(digits.shape[1], np.int64)
    for digit in digits:
        value *= 10
        value += digit
    return value


def _patterned(column: pl.Series) -> Ints:
    groups = column.str.extract_groups(ISO).struct.unnest()
    read = [_integers(groups[:, i])[0] for i in range(6)]
    nano, _ = _integers(groups[:, 6].fill_null("").str.slice(0, 9).str.pad_end(9, "0"))
    ahead = _integers(groups[:, 8])[0] * 3600 + _integers(groups[:, 9])[0] * 60
    behind = (groups[:, 7] == "-").fill_null(value=False).to_numpy()
    ns = _civil(read, nano, np.where(behind, -ahead, ahead))
    return np.where(groups[:, 0].is_null().to_numpy(), NO_TIME, ns)


def _civil(parts: Sequence[Ints], nano: Ints, ahead: Ints | int = 0) -> Ints:
    """Turn dates and times of day into ns; NO_TIME where the moment does not exist.

    `parts` are year, month, day, hour, minute and second; `ahead` is the zone's offset
    in seconds. A leap second is read as the second after it.
    """
    year, month, day, hour, minute, second = parts
    right = (month >= 1) & (month <= 12) & (day >= 1)
    at = year * 12 + np.where(right, month - 1, 0)
    start = MONTH_START[at]
    right &= day <= MONTH_START[at + 1] - start
    midnight = (hour == 24) & (minute == 0) & (second == 0)  # of the next day
    right &= ((hour <= 23) | midnight) & (minute <= 59) & (second <= 60)
    seconds = (start + day - 1) * DAY + hour * 3600 + minute * 60 + second - ahead
    right &= np.abs(seconds) < LARGEST // SECOND
    return np.where(right, np.where(right, seconds, 0) * SECOND + nano, NO_TIME)
