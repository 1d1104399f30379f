"""Where a stream stands: whether an id or a time follows on from those before it.

Ids of a stream only rise. One that does not follow on is one of three things:

    duplicate   it is the latest id once more, or a lower one whose time is not later:
                what a second connection or a snapshot brings again
    stray       it is lower though its time is later, or more than `REACH` ahead: one
                of these is an error of its sender, and changes nothing
    restart     strays that grow from one to the next, `RUN` of them in a row; or a
                lower id with a later time that comes first on a new connection; or
                lower ids that go on growing for `SETTLE` ns at the pace of the clock,
                whatever their times: the sender counts anew

A time is plausible if it is not before 2000 and at most `SLACK` after its receipt, or
after the time that its stream would have reached at the pace of the receipt clock. So
a clock that is wrong by a constant is left as it is. The first time of a stream may be
up to `AHEAD` after its receipt, as nothing is known of its clock yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from connectors.stamps import SECOND
from sfm_stream.feeds import FIRST_TIME

REACH = 2**56
"""An id more than this ahead of the latest one is no loss but an error.

Some senders count in nanoseconds: this is two years of them.
"""
RUN = 3
"""Strays in a row that are a restart."""
SETTLE = 10 * SECOND
"""How long lower ids with earlier times must go on until they are a restart, ns."""
SLACK = 10 * SECOND
AHEAD = 86_400 * SECOND
CATCH_UP = 5 * SECOND
"""How long after a switch of connections a feed without ids may repeat itself, ns."""
KEPT = 256
"""Most contents of one and the same time that are remembered."""

Values = tuple[float, ...]


class Verdict(Enum):
    """What an id means that does not follow on."""

    DUPLICATE = "duplicates"
    STRAY = "stray ids"
    RESTART = "restarts"


@dataclass(slots=True)
class Course:
    """Where a stream stands.

    Attributes:
        id: the latest one taken, -1 before.
        time: the latest time handed on, ns; `FIRST_TIME` before.
        received: when that reached us, ns; 0 before.
        values: what was handed on then.
        run: ids in a row that did not follow on, the latest of them, and the `id` that
            they did not follow.
        begun: time and receipt of the first of these, ns.
        same: what else was handed on with a time, to be known again.
    """

    id: int = -1
    time: int = FIRST_TIME
    received: int = 0
    values: Values = ()
    run: tuple[int, int, int] = (0, 0, -1)
    begun: tuple[int, int] = (0, 0)
    same: tuple[int, set[Values]] = field(default_factory=lambda: (0, set()))

    def judge(self, number: int, time: int, received: int, switched: int) -> Verdict:
        """Say what an id means that does not follow on, and remember it.

        Args:
            number: an id, at most the latest one, or more than `REACH` above it.
            time: of its record, ns; that of receipt if it has none.
            received: when it reached us, ns.
            switched: the latest receipt on the connections before this one, ns.
        """
        if number == self.id or received <= switched:
            return Verdict.DUPLICATE
        count, latest, unfollowed = self.run
        if count and number > latest and unfollowed == self.id:
            count += 1
        else:
            count, self.begun = 1, (time, received)
        self.run = count, number, self.id
        if number < self.id and time <= self.time:
            settled = count >= RUN and self._settled(time, received)
            return Verdict.RESTART if settled else Verdict.DUPLICATE
        is_first = number < self.id and self.received <= switched
        return Verdict.RESTART if count >= RUN or is_first else Verdict.STRAY

    def plausible(self, time: int, received: int) -> bool:
        """Say whether a time can be that of a record just received."""
        if time < FIRST_TIME:
            return False
        if not self.received:
            return time <= received + AHEAD
        return time <= max(received, self.expected(received)) + SLACK

    def expected(self, received: int) -> int:
        """Give the time that the stream has reached at the pace of the receipt clock.

        Our own clock may have been set back, which is no pace.
        """
        since = max(received - self.received, 0)
        return self.time + since if self.received else received

    def known(self, time: int, values: Values) -> bool:
        """Say whether a record that is not later was handed on before."""
        of, same = self.same
        at_once = values == self.values or (of == time and values in same)
        return time < self.time or at_once

    def remember(self, time: int, values: Values) -> None:
        """Keep a record in mind that has the same time as the one before it."""
        of, same = self.same
        if of != time:
            self.same = time, {self.values, values}
        elif len(same) < KEPT:
            same.add(values)

    def _settled(self, time: int, received: int) -> bool:
        """Say whether a run has gone on at the pace of the clock for long enough."""
        passed, waited = time - self.begun[0], received - self.begun[1]
        return waited >= SETTLE and passed <= waited + SETTLE // 2
