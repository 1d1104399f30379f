"""Computes the targets at ticks from columns of the ticks' values.

The compiled tick computes the same for each tick, but gives it only with a score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sfm_stream.config import Config
from sfm_stream.events import Floats, Ints
from sfm_stream.state.inputs import (
    FIELD,
    IMBALANCE,
    MICROPRICE,
    MID,
    OPERANDS,
    SPREAD,
    plan,
)


class Signals:
    """Computes targets from the values of ticks.

    Args:
        config: the settings; with ticks folded into bins, targets are unknown.
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
            operands = (values[mine, place] for place in places[: OPERANDS[code]])
            found[mine] = FORMULAS[code](*operands)
        return found


def _field(value: Floats) -> Floats:
    return value


def _mid(bid: Floats, ask: Floats) -> Floats:
    return 0.5 * (bid + ask)


def _spread(bid: Floats, ask: Floats) -> Floats:
    return ask - bid


def _imbalance(bid_qty: Floats, ask_qty: Floats) -> Floats:
    return _share(bid_qty - ask_qty, bid_qty + ask_qty, np.zeros(len(bid_qty)))


def _microprice(bid: Floats, ask: Floats, bid_qty: Floats, ask_qty: Floats) -> Floats:
    weighted = bid * ask_qty + ask * bid_qty
    return _share(weighted, bid_qty + ask_qty, _mid(bid, ask))


def _share(part: Floats, total: Floats, nothing: Floats) -> Floats:
    """Give part / total, or a substitute where the total is 0."""
    return np.where(total != 0, part / np.where(total != 0, total, 1), nothing)


FORMULAS: Mapping[int, Callable[..., Floats]] = {
    FIELD: _field,
    MID: _mid,
    SPREAD: _spread,
    IMBALANCE: _imbalance,
    MICROPRICE: _microprice,
}
"""Formulas of the signals, by code."""
