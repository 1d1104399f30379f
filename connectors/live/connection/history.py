"""What happened to a connection of late, for people to see."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sfm_stream.feeds import TROUBLES, Happening

KEPT = 16
"""How many happenings are remembered."""


class History:
    """The latest happenings of a connection."""

    def __init__(self) -> None:
        self._happened: deque[Happening] = deque(maxlen=KEPT)
        self._told: set[str] = set()

    @property
    def latest(self) -> tuple[Happening, ...]:
        """What happened, oldest first."""
        return tuple(self._happened)

    def note(self, time: int, kind: str, detail: str = "") -> None:
        """Remember a happening.

        Args:
            time: when, ns.
            kind: what, in a word or two.
            detail: e.g. why.
        """
        self._happened.append(Happening(time, kind, detail))

    def note_failed(self, time: int, reason: str) -> None:
        """Remember that no connection came to be, once per reason until one is live.

        Args:
            time: when, ns.
            reason: why not.
        """
        for one in reversed(self._happened):
            if one.kind == "live":
                break
            if one.kind == "not opened" and one.detail == reason:
                return
        self.note(time, "not opened", reason)

    def count(
        self, time: int, counters: Mapping[str, int], examples: Mapping[str, str]
    ) -> None:
        """Note the reasons for which frames are not taken, each when it is new.

        Args:
            time: when, ns.
            counters: of the frames.
            examples: the first frame of a reason.
        """
        news = [
            name for name in TROUBLES if counters.get(name) and name not in self._told
        ]
        if news:
            self._told.update(news)
            told = (
                f"{counters[n]} {n}"
                + (f", first {examples[n]}" if n in examples else "")
                for n in news
            )
            self.note(time, "not taken", "; ".join(told))
