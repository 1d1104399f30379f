"""A live feed from a pipe: one tick per line of CSV or JSON, until the input ends.

    mosquitto_sub -t hall | sfm-stream daemon hall.toml --set feed.path=-

It waits for the first line with values, which decides the role of each column. Then
each line is a tick as soon as it arrives. While the model is slow the pipe fills, and
the writing program waits.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from connectors.files.csv import DAMAGED, TOO_WIDE
from connectors.files.jsonl import NO_FIELD, NO_RECORD
from connectors.files.table import (
    FAR_AHEAD,
    LATE,
    NO_NUMBER,
    NO_STREAM,
    SENTINEL,
    ZERO_PRICE,
)
from connectors.files.text import lines
from connectors.live.connection.states import State
from connectors.live.endless import Endless
from connectors.live.piped.descriptor import LONGEST, Descriptor
from connectors.live.piped.first_lines import ENOUGH, LABEL, first_lines
from connectors.live.queue import GATHER, Queue
from connectors.live.timing import Clock
from connectors.tally import Tally
from connectors.venues.course import SLACK, Course
from sfm_stream.errors import FeedError
from sfm_stream.events import NO_TIME, Block, Ints
from sfm_stream.feeds import TROUBLES, Connection

if TYPE_CHECKING:
    from sfm_stream.config import Config

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
"""For each reason of files, the counter of live feeds."""


def standard_input() -> int:
    """Move standard input to a new descriptor, which nothing else reads; give it."""
    taken = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return taken


class Pipe(Endless):
    """The rows of a piped input, as they arrive.

    Opening waits for the first rows.

    Args:
        config: feed, stream and target are used.
        place: the file descriptor to read; closed at the end.
        clock: the clock for stamps.
        gather: least seconds between batches of few events.

    Attributes:
        fields: names of a tick's values.
        notes: notes for people on what was chosen and left out.

    Raises:
        NoRows: if the input ends before the first row.
        FeedError: if the first rows lack a column, or have two readings.
    """

    def __init__(
        self,
        config: Config,
        place: int,
        *,
        clock: Clock | None = None,
        gather: float = GATHER,
    ) -> None:
        self._config, self._gather = config, gather
        self._clock = clock or Clock()
        self._odd = Tally()
        self._input = Descriptor(place, self._too_long)
        lots = self._input.lots(ENOUGH)
        self._head, self._table = first_lines(config, lots, self._odd)
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
        """Names of the streams; empty if only a column of the input names them."""
        named = self._config.stream.symbols or self._table.streams
        return tuple(self._config.feed.prefix + name for name in named)

    @property
    def counters(self) -> Counter[str]:
        """Counts of lines, by the reasons that all live feeds use."""
        counts = self._queue.counters + self._odd.counts
        counts["lines taken"] = self._ticks
        for why, count in tuple(self._table.tally.counts.items()):
            counts[REASONS.get(why, why)] += count
        return counts

    @property
    def waiting(self) -> int:
        """Number of events in the queue."""
        return len(self._queue)

    def source(self) -> dict[str, Any]:
        """Give the connector and the path."""
        return {"connector": self._config.feed.connector, "path": "-"}

    def status(self) -> list[Connection]:
        """Give the state of the input."""
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
        """Give the events as they arrive, until the input ends.

        Args:
            most: largest number of events in a block.
        """
        self._enter(State.LIVE)
        self._reading = asyncio.create_task(self._read())
        try:
            async with aclosing(self._queue.batches(most, self._gather)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self.stop()
            self._queue.close()  # else the reader waits for room forever
            await asyncio.wait([self._reading])
        self._reading.result()

    def stop(self) -> None:
        """Stop reading; give the queued events, then end the iteration."""
        self._input.stop()

    async def _read(self) -> None:
        encoding = str(self._config.feed.options.get("encoding", ""))
        texts = lines(chain([self._head], self._input.pieces()), encoding)
        blocks = self._table.follow(texts)
        try:
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                if len(block):
                    self._queue.put_block(self._told(block))
                if self._queue.full:
                    await self._queue.room()
            self._reason = "stopped" if self._input.stopped else "the input has ended"
        except FeedError as error:
            self._odd.add("garbage", 1, str(error))
            self._reason = f"the input has ended: {error.problem}"
        finally:
            self._enter(State.CLOSED)
            self._queue.close()
            self._input.close()

    def _too_long(self, start: bytes) -> None:
        shown = repr(start.decode(errors="replace"))
        told = f"{LABEL}: a line of more than {LONGEST >> 20} MiB: {shown}"
        self._odd.add("garbage", 1, told)

    def _told(self, block: Block) -> Block:
        """Add the times of receipt, and the prefix to the streams' names."""
        now = self._clock.now()
        self._heard = self._clock.elapsed()
        self._ticks += len(block)
        names = tuple(self._config.feed.prefix + name for name in block.streams)
        received = np.full(len(block), now, np.int64)
        time = received if self._untimed else self._plausible(block, now)
        return replace(block, streams=names, time=time, received=received)

    def _plausible(self, block: Block, now: int) -> Ints:
        """Give the times, with implausible ones replaced as for a venue."""
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
            # people do not know the temporary file with the first lines
            told = LABEL + example.removeprefix(self._table.paths[0])
            found.setdefault(REASONS.get(why, why), told)
        return {why: found[why] for why in TROUBLES if why in found}

    def _enter(self, state: State) -> None:
        self._state, self._since = state, self._clock.elapsed()
