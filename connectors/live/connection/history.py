"""The recent history of a connection, for people."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sfm_stream.feeds import TROUBLES, Happening

KEPT = 16
"""Number of entries that are kept."""


class History:
    """The latest entries in the history of a connection."""

    def __init__(self) -> None:
        self._happened: deque[Happening] = deque(maxlen=KEPT)
        self._told: set[str] = set()

    @property
    def latest(self) -> tuple[Happening, ...]:
        """The entries, oldest first."""
        return tuple(self._happened)

    def note(self, time: int, kind: str, detail: str = "") -> None:
        """Add an entry.

        Args:
            time: time of the entry, ns.
            kind: its kind, in a word or two.
            detail: details such as the cause, or empty.
        """
        self._happened.append(Happening(time, kind, detail))

    def note_failed(self, time: int, reason: str) -> None:
        """Add a failure to connect, once for each reason until a connection is live.

        Args:
            time: time of the failure, ns.
            reason: its cause.
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
        """Add the reasons for which frames were dropped or changed, each only once.

        Args:
            time: time of the entry, ns.
            counters: counts of frames by reason.
            examples: the first frame of each reason.
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
