"""What a feed could not take as it stood: how often, by reason, and where first."""

from __future__ import annotations

from collections import Counter


class Tally:
    """Counts by reason, and the first example of each.

    Attributes:
        counts: how often.
        examples: where first, in words.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, reason: str, count: int, example: str) -> None:
        """Count something.

        Args:
            reason: why it could not be taken as it stood.
            count: of such things.
            example: the first of them; kept if none is.
        """
        self.counts[reason] += count
        self.examples.setdefault(reason, example)

    def clear(self) -> None:
        """Forget everything: the reading begins again."""
        self.counts.clear()
        self.examples.clear()
