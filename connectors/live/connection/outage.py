"""Measure how long a connection has been down, and raise an alarm if that is long.

A connection is up when it has data, or stays open for `STANDS` seconds without data, as
its market may be quiet. A connection that is closed right after it opened is not up.
"""

from __future__ import annotations

LONG = 60.0
"""Seconds after which a person should be alarmed."""
STANDS = 10.0
"""Seconds after which an open connection without data counts as up."""


class Outage:
    """The time since a connection was up."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False

    def begin(self, now: float) -> None:
        """Note that the connection is down, since now if it was up before."""
        if self._since is None:
            self._since = now

    def end(self) -> None:
        """Note that the connection is up."""
        self._since, self._told = None, False

    def stands(self, now: float, opened: float) -> None:
        """Note that a connection has been open since a time."""
        if now - opened > STANDS:
            self.end()

    def seconds(self, now: float) -> float:
        """Give the seconds it has been down; 0 if these are fewer than `LONG`."""
        past = 0.0 if self._since is None else now - self._since
        return past if past >= LONG else 0.0

    def is_news(self, now: float) -> bool:
        """Give True once for each outage longer than `LONG`."""
        is_long = self.seconds(now) > 0
        news, self._told = is_long and not self._told, is_long
        return news
