"""The account of a run: accepted and rejected rows, by reason, with likely causes.

It is computed from the run's records and from the counters of its feed, if the feed is
`Explained` or `Counting`.
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
    import polars as pl

    from sfm_stream.config import Config
    from sfm_stream.events import Block
    from sfm_stream.feeds import Connection, Feed

UNREADABLE, OUTSIDE, BACKWARD, INFINITE, MISSING, STRANGER, CROWD = REJECTED_REASONS
LOUD = 0.1
"""A run warns above this share of rejected rows."""
REJECTED = ("seq", "stream", "time", "field", "reason")
"""Columns of the records of rejected events that an account reads."""
PREVIEWED = 1_000
"""Rows that are checked before a run."""


class Reading(NamedTuple):
    """Counters of a feed's frames.

    Attributes:
        counters: number of frames by reason.
        examples: the first frame of each reason.
    """

    counters: Mapping[str, int]
    examples: Mapping[str, str]


def of_run(
    records: Path, feed: Feed, config: Config, ticks: int, events: int
) -> dict[str, Any]:
    """Give the account of a run.

    Args:
        records: folder of a `ParquetSink`.
        feed: the feed of the run.
        config: settings of the run.
        ticks: number of accepted ticks.
        events: number of events from the feed.

    Returns:
        As `account`.

    Raises:
        SinkError: if the records cannot be read.
    """
    rejected = sinks.read(records, "rejected", list(REJECTED))
    found = account(_folded(rejected), feed, ticks, config)
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
    """Give the account of a live feed, from its counters.

    Args:
        feed: its counters, and the first frame of each reason.
        ticks: number of ticks handed to the engine.
        rejections: ticks that the engine rejected, by reason: number, and the first.

    Returns:
        As `account`; normal frames of a live feed, e.g. heartbeats, are left out.
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
    """Combine a feed's counters with the examples of its connections."""
    examples: dict[str, str] = {}
    for one in connections:
        examples = one.examples | examples
    return Reading(counters, examples)


def lost_frames(counters: Mapping[str, int]) -> int:
    """Count the frames of data from which no tick was read."""
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
    """Give the account of the first rows of a feed by the engine's rules, before a run.

    Args:
        config: settings of the run.
        feed: the feed of the run.
        rows: number of rows to check.

    Returns:
        As `account`, and `rows`: number of rows checked.
    """
    import polars as pl

    rejected: list[tuple[object, ...]] = []
    taken = seen = 0
    last: dict[str, tuple[int, int, int]] = {}
    for block in feed.blocks(rows):
        for i in range(min(len(block), rows - seen)):
            if block.kind[i] != TICK:
                continue
            reason, field = _refused(block, i, config, feed.fields, last)
            taken += not reason
            if reason:
                stream = block.streams[int(block.stream[i])]
                rejected.append((seen + i, stream, int(block.time[i]), field, reason))
        seen += min(len(block), rows - seen)
        if seen >= rows:
            break
    reasons = _folded([pl.DataFrame(rejected, REJECTED, orient="row")])
    return {"rows": seen, **account(reasons, feed, taken, config)}


def account(
    reasons: Mapping[str, Reason], feed: Feed, ticks: int, config: Config
) -> dict[str, Any]:
    """Count accepted and rejected rows, with reasons and likely causes.

    Args:
        reasons: the rejected events by reason.
        feed: the feed of the events.
        ticks: number of accepted ticks.
        config: settings of the run.

    Returns:
        `taken`, number of accepted ticks; `not_taken`, number of lost rows, without
        those that the settings exclude; `rejections`, by the engine, and `feed`,
        problems of the feed, each `{reason: {"count", "rows", "first"}}`, where `rows`
        is the part of `count` that is in `not_taken`; `causes`, the likely causes, the
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
    """List the reasons that are no fault of the data: the settings ask for them."""
    # where columns are streams, a row may have values for only some streams
    return (STRANGER, MISSING) if config.stream.columns == "streams" else (STRANGER,)


def lines(found: Mapping[str, Any]) -> list[str]:
    """Write an account as lines for people; empty if all is well.

    Args:
        found: as `account` gives it.

    Returns:
        A line with the total of lost rows; a line for each reason why rows were lost;
        and a line for each other problem of the feed.
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
    """Say whether more than a tenth of the rows were not taken."""
    total = found["taken"] + found["not_taken"]
    return bool(found["not_taken"] > LOUD * total)


def refuse(found: Mapping[str, Any], source: str, *, strict: bool) -> None:
    """Refuse a run that took no tick; with `strict` also one that took too few.

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
    """Give an empty place, for a feed that does not know where events come from."""
    del event
    return ""


def _first(found: Reason, place: Callable[[int], str]) -> str:
    """Describe the place of the first rejected event, and the field that caused it."""
    where = place(found.first) or f"event {found.first + 1}"
    return f"{where} field {found.field!r}" if found.field else where


def _folded(parts: Iterable[pl.DataFrame]) -> dict[str, Reason]:
    """Count rejections by reason, part by part."""
    import polars as pl

    found: dict[str, Reason] = {}
    spans: dict[str, tuple[int, int]] = {}
    step = pl.col("time").diff().over("reason", "stream").alias("step")
    for part in parts:
        grouped = part.with_columns(step).group_by("reason", maintain_order=True).agg(
            pl.len(), pl.col("seq").first(), pl.col("field").first().cast(pl.String),
            pl.col("time").min().alias("least"), pl.col("time").max().alias("most"),
            (pl.col("step") > 0).sum().alias("rises"),
            (pl.col("step") < 0).sum().alias("falls"),
        )  # fmt: skip
        for why, count, seq, field, least, most, rises, falls in grouped.iter_rows():
            before = found.get(why, Reason(0, seq, field, 0))
            low, high = spans.get(why, (least, most))
            spans[why] = low, high = min(low, least), max(high, most)
            found[why] = replace(
                before, count=before.count + count, span=high - low,
                rises=before.rises + rises, falls=before.falls + falls,
            )  # fmt: skip
    return found


def _refused(
    block: Block, i: int, config: Config, fields: Sequence[str],
    last: dict[str, tuple[int, int, int]],
) -> tuple[str, str]:  # fmt: skip
    """Give the reason and field for which the engine will reject a tick, or "".

    The rules are those of `kernels.inputs.accept`, for one tick. `last` holds for each
    stream the time of its last accepted tick, the number of ticks in a row since then
    that are earlier but in order among themselves, and the time of the last of these.
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
    """Say whether a tick goes back; the `RESTART`-th such tick in a row is accepted."""
    latest, run, back = last[stream]
    if time >= latest:
        last[stream] = latest, 0, 0
        return False
    run = run + 1 if run and time >= back else 1
    last[stream] = latest, run, time
    return run < RESTART
