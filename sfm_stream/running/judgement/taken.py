"""What a run did not take: how much, why, where first, and what is probably behind it.

A fold over the run's records and over what its feed counted, where the feed is one that
is `Explained` or `Counting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from sfm_stream import sinks
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME, TICK
from sfm_stream.feeds import LOST, OVERLAP, TROUBLES, Counting, Explained
from sfm_stream.kernels.inputs.accept import RESTART, is_outside
from sfm_stream.records import REJECTED_REASONS
from sfm_stream.running.judgement import causes
from sfm_stream.running.judgement.causes import Reason

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.events import Block
    from sfm_stream.feeds import Connection, Feed

UNREADABLE, OUTSIDE, BACKWARD, INFINITE, MISSING, STRANGER, CROWD = REJECTED_REASONS
LOUD = 0.1
"""Share of rows not taken from which on a run says so loudly."""
PREVIEWED = 1_000
"""Rows that are looked at before a run."""


class Reading(NamedTuple):
    """What became of frames.

    Attributes:
        counters: how often, by reason.
        examples: the first frame of a reason.
    """

    counters: Mapping[str, int]
    examples: Mapping[str, str]


def of_run(
    records: Path, feed: Feed, config: Config, ticks: int, events: int
) -> dict[str, Any]:
    """Account for a run.

    Args:
        records: folder where a `ParquetSink` wrote.
        feed: whose reading the run was.
        config: of the run.
        ticks: that were taken.
        events: that the feed gave.

    Returns:
        As `account`.

    Raises:
        SinkError: if the records cannot be read.
    """
    found = account(_folded(records), feed, ticks, config)
    if not ticks and config.stream.every:
        every = f"stream.every = {config.stream.every.text}"
        cause = f"{events:,} events ended no bin of {every}; a shorter one gives ticks"
        found["causes"].append(cause)
    return found


def of_live(
    feed: Reading,
    ticks: int,
    rejections: Mapping[str, tuple[int, str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Account for a live feed by what it counted.

    Args:
        feed: its counters, and the first frame of a reason.
        ticks: that were handed on.
        rejections: of them by the engine: how many, and the first, by reason.

    Returns:
        As `account`; what is normal in a live feed, as heartbeats, is left out.
    """
    told = {why: feed.counters[why] for why in TROUBLES if feed.counters.get(why)}
    rejected = sum(count for count, _ in rejections.values())
    return {
        "taken": ticks - rejected,
        "not_taken": rejected + lost_frames(told),
        "rejections": {
            why: {"count": count, "first": first}
            for why, (count, first) in rejections.items()
        },
        "feed": _counted(told, feed.examples, _lost(told)),
        "causes": causes.of_frames(told),
    }


def reading_of(
    counters: Mapping[str, int], connections: Iterable[Connection]
) -> Reading:
    """Give what became of frames on all connections of a feed."""
    examples: dict[str, str] = {}
    for one in connections:
        examples = one.examples | examples
    return Reading(counters, examples)


def lost_frames(counters: Mapping[str, int]) -> int:
    """Count what was data of which nothing was taken."""
    return sum(_lost(counters).values())


def _lost(counters: Mapping[str, int]) -> dict[str, int]:
    return {why: counters[why] for why in LOST if counters.get(why)}


