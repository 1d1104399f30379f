"""Detect stale and dead data, on a connection and per topic, by the length of silence.

Only data counts: a connection may answer every ping and still send no data. Data is
stale after a silence longer than `quiet`, and dead after twice that time. Both limits
are longer for a topic that was silent for longer before and then had data on the same
connection, as its market is quiet. Where a new connection did not help, data counts as
dead only after a longer silence.
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
    """The current silence of a topic, and its usual length; s.

    Attributes:
        heard: time of the latest data, None before the first.
        start: start of the silence: the latest data, or the opening of the connection.
        usual: longest recent silence after which data came on the same connection.
        between: longest recent time between data, over all connections.
        patience: factor for the wait, raised when a new connection did not help.
    """

    heard: float | None = None
    start: float = 0.0
    usual: float = 0.0
    between: float = 0.0
    patience: int = 1


class Liveness:
    """The silences of a connection and of its topics.

    Args:
        topics: topics with expected data.
        quiet: length of a silence after which data is stale, s.
    """

    def __init__(self, topics: Iterable[str], quiet: float) -> None:
        self.quiet = quiet
        self._ages = {topic: Age() for topic in topics}
        self._all = Age()

    def opened(self, now: float) -> None:
        """Start all silences, as a connection opened."""
        for age in (self._all, *self._ages.values()):
            age.start = now

    def data(self, topic: str, now: float) -> None:
        """Note data of a topic."""
        _end(self._all, now)
        if age := self._ages.get(topic):
            _end(age, now)

    def heard(self, topic: str = CONNECTION) -> float | None:
        """Give the time of the latest data of a topic, or of any topic."""
        return self._of(topic).heard

    def silence(self, now: float, topic: str = CONNECTION) -> float:
        """Give the seconds of silence on this connection."""
        return now - self._of(topic).start

    def stale(self, now: float, topic: str = CONNECTION) -> bool:
        """Say whether the silence is longer than usual."""
        return self.silence(now, topic) > self._limit(self._of(topic))

    def expected(self) -> float:
        """Give the normal time between data in seconds, over all connections.

        A candle that comes every five minutes may be awaited, even on a connection
        that was opened because of the silence.
        """
        return max(self.quiet, USUAL * self._all.between)

    def dead(self, now: float, topic: str = CONNECTION) -> bool:
        """Say whether the silence is so long that a new connection is needed."""
        age = self._of(topic)
        return now - age.start > DEAD * age.patience * self._limit(age)

    def gave_up(self, topic: str = CONNECTION) -> None:
        """Double the wait for the next new connection, unless data comes before."""
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
