"""What targets were at ticks, from the ticks' values as columns.

The compiled tick computes the same one by one and says it only with a score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sfm_stream.config import Config
from sfm_stream.events import Floats, Ints
from sfm_stream.state.inputs import FIELD, IMBALANCE, MID, SPREAD, plan


class Signals:
    """How targets follow from the values of ticks.

    Args:
        config: the settings; of ticks folded into bins nothing is known.
        fields: names of a tick's values.
    """

    def __init__(self, config: Config, fields: Sequence[str]) -> None:
        found = plan(config, fields)
        self._rows = found.signals[found.target].tolist()
        self._folded = config.stream.every is not None and bool(config.stream.every)

    def of(self, values: Floats, targets: Ints) -> Floats:
        """Give the targets [n] at ticks of these values [n, F]; NaN where unknown."""
        found = np.full(len(values), np.nan)
        if self._folded:
            return found
        for number, (code, *places) in enumerate(self._rows):
            mine = targets == number
            found[mine] = _derived(values[mine], code, places)
        return found


def _derived(values: Floats, code: int, places: Sequence[int]) -> Floats:
    a, b, c, d = (values[:, place] for place in places)
    if code == FIELD:
        return a
    if code == SPREAD:
        return b - a
    middle: Floats = 0.5 * (a + b)
    if code == MID:
        return middle
    total = a + b if code == IMBALANCE else c + d
    some = np.where(total != 0, total, 1)
    if code == IMBALANCE:
        return np.where(total != 0, (a - b) / some, 0)
    return np.where(total != 0, (a * d + b * c) / some, middle)
