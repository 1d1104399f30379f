"""Refused ticks and frames of a live process, by reason; an alarm if they are most.

Refused are ticks that the engine rejects, ticks of streams that are shut out, and
frames of a connection that could not be read.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sfm_stream.feeds import LOST, TROUBLES
from sfm_stream.notices import Notice, info, warning
from sfm_stream.running import judgement

if TYPE_CHECKING:
    from sfm_stream.daemon.status.model import Vitals

log = logging.getLogger(__name__)

WINDOW_S = 60.0
"""Seconds of the window for the alarm."""
MOST = 0.5
"""Share of refused arrivals in the window above which the alarm is raised."""
FEW = 10
"""Arrivals in the window below which no alarm is raised."""
NAMED = 3
"""Reasons that an alarm names."""


class Refusals:
    """Raises an alarm while most arrivals of the last minute are refused.

    Args:
        elapsed: gives the seconds of a monotonic clock.

    Attributes:
        alarm: the alarm with its reasons, or empty.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed, self.alarm = elapsed, ""
        self._looks = deque([(elapsed(), 0, Counter[str]())])

    def look(
        self, taken: int, refused: Mapping[str, int], frames: Mapping[str, int]
    ) -> None:
        """Compare the totals since the start with those at the start of the window.

        Args:
            taken: number of accepted ticks.
            refused: number of refused ticks, by reason.
            frames: number of frames, by outcome.
        """
        lost = {why: frames[why] for why in LOST if frames.get(why)}
        now, counts = self._elapsed(), Counter(refused) + Counter(lost)
        self._looks.append((now, taken, counts))
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW_S:
            self._looks.popleft()
        _, taken_before, counts_before = self._looks[0]
        self._judge(taken - taken_before, counts - counts_before)

    def _judge(self, taken: int, refused: Counter[str]) -> None:
        lost, was_up = refused.total(), bool(self.alarm)
        is_up = lost + taken >= FEW and lost > MOST * (lost + taken)
        why = ", ".join(reason for reason, _ in refused.most_common(NAMED))
        told = f"most of what arrived in the last minute was refused: {why}"
        self.alarm = told if is_up else ""
        extra = {"taken": taken, "refused": lost, "reasons": why}
        if is_up and not was_up:
            log.error("most of what arrives is refused", extra=extra)
        elif was_up and not is_up:
            log.info("most of what arrives is taken again", extra=extra)


def account(vitals: Vitals) -> dict[str, Any]:
    """Give the account of all rows since the start, as `judgement.account`."""
    reading = judgement.reading_of(vitals.counters, vitals.feeds)
    refused = {why: (one.count, one.first) for why, one in vitals.rejections.items()}
    return judgement.of_live(reading, vitals.ticks, refused)


def notices_of(found: Mapping[str, Any]) -> list[Notice]:
    """Write an account as notices for the log."""
    make = warning if judgement.is_loud(found) else info
    return [make(line) for line in judgement.lines(found)]


def listed(vitals: Vitals) -> dict[str, Any]:
    """Give the account for the page.

    Returns:
        `count`, refused rows; `of`, all rows; `loud`, whether to warn; and `reasons`,
        each with its connection (empty: the model), its count, and the first row.
    """
    found = account(vitals)
    return {
        "count": found["not_taken"],
        "of": found["taken"] + found["not_taken"],
        "loud": judgement.is_loud(found),
        "reasons": list(_reasons(vitals)),
    }


def _reasons(vitals: Vitals) -> Iterator[dict[str, Any]]:
    for why, one in vitals.rejections.items():
        yield {"where": "", "why": why, "count": one.count, "first": one.first}
    for feed in vitals.feeds:
        for why in TROUBLES:
            if count := feed.counters.get(why):
                first = feed.examples.get(why, "")
                yield {"where": feed.label, "why": why, "count": count, "first": first}
