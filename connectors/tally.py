"""What a feed could not read as it is: how often, by reason, and where first."""

from __future__ import annotations

from collections import Counter

SHOWN = 120


class Noting(Counter[str]):
    """Counts of what became of frames, with the first frame of each reason.

    Attributes:
        reading: the frame that is read now.
        examples: the first one of each reason, shortened.
    """

    __slots__ = ("examples", "reading")

    # Counter's deletion is written in Python, which would make every write slow.
    __setitem__ = dict.__setitem__
    __delitem__ = dict.__delitem__  # type: ignore[assignment] # takes texts alone

    def __init__(self) -> None:
        super().__init__()
        self.reading = b""
        self.examples: dict[str, str] = {}

    def __missing__(self, reason: str) -> int:
        """Begin to count a reason."""
        text = self.reading[: 4 * SHOWN].decode(errors="replace")
        more = "..." if len(text) > SHOWN else ""
        self.examples[reason] = f"{text[:SHOWN]!r}{more}"
        return 0

    def __radd__(self, other: Counter[str]) -> Counter[str]:
        """Add to other counts, without a look at what is not there."""
        return Counter(self) + other


class Tally:
    """Counts by reason, and the first example of each.

    Attributes:
        counts: how often.
        examples: where first, in words.
        lost: how many of them are rows of data that became no event.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.lost: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """How many rows of data became no event."""
        return self.lost.total()

    def add(self, reason: str, count: int, example: str, *, rows: int = 0) -> None:
        """Count something.

        Args:
            reason: why it could not be taken as it stood.
            count: of such things.
            example: the first of them; kept if none is.
            rows: how many of them are rows of data that became no event.
        """
        if rows:
            self.lost[reason] += rows
        self.counts[reason] += count
        self.examples.setdefault(reason, example)

    def clear(self) -> None:
        """Forget everything: the reading begins again."""
        self.counts.clear()
        self.examples.clear()
        self.lost.clear()
