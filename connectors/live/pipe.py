"""What is piped in, live: one tick per line of CSV or JSON, until the input ends.

    mosquitto_sub -t hall | sfm-stream daemon hall.toml --set feed.path=-

The first line with values is waited for, as it says which column is what. Then each
line is a tick when it comes. A record of JSON names its values, so one alone decides
which fields there are: the first that has what the settings name, or what most have of
those that come at once. Rows of CSV name none, so those that follow at once help to
tell. While the model is slow the pipe fills, and whoever writes waits.
"""

from __future__ import annotations

import asyncio
import io
import os
import select
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from connectors.files.csv import DAMAGED, TOO_WIDE, Csv
from connectors.files.jsonl import NO_FIELD, NO_RECORD, Jsonl, records
from connectors.files.table import (
    FAR_AHEAD,
    LATE,
    NO_NUMBER,
    NO_STREAM,
    SENTINEL,
    ZERO_PRICE,
    LineTable,
)
from connectors.files.text import lines, spooled
from connectors.live.connection.states import State
from connectors.live.endless import Endless
from connectors.live.lines import SHOWN, Lines
from connectors.live.queue import GATHER, Queue
from connectors.live.timing import Clock
from connectors.tally import Tally
from connectors.venues.course import SLACK, Course
from sfm_stream.errors import FeedError, NoRows
from sfm_stream.events import NO_TIME, Block, Ints
from sfm_stream.feeds import TROUBLES, Connection
from sfm_stream.settings.derived import MADE_OF

if TYPE_CHECKING:
    from sfm_stream.config import Config

KINDS = {"csv": Csv, "jsonl": Jsonl}
LABEL = "standard input"
PIECE = 1 << 16
BEAT = 0.25
"""Seconds between looks whether it is to stop."""
MORE = 0.1
"""Seconds after a line in which others help to tell which column is what."""
ENOUGH = 1_000
"""First lines that are seen at most."""
LONGEST = 1 << 22
"""Bytes of a line, as of a venue's frame."""
REASONS = {
    NO_RECORD: "garbage",
    NO_STREAM: "garbage",
    TOO_WIDE: "garbage",
    DAMAGED: "garbage",
    NO_NUMBER: "no numbers",
    SENTINEL: "no numbers",
    ZERO_PRICE: "no numbers",
    FAR_AHEAD: "absurd times",
    NO_FIELD: "left out",
    LATE: "left out",
}
"""What live feeds call the reasons that files have."""


def standard_input() -> int:
    """Take standard input away, so that nobody else reads from it; give where it is."""
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return taken


