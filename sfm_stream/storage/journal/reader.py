"""Reads a journal, also while another process writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sfm_stream.errors import JournalError
from sfm_stream.events import Block, Event
from sfm_stream.events.blocks import concatenate
from sfm_stream.storage import segment


def read(folder: Path, after: int = 0) -> Iterator[Event]:
    """Yield the events of a journal from a position on; see `blocks`."""
    for entry in _decoded(folder, after):
        if isinstance(entry, Block):
            yield from entry.events()
        else:
            yield entry


def blocks(folder: Path, after: int, width: int, size: int) -> Iterator[Block]:
    """Yield the events of a journal from a position on, joined into blocks.

    Needs no lock: a reader beside the writer sees the events that were written when it
    reached the active segment, and stops before an entry that is not yet whole.

    Args:
        folder: folder of the segments.
        after: number of events to skip.
        width: number of fields of a tick.
        size: least number of events in a block; the last may hold fewer.

    Raises:
        JournalError: if a segment is missing or damaged, or the events asked for were
            deleted or never journalled.
    """
    waiting: list[Block] = []
    count = 0
    for entry in _decoded(folder, after):
        block = entry if isinstance(entry, Block) else Block.of([entry], width)
        waiting.append(block)
        count += len(block)
        if count >= size:
            yield concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield concatenate(waiting)


def _decoded(folder: Path, after: int) -> Iterator[Event | Block]:
    firsts = segment.firsts(folder)
    if not firsts:
        raise JournalError(str(folder), "expected a journal, was none")
    if after < firsts[0]:
        problem = f"expected events from {after} on, first was {firsts[0]}"
        raise JournalError(str(folder), problem, "earlier ones were deleted")
    before: bytes | None = None
    for first, following in zip(firsts, [*firsts[1:], None], strict=True):
        if following is not None and following <= after:
            continue
        found = segment.load(folder, first)
        entries = segment.scan(found)
        _expect_next(found, before)
        end = segment.hole(folder, first, following)
        if end is not None:
            segment.expect_whole(found, entries, end - first)
        yield from segment.decoded(found, entries.end, after - first)
        if end != following:
            problem = f"events from {end} to {following} were not journalled"
            raise JournalError(str(folder), problem, "a checkpoint covers them")
        before = segment.mark(found, entries.events)


def _expect_next(found: segment.Segment, mark: bytes | None) -> None:
    """Refuse a segment whose seed is not the mark at the end of the one before."""
    if found.head and mark is not None and found.seed != mark:
        problem = "expected the events that follow the segment before, was others"
        raise JournalError(str(found.path), problem, segment.RESTORE)


def first(folder: Path) -> int:
    """Give the position of the first event that was not deleted."""
    return min(segment.firsts(folder), default=0)


def end(folder: Path) -> int:
    """Give the position after the last event of a journal.

    Raises:
        JournalError: if its last segment cannot be read or is damaged.
    """
    last = max(segment.firsts(folder), default=None)
    if last is None:
        return 0
    return last + segment.scan(segment.load(folder, last)).events


def mark_at(folder: Path, position: int) -> str | None:
    """Give a journal's mark at a position; None if no segment has a mark there.

    Raises:
        JournalError: if the segment cannot be read.
    """
    start = max((f for f in segment.firsts(folder) if f <= position), default=None)
    if start is None:
        return None
    found = segment.mark(segment.load(folder, start), position - start)
    return None if found is None else found.hex()


def unbroken(folder: Path) -> int:
    """Give the position from which on no event is missing.

    That is the end of the last hole, or without a hole the first event not deleted.
    """
    last = max(segment.holes(folder), default=-1)
    return next((first for first in segment.firsts(folder) if first > last), 0)
