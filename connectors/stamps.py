"""Convert a single time to int64 nanoseconds UTC, exactly, without floats.

`cells.times` does the same for columns. A time that cannot be read, or does not fit
int64, becomes `NO_TIME`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from sfm_stream.events import NO_TIME

SECOND, MS, US = 10**9, 10**6, 10**3
UNIT_NS = {"s": SECOND, "ms": MS, "us": US, "100ns": 100, "ns": 1}
AUTO = "auto"
EXCEL, EXCEL_EPOCH = "excel", 25_569
"""The unit of days since 1899-12-30, and the day 1970-01-01 in this unit."""
MAGNITUDES = (("s", 1e11), ("ms", 1e14), ("us", 1e17))
"""Units for numbers without one, each with the size below which it applies."""
LARGEST = 2**63
NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 text without a zone is in UTC
EPOCH = NAIVE.replace(tzinfo=UTC)
DAY = 86_400
DAY_NS = DAY * SECOND
READ = datetime.fromisoformat
MICROSECONDS = 27
"""Length of ISO text with six decimals, as a datetime holds, and a `Z`."""
# Up to three digits beyond the six decimals of a datetime.
NANOSECONDS = re.compile(r".{19}[.,]\d{6}(\d{1,3})")


def of_iso(text: str) -> int:
    """Turn ISO 8601 text into ns; text without a zone is in UTC."""
    try:
        since = READ(text) - EPOCH
    except TypeError:  # the text names no zone
        since = READ(text) - NAIVE
    except ValueError:
        return NO_TIME
    ns = since.days * DAY_NS + since.seconds * SECOND + since.microseconds * US
    if len(text) > MICROSECONDS and (found := NANOSECONDS.match(text)):
        ns += int(found[1].ljust(3, "0"))
    return ns if NO_TIME < ns < LARGEST else NO_TIME


def of_number(number: int | str, unit: str) -> int:
    """Turn a number, or the text of a number, into ns.

    Args:
        number: the time, in any decimal form.
        unit: s, ms, us, 100ns, ns; `excel` counts days since 1899-12-30, rounded to
            ms; `auto` decides by magnitude.
    """
    if type(number) is int and unit != EXCEL:
        ns = number * UNIT_NS[_unit_of(number) if unit == AUTO else unit]
        return ns if -LARGEST < ns < LARGEST else NO_TIME
    try:
        exact = Decimal(number)
    except InvalidOperation:
        return NO_TIME
    if not exact.is_finite() or not -LARGEST < exact < LARGEST:
        return NO_TIME
    if unit == AUTO:
        unit = _unit_of(exact)
    if unit == EXCEL:
        exact, unit = Decimal(round((exact - EXCEL_EPOCH) * DAY * 1000)), "ms"
    ns = int(exact * UNIT_NS[unit])
    return ns if -LARGEST < ns < LARGEST else NO_TIME


def _unit_of(number: int | Decimal) -> str:
    """Give the unit in which a number is a present-day time, by its magnitude."""
    for name, below in MAGNITUDES:
        if -below < number < below:
            return name
    return "ns"
