"""Logs the events of a live feed: connections, losses, unreadable frames."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator

from sfm_stream.daemon.status.failures import words
from sfm_stream.daemon.status.model import LIVE, Vitals
from sfm_stream.feeds import TROUBLES, Connection, Happening
from sfm_stream.notices import Notice, error, info, warning

log = logging.getLogger(__name__)

LEVELS = {
    LIVE: logging.INFO,
    "goes on": logging.INFO,
    "given up": logging.ERROR,
    "down": logging.ERROR,
}
"""Log levels by kind of event; all other kinds are warnings."""


def ending(
    tasks: Iterable[asyncio.Task[None]],
    is_at_end: bool,
    connections: Iterable[Connection],
) -> Notice | None:
    """Give the reason why a process ends by itself; None if it was told to stop.

    Args:
        tasks: the tasks that the process needs.
        is_at_end: whether its feed has ended.
        connections: connections of the feed.
    """
    for task in tasks:
        failed = task.exception() if task.done() and not task.cancelled() else None
        if failed is not None:
            return error(f"it cannot go on: {words(failed)}")
    if not is_at_end:
        return None
    reasons = dict.fromkeys(one.reason for one in connections if one.reason)
    return info(f"the feed has ended: {'; '.join(reasons) or 'nothing more comes'}")


def stopped(vitals: Vitals) -> Notice:
    """Give the last event of a process that has ended, and the last saved one."""
    at, saved = vitals.seq, vitals.checkpoint
    if saved.seq == at:
        return info(f"stopped at event {at}, saved")
    why = f": {saved.problem}" if saved.problem else ""
    return warning(f"stopped at event {at}, saved up to event {saved.seq}{why}")


class Telling:
    """Logs the news of each connection; the log suppresses frequent repeats."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Happening, ...]] = {}
        self._counted: dict[str, Counter[str]] = {}

    def tell(self, connections: Iterable[Connection]) -> list[tuple[str, Happening]]:
        """Log the news since the last call; give each with the label of its connection.

        Args:
            connections: connections with unique labels.
        """
        news: list[tuple[str, Happening]] = []
        for one in connections:
            news += [(one.label, what) for what in self._tell_happened(one)]
            self._tell_counters(one)
        return news

    def _tell_happened(self, one: Connection) -> Iterator[Happening]:
        # not by time: the clock may have been set back
        told, self._told[one.label] = self._told.get(one.label, ()), one.happened
        for happened in one.happened:
            if happened in told or happened.kind == "not taken":
                continue
            level = LEVELS.get(happened.kind, logging.WARNING)
            extra = {"connection": one.label, "detail": happened.detail}
            log.log(level, f"connection: {happened.kind}", extra=extra)
            yield happened

    def _tell_counters(self, one: Connection) -> None:
        told = self._counted.setdefault(one.label, Counter())
        news = {
            reason: one.counters[reason] - told[reason]
            for reason in TROUBLES
            if one.counters.get(reason, 0) > told[reason]
        }
        if news:
            told.update(news)
            first = {f"first {why}": one.examples[why] for why in news
                     if why in one.examples}  # fmt: skip
            extra = {"connection": one.label, **news, **first}
            log.warning("frames not taken, or not as they came", extra=extra)
