"""The latest id and time of a stream, and the check of each new id and time by them.

Ids of a stream only rise. An id that does not follow the latest one is one of these:

    duplicate   it equals the latest id, or is lower and its time is not later: a
                second connection or a snapshot sends old records again
    stray       it is lower although its time is later, or more than `REACH` ahead: a
                single stray is an error of its sender, and changes nothing
    restart     `RUN` strays in a row, each id above the one before; or a lower id with
                a later time that comes first on a new connection; or lower ids that
                rise for `SETTLE` ns at the pace of the clock, whatever their times:
                the sender has restarted its count

A time is plausible if it is not before 2000 and at most `SLACK` after its receipt, or
after the time that its stream would have reached at the pace of the receipt clock. So
a clock with a constant error is not corrected. The first time of a stream may be up to
`AHEAD` after its receipt, as the error of its clock is not known yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from connectors.stamps import SECOND
from sfm_stream.feeds import FIRST_TIME

REACH = 2**56
"""An id more than this ahead of the latest one is an error, not a loss of records.

Some senders use nanoseconds as ids: this is about two years.
"""
RUN = 3
"""Number of strays in a row that make a restart."""
SETTLE = 10 * SECOND
"""How long lower ids with earlier times must rise to count as a restart, ns."""
SLACK = 10 * SECOND
AHEAD = 86_400 * SECOND
CATCH_UP = 5 * SECOND
"""How long after a switch a record without an id may repeat an earlier one, ns."""
KEPT = 256
"""Largest number of records of one time that are remembered."""

Values = tuple[float, ...]


class Verdict(Enum):
    """The meaning of an id that does not follow the latest one."""

    DUPLICATE = "duplicates"
    STRAY = "stray ids"
    RESTART = "restarts"


@dataclass(slots=True)
class Course:
    """The latest id, time and values of a stream, and its recent strays.

    Attributes:
        id: the latest accepted id; -1 before the first.
        time: time of the latest record handed on, ns; `FIRST_TIME` before the first.
        received: its time of receipt, ns; 0 before the first.
        values: its values.
        run: number of ids in a row that did not follow `id`, the latest of them, and
            `id` as it was then.
        begun: time and receipt of the first id of the run, ns.
        same: a time, and the values of the records handed on with it.
    """

    id: int = -1
    time: int = FIRST_TIME
    received: int = 0
    values: Values = ()
    run: tuple[int, int, int] = (0, 0, -1)
    begun: tuple[int, int] = (0, 0)
    same: tuple[int, set[Values]] = field(default_factory=lambda: (0, set()))

    def judge(self, number: int, time: int, received: int, switched: int) -> Verdict:
        """Judge an id that does not follow the latest one, and remember it.

        Args:
            number: an id, at most the latest one, or more than `REACH` above it.
            time: time of its record, ns; the time of receipt if it has none.
            received: time of receipt, ns.
            switched: the latest receipt on earlier connections, ns.
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
        """Say whether a time is plausible for a record just received."""
        if time < FIRST_TIME:
            return False
        if not self.received:
            return time <= received + AHEAD
        return time <= max(received, self.expected(received)) + SLACK

    def expected(self, received: int) -> int:
        """Give the time that the stream has reached at the pace of the receipt clock.

        If our own clock was set back, no time has passed.
        """
        since = max(received - self.received, 0)
        return self.time + since if self.received else received

    def known(self, time: int, values: Values) -> bool:
        """Say whether a record at or before the latest time was handed on before."""
        of, same = self.same
        at_once = values == self.values or (of == time and values in same)
        return time < self.time or at_once

    def remember(self, time: int, values: Values) -> None:
        """Remember a record that has the same time as the one before it."""
        of, same = self.same
        if of != time:
            self.same = time, {self.values, values}
        elif len(same) < KEPT:
            same.add(values)

    def _settled(self, time: int, received: int) -> bool:
        """Say whether a run has lasted `SETTLE` ns at the pace of the clock."""
        passed, waited = time - self.begun[0], received - self.begun[1]
        return waited >= SETTLE and passed <= waited + SETTLE // 2
