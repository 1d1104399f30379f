"""The ring of stored ticks, which grows with the number of pending forecasts.

Tick t is in slot t % (R - 1), and the last slot is for a peek. The number of ticks in a
horizon in time is not known in advance: so the ring begins small, and doubles when one
more tick may not fit. The results do not depend on R.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config
from sfm_stream.state import targets
from sfm_stream.state.places import TICKS, Sizes

FIRST_WAIT = 64
"""Pending forecasts of a horizon in time that fit before the ring grows."""
LABELS = "labels"
STORED = ("tape_", "origin_", LABELS)

Array = NDArray[Any]


def whole(config: Config) -> int:
    """Give the slots of the full ring, which always has room."""
    # An update reaches back `window` ticks from the newest settled origin, and no
    # label waits longer than `every` <= `window` ticks to be learned from.
    return targets.longest_wait(config) + config.learn.window + 2 + late(config)


def late(config: Config) -> int:
    """Give the most ticks from the begin to the end of an update; 0 if not striped.

    An update that is due may wait one tick more for its label.
    """
    return config.learn.every + 1 if config.learn.schedule == "striped" else 0


def first(config: Config) -> int:
    """Give the slots of a new bank's ring."""
    table = targets.horizon_table(config)
    if not table[:, 1].any():
        return whole(config)
    wait = max(FIRST_WAIT, int(table[:, 0].max()) + 1)
    learn = config.learn
    return min(wait + spare(learn.window, learn.every, late(config)), whole(config))


def spare(window: int, every: int, late: int) -> int:
    """Give the slots beside those of pending ticks, as long as the ring may grow.

    These are `every` more than in a full ring. A ring that may still grow must hold all
    ticks that an update can need, whatever number of forecasts was voided before it.
    """
    return window + every + 2 + late


def is_short(s: Sizes, waiting: int) -> bool:
    """Say whether a ring that may grow may have no room for one more tick.

    Args:
        s: the sizes.
        waiting: the largest number of pending forecasts of any horizon in time.
    """
    return waiting + 1 + spare(s.window, s.every, s.late) > s.ring


def is_stored(name: str) -> bool:
    """Say whether an array has a slot for each stored tick."""
    return name.startswith(STORED)


def longer(arrays: Mapping[str, Array], ring: int) -> dict[str, Array]:
    """Move the stored ticks of a snapshot into a longer ring.

    Args:
        arrays: by name, [rows, ...].
        ring: the new number of slots, at least the present number.
    """
    slots = of(arrays) - 1
    if ring == slots + 1:
        return dict(arrays)
    ticks = arrays["counters"][:, TICKS, None] - 1 - np.arange(slots)
    rows = np.arange(len(ticks))[:, None]
    moved = dict(arrays)
    for name in filter(is_stored, arrays):
        old = arrays[name]
        empty = np.nan if name == LABELS else 0
        new = np.full((len(old), ring, *old.shape[2:]), empty, old.dtype)
        new[rows, ticks % (ring - 1)] = old[rows, ticks % slots]
        new[:, -1] = old[:, -1]
        moved[name] = new
    return moved


def of(arrays: Mapping[str, Array]) -> int:
    """Give the slots of a snapshot's ring."""
    return int(arrays[LABELS].shape[1])
