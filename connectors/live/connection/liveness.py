"""Silence on a connection and per topic, and what it means.

Only data counts: a connection may answer every ping and bring nothing. Silence beyond
`quiet` is stale, twice that is dead. A topic that was silent for longer before, and
then spoke on the same connection, is given more time: its market is quiet. The same
holds for a topic that a new connection did not help.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

CONNECTION = ""
DEAD = 2.0
USUAL = 1.5
FORGET = 0.99
PATIENCE = 64


class Age(msgspec.Struct):
    """Silence of a topic: since when on this connection, and what is usual; s.

    Attributes:
        heard: when data last came, None before.
        start: when the silence began: then, or when the connection opened.
        usual: the longest silence of late that ended by itself.
        between: the longest time of late between data, over all connections.
        patience: how many times as long to wait, as other connections did not help.
    """

    heard: float | None = None
    start: float = 0.0
    usual: float = 0.0
    between: float = 0.0
    patience: int = 1


class Liveness:
    """The ages of a connection's data.

    Args:
        topics: that are expected to speak.
        quiet: a silence that is stale, s.
    """

    def __init__(self, topics: Iterable[str], quiet: float) -> None:
        self.quiet = quiet
        self._ages = {topic: Age() for topic in topics}
        self._all = Age()

    def opened(self, now: float) -> None:
        """Let all silences begin: a connection opened."""
        for age in (self._all, *self._ages.values()):
            age.start = now

    def data(self, topic: str, now: float) -> None:
        """Data of a topic came."""
        _end(self._all, now)
        if age := self._ages.get(topic):
            _end(age, now)

    def heard(self, topic: str = CONNECTION) -> float | None:
        """Give the moment of the latest data of a topic, or of all."""
        return self._of(topic).heard

    def silence(self, now: float, topic: str = CONNECTION) -> float:
        """Give the seconds of silence on this connection."""
        return now - self._of(topic).start

    def stale(self, now: float, topic: str = CONNECTION) -> bool:
        """Say whether the silence is longer than it should be."""
        return self.silence(now, topic) > self._limit(self._of(topic))

    def expected(self) -> float:
        """Give the seconds between data that are no trouble, whatever connects.

        A candle that comes every five minutes is worth waiting for, on a connection
        that was opened because of the silence too.
        """
        return max(self.quiet, USUAL * self._all.between)

    def dead(self, now: float, topic: str = CONNECTION) -> bool:
        """Say whether the silence is so long that another connection must help."""
        age = self._of(topic)
        return now - age.start > DEAD * age.patience * self._limit(age)

    def gave_up(self, topic: str = CONNECTION) -> None:
        """Wait twice as long the next time, unless data comes before."""
        age = self._of(topic)
        age.patience = min(PATIENCE, 2 * age.patience)

    def _of(self, topic: str) -> Age:
        return self._ages[topic] if topic else self._all

    def _limit(self, age: Age) -> float:
        return max(self.quiet, USUAL * age.usual)


def _end(age: Age, now: float) -> None:
    """End a silence."""
    age.usual = max(now - age.start, FORGET * age.usual)
    if age.heard is not None:
        age.between = max(now - age.heard, FORGET * age.between)
    age.heard = age.start = now
    age.patience = 1
