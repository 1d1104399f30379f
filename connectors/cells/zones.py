"""Convert local times to UTC, by names of zones, with daylight saving time.

When clocks go back, one hour occurs twice. Rows in it are read as its first occurrence
until local time steps back, and as its second from that row on. When clocks go forward,
one hour is skipped: a local time in it does not exist and is `NO_TIME`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import polars as pl

from sfm_stream.errors import ConfigError
from sfm_stream.events import NO_TIME, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR = 3600 * 10**9
OFFSETS = {
    "UT": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2,
    "MEZ": 1, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3, "EST": -5, "EDT": -4, "CST": -6,
    "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "JST": 9, "KST": 9,
}  # fmt: skip
"""Hours ahead of UTC for the names of zones in RFC 5322 section 4.3, and for European
and Asian names that mean one zone only."""


def expect(zone: str) -> None:
    """Refuse an unknown zone.

    Raises:
        ConfigError: naming the zone.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        problem = f"expected a zone like 'Europe/Berlin', was {zone!r}"
        raise ConfigError("feed.options.zone", problem) from e


def is_known(name: str) -> bool:
    """Say whether a name after a time is the name of a known zone."""
    if name in OFFSETS:
        return True
    try:
        expect(name)
    except ConfigError:
        return False
    return "/" in name


class Local:
    """Converts the local times of one reading, in their order, to UTC.

    Args:
        zone: IANA name of the zone; the IANA data come with Polars.
    """

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._last = NO_TIME
        self._twice = self._late = False

    def utc(self, local: Ints) -> Ints:
        """Turn the next local times into UTC; NO_TIME where a time does not exist.

        Args:
            local: int64 [T], ns as if they were UTC.
        """
        found = np.full(len(local), NO_TIME, np.int64)
        there = local != NO_TIME  # missing times do not show a change of clocks
        if there.any():
            found[there] = self._next(local[there])
        return found

    def _next(self, local: Ints) -> Ints:
        """Turn the next local times into UTC; none of them is missing."""
        early, late = (
            _utc(local, self._zone, which) for which in ("earliest", "latest")
        )
        twice = early != late
        found = early
        if twice.any() or self._twice:
            found = np.where(self._second_pass(local, twice, late - early), late, early)
        self._last = int(local[-1])
        self._twice = bool(twice[-1])
        return found

    def _second_pass(
        self, local: Ints, twice: NDArray[np.bool_], back: Ints
    ) -> NDArray[np.bool_]:
        """Find the rows in the second occurrence of an hour that occurs twice."""
        before = np.concatenate([[self._last], local[:-1]])
        follows = np.concatenate([[self._twice], twice[:-1]])
        steps = local - before
        rising = steps[(steps > 0) & (before != NO_TIME)]
        slow = len(rising) > 0 and np.median(rising) * 2 > np.max(back)
        stepped = (steps <= 0 if slow else steps < 0) & follows & twice
        second = np.zeros(len(local), np.bool_)
        edges = np.flatnonzero(np.diff(twice, prepend=False, append=False))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            going_on = self._late and self._twice and start == 0
            second[start:stop] = going_on | np.logical_or.accumulate(
                stepped[start:stop]
            )
        self._late = bool(len(second) and second[-1])
        return second


def _utc(local: Ints, zone: str, which: str) -> Ints:
    naive = pl.Series(local).cast(pl.Datetime("ns"))
    placed = naive.dt.replace_time_zone(
        zone, ambiguous="latest" if which == "latest" else "earliest",
        non_existent="null",
    )  # fmt: skip
    return placed.to_physical().fill_null(NO_TIME).to_numpy()


def named(local: Ints, names: pl.Series) -> Ints:
    """Turn local times into UTC, each by the name of its zone.

    Args:
        local: int64 [T], ns as if they were UTC.
        names: [T], names of zones; an unknown name gives NO_TIME.
    """
    found = np.full(len(local), NO_TIME, np.int64)
    for name in names.unique().drop_nulls().to_list():
        rows = (names == name).fill_null(value=False).to_numpy() & (local != NO_TIME)
        if name in OFFSETS:
            found[rows] = local[rows] - OFFSETS[name] * HOUR
        elif is_known(name):
            found[rows] = _utc(local[rows], name, "earliest")
    return found
