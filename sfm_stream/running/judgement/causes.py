"""Likely causes of rejected events and frames, and the settings that mend them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from sfm_stream.feeds import OVERLAP
from sfm_stream.kernels.inputs.accept import RESTART
from sfm_stream.records import REJECTED_REASONS

UNREADABLE, OUTSIDE, BACKWARD, _, MISSING, STRANGER, CROWD = REJECTED_REASONS
HOUR = 3600 * 10**9
NEARLY_ALL, MANY = 0.9, 0.1
DAY_OR_MONTH = re.compile(r"\b\d{1,2}([/.-])\d{1,2}\1\d{2,4}\b")
"""A date in which day and month could be either."""
NUMBER = re.compile(r"'?-?\d+(?:\.\d+)?'?")
WRITTEN = (
    "feed.time names the column of times, feed.options.time_format how they are written"
)
COUNTED = (
    "feed.time names the column of times, feed.time_unit the unit that they count, "
    "e.g. '100ns', feed.options.time_format how they are written, if they do not count"
)
"""Likely causes of times that could not be read: texts, and numbers."""

FRAMES = {
    "garbage": "are frames cut off, or not of the format that the feed reads?",
    "unknown": "is feed.options.channel the right one, and feed.options.match if any?",
    "no numbers": "feed.columns says where each field stands; is one of them text?",
    "dropped": "the model is slower than the feed: fewer streams, or a larger queue",
}
"""Likely causes of a live feed's counters."""


OVERLAPPING = (
    "files overlap in time, so their stream goes back; stream.names = 'file' makes "
    "each file a stream of its own"
)
KEYS = {
    OUTSIDE: "is feed.time the column of times, and feed.time_unit its unit? where "
    "they count from a start, feed.time = '-' takes rows as feed.period apart",
    MISSING: "stream.missing = 'hold' keeps the last value, stream.fields names the "
    "fields that are needed",
    STRANGER: "stream.symbols names the streams that are kept",
    CROWD: "stream.max_streams says how many streams are kept at most",
}
"""Settings that mend rejections, for reasons with a single cause."""


class Reason(msgspec.Struct, frozen=True):
    """The events rejected for one reason.

    Attributes:
        count: number of events.
        first: number of the first event, from 0.
        field: the field that caused its rejection, or empty.
        span: ns between the earliest and the latest event.
        rises: number of events later than the one before of their stream among these.
        falls: number of events earlier than the one before of their stream.
    """

    count: int
    first: int
    field: str
    span: int
    rises: int = 0
    falls: int = 0


def of_frames(counters: Mapping[str, int]) -> list[str]:
    """List the likely causes of a live feed's counters."""
    return [cause for why, cause in FRAMES.items() if counters.get(why)]


def of_events(
    reasons: Mapping[str, Reason], total: int, counts: Mapping[str, int], unread: str
) -> Iterator[str]:
    """Yield the likely causes of rejections, the likeliest first.

    Args:
        reasons: the rejected events by reason.
        total: number of events, the accepted ones included.
        counts: counters of the feed.
        unread: place and text of the first time that could not be read.
    """
    back, bad = reasons.get(BACKWARD), reasons.get(UNREADABLE)
    if back and OVERLAP in counts:
        yield OVERLAPPING
    elif back and bad and DAY_OR_MONTH.search(unread.rpartition(": ")[2]):
        yield "are day and month swapped? feed.options.time_format says which is which"
    else:
        if back:
            yield _of_backward(back, total)
        if bad:
            yield COUNTED if NUMBER.fullmatch(unread.rpartition(": ")[2]) else WRITTEN
    yield from (cause for why, cause in KEYS.items() if why in reasons)


def _of_backward(back: Reason, total: int) -> str:
    """Give the likely cause of times that go back."""
    steps = back.rises + back.falls
    falling = back.count >= MANY * total and back.falls >= NEARLY_ALL * max(steps, 1)
    if falling or back.count >= NEARLY_ALL * (total - 1):
        return (
            f"{back.count:,} of {total:,} ticks are earlier than the last one taken; "
            "feed.options.order = 'newest-first' or 'oldest-first' says how a file is "
            "ordered; if neither, sort it by time"
        )
    if back.count % (RESTART - 1) == 0:
        return (
            f"was one time far ahead, or a clock set back? after {RESTART} ticks in a "
            "row that went on, the stream began anew; or are there several streams, "
            "that feed.symbol tells apart?"
        )
    if back.span <= HOUR:
        return (
            "were clocks set back, or rows written twice? for clocks, "
            "feed.options.zone names the zone of local times, e.g. 'Europe/Berlin'"
        )
    return (
        "are the rows in order of time, and of one stream? feed.symbol names the "
        "column that tells streams apart"
    )
