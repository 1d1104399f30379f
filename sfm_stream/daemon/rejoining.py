"""Resumes the journal after a full disk, from a checkpoint taken at that moment.

The model waits for the checkpoint, as no event may come between. If a sink cannot
finish, the wait ends at once.
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
"""Most seconds for the checkpoint."""
LOOK = 0.02
"""Seconds between checks for a failing sink."""
NOT_SAVED = (CheckpointError, JournalError, TimeoutError)
"""Errors that a checkpoint may raise."""


def rejoined(
    stepper: Stepper,
    saver: Saver,
    deliveries: Mapping[str, Delivery],
    mark: str,
    hindered: Callable[[], str],
) -> str:
    """Take a checkpoint, and resume the journal after it.

    Args:
        stepper: resumes the journal.
        saver: takes the checkpoint.
        deliveries: the sinks, which the checkpoint waits for.
        mark: mark of the journal at the checkpoint.
        hindered: gives why the checkpoint cannot succeed, or an empty text.
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
    """Give the name and error of a failing sink, or an empty text."""
    states = (one.state() for one in deliveries.values())
    return next((f"sink {s.name}: {s.error}" for s in states if s.error), "")


def _waited(written: Future[None], hindered: Callable[[], str]) -> str:
    """Wait until a checkpoint is written, hindered or late; give the hindrance."""
    end = time.monotonic() + LONGEST
    while not written.done() and time.monotonic() < end:
        if why := hindered():
            return why
        wait([written], LOOK)
    return ""
