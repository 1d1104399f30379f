"""Quarantine: streams whose ticks are all rejected are shut out for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sfm_stream.events import TICK, Block, Control, Event, Gap
from sfm_stream.events.blocks import select
from sfm_stream.records import Records

LONGEST = 3600.0
"""Seconds; a longer term would keep out a stream that was repaired."""


@dataclass(slots=True)
class _Term:
    """A stream's time in quarantine, and its end on the clock, in seconds."""

    seconds: float
    until: float


class Quarantine:
    """Decides which streams are in quarantine.

    A stream is shut out after `after` rejected ticks in a row, and let in again when
    its term is over. Each further term is twice as long, until a tick is accepted.

    Args:
        after: number of rejected ticks in a row.
        seconds: length of the first term.
    """

    def __init__(self, after: int, seconds: float) -> None:
        self._rejected: Counter[str] = Counter()
        self._terms: dict[str, _Term] = {}
        self.obey(after, seconds)

    def obey(self, after: int, seconds: float) -> None:
        """Apply new limits; running terms are not changed."""
        self._after, self._seconds = after, seconds

    def shut(self, elapsed: float) -> Mapping[str, float]:
        """Give the streams in quarantine, with the seconds left.

        Any thread may call this, also while another one decides.
        """
        terms = self._terms.copy().items()
        return {s: t.until - elapsed for s, t in terms if t.until > elapsed}

    def decide(self, now: int, elapsed: float) -> list[Event]:
        """Decide which streams are let in and which are shut out; give the events.

        Args:
            now: time of day, ns, for the events.
            elapsed: seconds of a monotonic clock, for the terms.
        """
        if not (self._terms or self._rejected):
            return []
        return [*self._released(now, elapsed), *self._shut_out(now, elapsed)]

    def admit(self, block: Block, elapsed: float) -> tuple[Block, Block | None]:
        """Separate the ticks of streams in quarantine from all other events.

        Returns:
            The other events, and these ticks or None; both in order.
        """
        shut = self.shut(elapsed)
        if not shut:
            return block, None
        table = np.array([*(name in shut for name in block.streams), False])
        out = table[block.stream] & (block.kind == TICK)
        return select(block, ~out), select(block, out)

    def note(self, ticks: Mapping[str, int], rejected: Mapping[str, int]) -> None:
        """Note how many ticks the engine rejected.

        Args:
            ticks: number of ticks per stream.
            rejected: number of rejected ones among them, per stream.
        """
        if not (rejected or self._rejected or self._terms):
            return
        for stream, count in ticks.items():
            refused = rejected.get(stream, 0)
            if refused < count:  # some tick was good
                self._rejected.pop(stream, None)
                self._terms.pop(stream, None)
            else:
                self._rejected[stream] += refused

    def _released(self, now: int, elapsed: float) -> Iterable[Event]:
        for stream, term in self._terms.items():
            if 0 < term.until <= elapsed:
                term.until = 0.0  # on trial: it keeps its term
                yield Control(stream, now, "release")

    def _shut_out(self, now: int, elapsed: float) -> Iterable[Event]:
        for stream in [s for s, n in self._rejected.items() if n >= self._after]:
            del self._rejected[stream]
            before = self._terms.get(stream)
            seconds = self._seconds if before is None else 2 * before.seconds
            seconds = min(seconds, LONGEST)
            self._terms[stream] = _Term(seconds, elapsed + seconds)
            yield Control(stream, now, "quarantine")
            yield Gap(stream, now, f"{self._after} ticks in a row were rejected")


def rejections(records: Records) -> Mapping[str, int]:
    """Count the rejected ticks per stream."""
    if not records.count("rejected"):
        return {}
    codes, names = records.columns["rejected"]["stream"], records.tables["stream"]
    return Counter(names[code] for code in codes.tolist())
