"""Counts of data that a feed dropped or changed, by reason, with the first example."""

from __future__ import annotations

from collections import Counter

SHOWN = 120


class Noting(Counter[str]):
    """Counts of frames by reason, with the first frame of each reason.

    Attributes:
        reading: the frame that is being read.
        examples: the first frame of each reason, shortened.
    """

    __slots__ = ("examples", "reading")

    # Counter's deletion is written in Python, which would make every write slow.
    __setitem__ = dict.__setitem__
    __delitem__ = dict.__delitem__  # type: ignore[assignment] # takes only texts

    def __init__(self) -> None:
        super().__init__()
        self.reading = b""
        self.examples: dict[str, str] = {}

    def __missing__(self, reason: str) -> int:
        """Start the count of a new reason: keep the current frame as its example."""
        text = self.reading[: 4 * SHOWN].decode(errors="replace")
        more = "..." if len(text) > SHOWN else ""
        self.examples[reason] = f"{text[:SHOWN]!r}{more}"
        return 0

    def __radd__(self, other: Counter[str]) -> Counter[str]:
        """Add to other counts, without starting a count for missing reasons."""
        return Counter(self) + other


class Tally:
    """Counts by reason, and the first example of each.

    Attributes:
        counts: number of cases, by reason.
        examples: the first case of each reason, and where it is, in words.
        lost: number of data rows that became no event, by reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.lost: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """Number of data rows that became no event."""
        return self.lost.total()

    def add(self, reason: str, count: int, example: str, *, rows: int = 0) -> None:
        """Count cases of a reason.

        Args:
            reason: why data was dropped or could not be used as written.
            count: number of cases.
            example: the first case; kept if the reason has no example yet.
            rows: number of data rows that became no event.
        """
        if rows:
            self.lost[reason] += rows
        self.counts[reason] += count
        self.examples.setdefault(reason, example)

    def clear(self) -> None:
        """Reset all counts, as a new reading begins."""
        self.counts.clear()
        self.examples.clear()
        self.lost.clear()
