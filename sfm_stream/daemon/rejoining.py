"""How a run journals again after its disk was full: behind a checkpoint of that moment.

The model waits for it, as no event may come between. Where a sink cannot come to an
end, waiting is of no use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from sfm_stream.errors import CheckpointError, JournalError

if TYPE_CHECKING:
    from sfm_stream.daemon.saver import Saver
    from sfm_stream.daemon.stepper import Stepper
    from sfm_stream.sinks import Delivery

LONGEST = 5.0
"""Seconds that the checkpoint may take."""
LOOK = 0.02
"""Seconds between looks at whether a sink hinders it."""
NOT_SAVED = (CheckpointError, JournalError, TimeoutError)
"""What a checkpoint may end with."""


def rejoined(
    stepper: Stepper,
    saver: Saver,
    deliveries: Mapping[str, Delivery],
    mark: str,
    hindered: Callable[[], str],
) -> str:
    """Save, and journal again from there.

    Args:
        stepper: is told when that is so.
        saver: takes the checkpoint.
        deliveries: the sinks, which it waits for.
        mark: of the journal from there on.
        hindered: says why there is no use in waiting, or nothing.

    Returns:
        Why there is still no journal, or nothing.
    """
    if why := hindered():
        return why
    try:
        written = saver.begin(deliveries, mark)
        why = _waited(written, hindered)
        written.result(0.0)
        stepper.go_on_journalled(mark)
        saver.joined()
    except NOT_SAVED as failed:
        return str(failed) or why or f"no checkpoint came to an end in {LONGEST:g} s"
    return ""


def hindrance(deliveries: Mapping[str, Delivery]) -> str:
    """Say which sink cannot come to an end and why, or nothing."""
    states = (one.state() for one in deliveries.values())
    return next((f"sink {s.name}: {s.error}" for s in states if s.error), "")


def _waited(written: Future[None], hindered: Callable[[], str]) -> str:
    """Wait for a checkpoint as long as there is use in it; say why there is none."""
    end = time.monotonic() + LONGEST
    while not written.done() and time.monotonic() < end:
        if why := hindered():
            return why
        wait([written], LOOK)
    return ""
