"""How long a connection has been down, and when that is an alarm.

It is up when it brings data, or stands without: its market may be quiet. One that is
accepted and closed at once does not stand.
"""

from __future__ import annotations

LONG = 60.0
"""Seconds after which a person should look."""
STANDS = 10.0
"""Seconds an open connection lasts until it counts as up without data."""


class Outage:
    """The time since a connection was up."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False

    def begin(self, now: float) -> None:
        """Note that it is down, since this moment or an earlier one."""
        if self._since is None:
            self._since = now

    def end(self) -> None:
        """Note that it is up."""
        self._since, self._told = None, False

    def stands(self, now: float, opened: float) -> None:
        """Note that a connection is open, and since when."""
        if now - opened > STANDS:
            self.end()

    def seconds(self, now: float) -> float:
        """Give how long it has been down; 0 while that is not long."""
        past = 0.0 if self._since is None else now - self._since
        return past if past >= LONG else 0.0

    def is_news(self, now: float) -> bool:
        """Say once, for each time that it is down for long."""
        is_long = self.seconds(now) > 0
        news, self._told = is_long and not self._told, is_long
        return news
