"""Converts River's dicts to columns of numbers, with NaN for missing values."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from sfm_stream.errors import FeatureError

Row: TypeAlias = Mapping[Any, Any]
FLOATS = frozenset([float])
NUMBERS = (bool, int, float, np.number, np.bool_, Decimal)
# The numbers read from a date: sine and cosine of three cycles.
CALENDAR = ("year sin", "year cos", "week sin", "week cos", "day sin", "day cos")
DAYS_PER_YEAR = 365.2425


class Features:
    """The columns of features, in order of appearance.

    Names that appear together are sorted as text, so the order of a dict does not
    matter. A feature keeps its column for good. A date has six columns, named
    `(name, "year sin")` and so on.
    """

    # Gets the values of all columns at once; None for fewer than two columns, and in a
    # pickle of a former version.
    _together: Callable[[Row], tuple[Any, ...]] | None = None

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Names of the columns, in order."""
        return tuple(self._places)

    def are(self, x: Row) -> bool:
        """Say whether the names of a row are exactly the names of the columns."""
        return x.keys() == self._places.keys()

    def places(self, names: Iterable[Hashable]) -> list[int]:
        """Give the column of each name; every name must have a column."""
        return [self._places[name] for name in names]

    def admit(self, x: Row) -> bool:
        """Give columns to the new names of a row; say whether there were any.

        A name gets no column while its value is missing (None, NaN, infinite).

        Raises:
            FeatureError: if a value is neither a number nor a date, or the row is not a
                dict; then no name gets a column.
        """
        try:
            if x.keys() <= self._places.keys():
                return False
        except AttributeError as e:
            raise _no_row(x) from e
        self._expect_readable(x)
        found = (name for item in x.items() for name in _columns(*item))
        new = [name for name in found if name not in self._places]
        for name in in_order(new):
            self._places[name] = len(self._places)
        if new and len(self._places) > 1:
            self._together = itemgetter(*self._places)
        return bool(new)

    def plain(self, x: Row) -> tuple[float, ...] | None:
        """Give the values of a dict with a finite float per column and no other name.

        This reads most rows, in half the time of `row`. The result is None for any
        other row.
        """
        # A subclass of dict may supply values for absent names.
        if self._together is None or x.__class__ is not dict:
            return None
        if len(x) != len(self._places):
            return None
        try:
            values = self._together(x)
        except KeyError:
            return None
        total = sum(values) if FLOATS.issuperset(map(type, values)) else math.nan
        return values if total - total == 0.0 else None

    def _expect_readable(self, x: Row) -> None:
        for name, value in x.items():
            if not isinstance(value, date):
                number(name, value)

    def row(self, x: Row) -> list[float]:
        """Give the values of all columns, NaN for a missing value.

        A name without a column is ignored.

        Raises:
            FeatureError: if a value is neither a number nor a date, or the row is not a
                dict.
        """
        places, row = self._places, [math.nan] * len(self._places)
        try:
            items = x.items()
        except AttributeError as e:
            raise _no_row(x) from e
        for name, value in items:
            place = places.get(name)
            if place is not None:
                # Most values are finite floats: a call for each would double the time.
                plain = value.__class__ is float and value - value == 0.0
                row[place] = value if plain else number(name, value)
            elif isinstance(value, date) and (name, CALENDAR[0]) in places:
                at = self.places((name, part) for part in CALENDAR)
                for hand, reading in zip(at, calendar(value), strict=True):
                    row[hand] = reading
        return row


def in_order(names: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Sort names of any type by their text."""
    return tuple(sorted(names, key=lambda name: (str(name), str(type(name)))))


def number(name: Hashable, value: object) -> float:
    """Convert a value to a float; None and infinite values become NaN.

    Raises:
        FeatureError: if the value is not a number.
    """
    if value.__class__ is not float:
        if value is None:
            return math.nan
        if not isinstance(value, NUMBERS):
            raise _no_number(name, value)
        try:
            value = float(value)
        except OverflowError:  # a whole number too large for any float
            return math.nan
    assert isinstance(value, float)  # noqa: S101 its type was checked above
    # always the same NaN object, so that equal rows compare as equal
    return value if value - value == 0.0 else math.nan


def _no_number(name: Hashable, value: object) -> FeatureError:
    if isinstance(value, date):  # a date in the place of a number
        hint = "give dates a feature of their own"
        return FeatureError(name, value, "a number", hint)
    return FeatureError(name, value)


def _no_row(x: object) -> FeatureError:
    return FeatureError("x", x, "a dict of features", "name each feature")


def calendar(moment: date | None) -> list[float]:
    """Compute the numbers of `CALENDAR` from a date; NaN for a missing date."""
    if moment is None or moment != moment:
        return [math.nan] * len(CALENDAR)
    time = moment.timetuple()
    day = (time.tm_hour + time.tm_min / 60 + time.tm_sec / 3600) / 24
    turns = ((time.tm_yday - 1 + day) / DAYS_PER_YEAR, (time.tm_wday + day) / 7, day)
    return [hand(math.tau * turn) for turn in turns for hand in (math.sin, math.cos)]


def _columns(name: Hashable, value: object) -> Iterable[Hashable]:
    if isinstance(value, date):
        known = value == value  # a missing date does not equal itself
        return [(name, part) for part in CALENDAR] if known else ()
    return () if math.isnan(number(name, value)) else (name,)