def _counted(
    counts: Mapping[str, int], examples: Mapping[str, str], lost: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    return {
        why: {"count": count, "rows": lost.get(why, 0), "first": examples.get(why, "")}
        for why, count in counts.items()
    }


def preview(config: Config, feed: Feed, rows: int = PREVIEWED) -> dict[str, Any]:
    """Account for the first rows of a feed by the engine's rules, before a run.

    Args:
        config: of the run.
        feed: opened by it.
        rows: to look at.

    Returns:
        As `account`, and `rows`: how many were looked at.
    """
    reasons: dict[str, Reason] = {}
    taken = seen = 0
    last: dict[str, tuple[int, int, int]] = {}
    for block in feed.blocks(rows):
        for i in range(min(len(block), rows - seen)):
            if block.kind[i] != TICK:
                continue
            reason, field = _refused(block, i, config, feed.fields, last)
            taken += not reason
            if reason:
                before = reasons.get(reason, Reason(0, seen + i, field, 0))
                reasons[reason] = replace(before, count=before.count + 1)
        seen += min(len(block), rows - seen)
        if seen >= rows:
            break
    return {"rows": seen, **account(reasons, feed, taken, config)}


def account(
    reasons: Mapping[str, Reason], feed: Feed, ticks: int, config: Config
) -> dict[str, Any]:
    """Say what was not taken.

    Args:
        reasons: of the events that were rejected.
        feed: whose events they were.
        ticks: that were taken.
        config: of the run.

    Returns:
        `taken`; `not_taken`, a count, without what was asked for; `rejections` and
        `feed`, each `{reason: {"count", "rows", "first"}}`, of events and of what the
        feed itself could not take as it stood: how often, and how many of them are
        rows that are among those not taken; `causes`, what is probably behind it,
        likeliest first.
    """
    tally, place = (
        (feed.tally, feed.place) if isinstance(feed, Explained) else (None, _nowhere)
    )
    frames = feed if isinstance(feed, Counting) and not tally else Reading({}, {})
    examples = tally.examples if tally else frames.examples
    first = {w: examples.get(w) or _first(one, place) for w, one in reasons.items()}
    bad = {why: one for why, one in reasons.items() if why not in _asked_for(config)}
    of_events = {why: one.count for why, one in bad.items()}
    rejected = {why: one.count for why, one in reasons.items()}
    counts = tally.counts if tally else frames.counters
    of_feed = tally.lost if tally else _lost(counts)
    lost = sum(of_events.values()) + sum(of_feed.values())
    unread = examples.get(UNREADABLE, "")
    return {
        "taken": ticks,
        "not_taken": lost,
        "rejections": _counted(rejected, first, of_events),
        "feed": _counted(counts, examples, of_feed),
        "causes": [
            *causes.of_events(bad if ticks else reasons, ticks + lost, counts, unread),
            *causes.of_frames(frames.counters),
        ],
    }


def _asked_for(config: Config) -> Sequence[str]:
    """Name the reasons that are no fault of the data: the settings ask for them."""
    # where columns are streams, rows have values for some of them
    return (STRANGER, MISSING) if config.stream.columns == "streams" else (STRANGER,)


def lines(found: Mapping[str, Any]) -> list[str]:
    """Give what people should read of an account, loudest first; none if all is well.

    Args:
        found: as `account` gives it.

    Returns:
        A line of all that was not taken; one for each reason why rows were lost; and
        one for each of what was noticed in rows, lost ones or not.
    """
    total = found["taken"] + found["not_taken"]
    told = []
    if found["not_taken"]:
        loud = "WARNING: " if is_loud(found) or OVERLAP in found["feed"] else ""
        causes = "; ".join(found["causes"])
        told.append(
            f"{loud}{found['not_taken']:,} of {total:,} rows were not taken"
            + (f"; {causes}" if causes else "")
        )
    lost, noticed = [], []
    for why, one in (*found["rejections"].items(), *found["feed"].items()):
        first = f", first {one['first']}" if one["first"] else ""
        count = one["count"]
        if one.get("rows", count):
            lost.append(f"{count:,} row{'s' * (count > 1)}: {why}{first}")
        else:
            often = f"{count:,} times" if count > 1 else "once"
            noticed.append(f"noticed {often}: {why}{first}")
    return [*told, *lost, *noticed]


def is_loud(found: Mapping[str, Any]) -> bool:
    """Say whether more than a tenth was not taken."""
    total = found["taken"] + found["not_taken"]
    return bool(found["not_taken"] > LOUD * total)


def refuse(found: Mapping[str, Any], source: str, *, strict: bool) -> None:
    """Refuse a run that took nothing, and with `strict` one that took too little.

    Raises:
        FeedError: naming counts, reasons and likely causes.
    """
    total = found["taken"] + found["not_taken"]
    if found["taken"] and not (strict and is_loud(found)):
        return
    lost = {w: one for w, one in found["feed"].items() if one["rows"]}
    whys = ", ".join(f"{why} ({one['count']:,})" for why, one in
                     (found["rejections"] | lost).items())  # fmt: skip
    was = "none" if not found["taken"] else f"{found['taken']:,}"
    of_rows = f"the ticks of {total:,} rows" if total else "ticks"
    problem = f"expected {of_rows}, was {was}"
    hint = "; ".join([*([whys] if whys else []), *found["causes"]])
    raise FeedError(source, problem, hint)


def _nowhere(event: int) -> str:
    """Give nothing: the feed does not say where an event came from."""
    del event
    return ""


def _first(found: Reason, place: Callable[[int], str]) -> str:
    """Say where the first of some events was, and which field is to blame."""
    where = place(found.first) or f"event {found.first + 1}"
    return f"{where} field {found.field!r}" if found.field else where


def _folded(records: Path) -> dict[str, Reason]:
    """Count a run's rejections by reason, part by part."""
    import polars as pl

    found: dict[str, Reason] = {}
    spans: dict[str, tuple[int, int]] = {}
    names = ["seq", "time", "field", "reason"]
    for part in sinks.read(records, "rejected", names):
        grouped = part.group_by("reason", maintain_order=True).agg(
            pl.len(), pl.col("seq").first(), pl.col("field").first().cast(pl.String),
            pl.col("time").min().alias("least"), pl.col("time").max().alias("most"),
        )  # fmt: skip
        for why, count, seq, field, least, most in grouped.iter_rows():
            before = found.get(why, Reason(0, seq, field, 0))
            low, high = spans.get(why, (least, most))
            spans[why] = low, high = min(low, least), max(high, most)
            found[why] = replace(before, count=before.count + count, span=high - low)
    return found


def _refused(
    block: Block, i: int, config: Config, fields: Sequence[str],
    last: dict[str, tuple[int, int, int]],
) -> tuple[str, str]:  # fmt: skip
    """Say why the engine will reject a tick, and for which field; empty if it takes it.

    The rules are those of `kernels.inputs.accept`, one tick at a time. `last` holds of
    each stream the time of its last tick, ticks since that go back and go on among
    themselves, and the time of the last of these.
    """
    stream = block.streams[int(block.stream[i])]
    time, values = int(block.time[i]), block.values[i]
    if config.stream.symbols and stream not in config.stream.symbols:
        return STRANGER, ""
    if time == NO_TIME:
        return UNREADABLE, ""
    before = last[stream][0] if stream in last else NO_TIME
    if is_outside(time, before):  # type: ignore[no-untyped-call] # numba infers its types
        return OUTSIDE, ""
    if stream in last and _goes_back(last, stream, time):
        return BACKWARD, ""
    if (endless := np.isinf(values)).any():
        return INFINITE, fields[int(endless.argmax())]
    absent = np.isnan(values)
    if absent.any() and (config.stream.missing == "void" or stream not in last):
        return MISSING, fields[int(absent.argmax())]
    last[stream] = time, 0, 0
    return "", ""


def _goes_back(last: dict[str, tuple[int, int, int]], stream: str, time: int) -> bool:
    """Say whether a tick goes back, and not so that its stream begins anew."""
    latest, run, back = last[stream]
    if time >= latest:
        last[stream] = latest, 0, 0
        return False
    run = run + 1 if run and time >= back else 1
    last[stream] = latest, run, time
    return run < RESTART
