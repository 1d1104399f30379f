"""A ring buffer of the latest numbers, e.g. latencies, for percentiles."""

from __future__ import annotations

import numpy as np

from sfm_stream.events import Floats

MOST = 8_192


class Latest:
    """A ring buffer of numbers.

    Args:
        most: most numbers to keep.

    Attributes:
        count: number of all numbers added so far.
    """

    def __init__(self, most: int = MOST) -> None:
        self._kept: Floats = np.full(most, np.nan)
        self.count = 0

    def add(self, values: Floats) -> None:
        """Add numbers [T]."""
        most = len(self._kept)
        self.count += max(len(values) - most, 0)
        values = values[-most:]
        begin = self.count % most
        end = begin + len(values)
        if end <= most:
            self._kept[begin:end] = values
        else:
            self._kept[begin:] = values[: most - begin]
            self._kept[: end - most] = values[most - begin :]
        self.count += len(values)

    def values(self) -> Floats:
        """Give a copy of the kept numbers, in no order."""
        return self._kept[: min(self.count, len(self._kept))].copy()