class Pipe(Endless):
    """The rows of what is piped in, as they come.

    Opening waits for the first rows.

    Args:
        config: feed, stream and target are used.
        place: the file descriptor to read, which is closed in the end.
        clock: for stamps.
        gather: least seconds between batches of few events.

    Attributes:
        fields: names of a tick's values.
        notes: what was chosen and left out, for people.

    Raises:
        NoRows: if the input ends before there is one.
        FeedError: if its first rows lack a column, or have two readings.
    """

    def __init__(
        self,
        config: Config,
        place: int,
        *,
        clock: Clock | None = None,
        gather: float = GATHER,
    ) -> None:
        self._config, self._place, self._gather = config, place, gather
        self._clock = clock or Clock()
        self._stopped, self._ended = False, False
        self._odd = Tally()
        self._lines = Lines(LONGEST, self._too_long)
        self._head, self._table = self._opened()
        self._untimed = not self._table.is_timed
        self.fields, self.notes = self._table.fields, self._table.notes
        self._queue = Queue(len(self.fields), config.feed.queue, config.feed.overload)
        self._courses: dict[str, Course] = {}
        self._state, self._reason = State.INIT, ""
        self._since = self._clock.elapsed()
        self._heard: float | None = None
        self._ticks = 0
        self._reading: asyncio.Task[None] | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the streams, where the settings name them."""
        named = self._config.stream.symbols or self._table.streams
        return tuple(self._config.feed.prefix + name for name in named)

    @property
    def counters(self) -> Counter[str]:
        """What became of lines, by the reasons that all live feeds have."""
        counts = self._queue.counters + self._odd.counts
        counts["lines taken"] = self._ticks
        for why, count in tuple(self._table.tally.counts.items()):
            counts[REASONS.get(why, why)] += count
        return counts

    @property
    def waiting(self) -> int:
        """Events that wait in the queue."""
        return len(self._queue)

    def source(self) -> dict[str, Any]:
        """Give connector and path."""
        return {"connector": self._config.feed.connector, "path": "-"}

    def status(self) -> list[Connection]:
        """Give how the input is."""
        now = self._clock.elapsed()
        age = None if self._heard is None else now - self._heard
        state = "live" if self._heard is not None else "pending"
        return [
            Connection(
                label=LABEL,
                state=self._state.value,
                seconds=now - self._since,
                age=age,
                reason=self._reason,
                topics=dict.fromkeys(self.topics, (state, age)),
                counters=dict(self.counters),
                examples=self._examples(),
            )
        ]

    async def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they come, until the input ends.

        Args:
            most: events given at once, of those that wait.
        """
        self._enter(State.LIVE)
        self._reading = asyncio.create_task(self._read())
        try:
            async with aclosing(self._queue.batches(most, self._gather)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self.stop()
            self._queue.close()  # or the reader waits for room for ever
            await asyncio.wait([self._reading])
        self._reading.result()

    def stop(self) -> None:
        """Read no further; what waits is still given, then the events end."""
        self._stopped = True

    async def _read(self) -> None:
        encoding = str(self._config.feed.options.get("encoding", ""))
        texts = lines(chain([self._head], self._pieces()), encoding)
        blocks = self._table.follow(texts)
        try:
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                if len(block):
                    self._queue.put_block(self._told(block))
                if self._queue.full:
                    await self._queue.room()
            self._reason = "stopped" if self._stopped else "the input has ended"
        except FeedError as error:
            self._odd.add("garbage", 1, str(error))
            self._reason = f"the input has ended: {error.problem}"
        finally:
            self._enter(State.CLOSED)
            self._queue.close()
            os.close(self._place)

    def _opened(self) -> tuple[bytes, LineTable]:
        """Read the first lines, as many as it takes to see which column is what."""
        head, path = b"", spooled(io.BytesIO())
        tried: list[tuple[bytes, LineTable | None]] = []
        # where the settings name the fields, an odd record adds none
        named = self._config.stream.fields
        alone = self._config.feed.connector == "jsonl" and not named
        while True:
            new = self._more()
            head += new
            if alone:
                tried += self._each_alone(new, path)
                if any(table for _, table in tried):
                    return self._agreed(tried)
            elif table := self._told_by(head, path):
                return head, table
            if self._ended or head.count(b"\n") >= ENOUGH:
                return head, self._laid_out(head, path)

    def _each_alone(
        self, text: bytes, path: str
    ) -> Iterator[tuple[bytes, LineTable | None]]:
        """Give each line, and how ticks are laid out by it alone, if it tells."""
        known: dict[frozenset[str], LineTable] = {}
        for line in text.splitlines(keepends=True):
            keys = _keys(line)
            table = known.get(keys) or self._told_by(line, path)
            if table and not self._has_targets(table):
                table = None
            if table and keys:
                known[keys] = table
            yield line, table

    def _told_by(self, text: bytes, path: str) -> LineTable | None:
        """Lay ticks out by some lines; None where they lack what is needed."""
        try:
            return self._laid_out(text, path)
        except NoRows:
            return None
        except FeedError as error:
            is_json = self._config.feed.connector == "jsonl"
            if is_json and error.column not in _keys(text):
                return None  # a record of another kind may have it
            raise

    def _has_targets(self, table: LineTable) -> bool:
        there = {*table.fields}
        absent = {*self._config.target.values} - there
        return all(there.issuperset(MADE_OF.get(name, (name,))) for name in absent)

    def _agreed(
        self, tried: Sequence[tuple[bytes, LineTable | None]]
    ) -> tuple[bytes, LineTable]:
        """Take the fields that most have; leave out what stands above and has none."""
        tables = [table for _, table in tried if table]
        ((most, _),) = Counter(table.fields for table in tables).most_common(1)
        chosen = next(table for table in tables if table.fields == most)
        first = next(i for i, (_, table) in enumerate(tried) if table is chosen)
        kept = []
        for line, table in tried[:first]:
            has_one = table and not {*most}.isdisjoint(table.fields)
            if has_one or not _keys(line):  # what is no record is counted later
                kept.append(line)
            else:
                shown = repr(line.strip()[:SHOWN].decode(errors="replace"))
                self._odd.add("garbage", 1, f"{LABEL}: no tick: {shown}")
        return b"".join([*kept, *(line for line, _ in tried[first:])]), chosen

    def _laid_out(self, head: bytes, path: str) -> LineTable:
        Path(path).write_bytes(head)
        kind, feed = KINDS[self._config.feed.connector], self._config.feed
        feed = msgspec.structs.replace(feed, path=path)
        try:
            return kind(msgspec.structs.replace(self._config, feed=feed))
        except FeedError as error:
            raise _of_input(error, head) from error

    def _more(self) -> bytes:
        """Wait for a line, and for those that follow at once."""
        found, lines, end = [], 0, float("inf")
        while not self._ended and lines < ENOUGH:
            left = end - time.monotonic()
            if left <= 0:
                break
            text = self._next(min(BEAT, left))
            if text:
                found.append(text)
                lines += text.count(b"\n")
                end = min(end, time.monotonic() + MORE)
        return b"".join(found)

    def _pieces(self) -> Iterator[bytes]:
        """Give what comes, until the end or until it is to stop."""
        while not (self._stopped or self._ended):
            if text := self._next(BEAT):
                yield text

    def _next(self, seconds: float) -> bytes:
        """Wait so long for what comes next; give the lines that are whole then."""
        ready, _, _ = select.select([self._place], [], [], seconds)
        if not ready:
            return b""
        piece = os.read(self._place, PIECE)
        self._ended = not piece
        return self._lines.cut(piece) if piece else self._lines.rest()

    def _too_long(self, start: bytes) -> None:
        shown = repr(start.decode(errors="replace"))
        told = f"{LABEL}: a line of more than {LONGEST >> 20} MiB: {shown}"
        self._odd.add("garbage", 1, told)

    def _told(self, block: Block) -> Block:
        """Give events with the time of their receipt, and names as asked for."""
        now = self._clock.now()
        self._heard = self._clock.elapsed()
        self._ticks += len(block)
        names = tuple(self._config.feed.prefix + name for name in block.streams)
        received = np.full(len(block), now, np.int64)
        time = received if self._untimed else self._plausible(block, now)
        return replace(block, streams=names, time=time, received=received)

    def _plausible(self, block: Block, now: int) -> Ints:
        """Give the times, those of receipt where a stream cannot have come so far."""
        times = block.time.tolist()
        for i, code in enumerate(block.stream.tolist()):
            if times[i] == NO_TIME:
                continue
            name = block.streams[code]
            course = self._courses.setdefault(name, Course())
            if times[i] > now + SLACK and not course.plausible(times[i], now):
                told = f"stream {name!r} at {np.datetime64(times[i], 'ns')}"
                self._odd.add("absurd times", 1, told)
                times[i] = max(now, course.expected(now))
            course.time, course.received = times[i], now
        return np.array(times, np.int64)

    def _examples(self) -> dict[str, str]:
        found = dict(self._odd.examples)
        for why, example in tuple(self._table.tally.examples.items()):
            # nobody knows the file that the first lines are kept in
            told = LABEL + example.removeprefix(self._table.paths[0])
            found.setdefault(REASONS.get(why, why), told)
        return {why: found[why] for why in TROUBLES if why in found}

    def _enter(self, state: State) -> None:
        self._state, self._since = state, self._clock.elapsed()


def _keys(text: bytes) -> frozenset[str]:
    """Give the keys of the records in some lines."""
    rows, _ = records(text.splitlines())
    return frozenset(chain.from_iterable(rows))


def _of_input(error: FeedError, head: bytes) -> FeedError:
    """Blame the input, and not the file that its first lines are kept in."""
    problem = error.problem
    if isinstance(error, NoRows) and head.strip():
        first = head.lstrip().splitlines()[0][:SHOWN].decode(errors="replace")
        problem = f"{problem}; the first line was {first!r}"
    told = problem, error.hint
    return type(error)(LABEL, *told, row=error.row, column=error.column)
