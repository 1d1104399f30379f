"""A feed of recorded frames, read by the same protocol as live frames.

The frames of each connection are read by a protocol of their own, as live, and a loss
that was noticed live gives the same gap here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import structs

from connectors import options
from connectors.capture import format as recording
from connectors.capture.format import Kind, Line
from connectors.files import text
from connectors.tally import Noting
from connectors.venues.protocol import NOTICES, Venue, open_venue
from sfm_stream.errors import FeedError
from sfm_stream.events import Block, Event, Gap, Tick
from sfm_stream.feeds import chosen
from sfm_stream.settings.sections import Section, doc

if TYPE_CHECKING:
    from sfm_stream.config import Config


class CaptureOptions(Section, frozen=True):
    """Options of a recording, in addition to those of the recorded venue."""

    venue: Annotated[
        str, doc("venue that was recorded; its own options stand beside this one")
    ] = "binance"


class Capture:
    """Ticks from files of recorded frames: plain, gzip, zstandard or zip.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if the venue or the channel is unknown.
        FeedError: if a file is missing, or the channel lacks a wanted field.
    """

    options = CaptureOptions

    def __init__(self, config: Config) -> None:
        own, self._feed = options.split(config.feed, CaptureOptions)
        self._venue, self._config = own.venue, structs.replace(config, feed=self._feed)
        self._paths = text.expand(config.feed.path)
        there = self._protocol().fields
        self._chosen = chosen(there, config.stream.fields, self._paths[0])
        self.fields = tuple(there[i] for i in self._chosen)
        self._width = len(there)
        self._lines: Counter[str] = Counter()
        self._venues: dict[str, Venue] = {}

    @property
    def counters(self) -> Counter[str]:
        """Counts of lines and records of the latest reading, by reason."""
        return sum((v.counters for v in self._venues.values()), self._lines)

    @property
    def examples(self) -> dict[str, str]:
        """The first frame of each reason."""
        found: dict[str, str] = {}
        for venue in self._venues.values():
            if isinstance(venue.counters, Noting):
                found = venue.counters.examples | found
        return found

    def source(self) -> dict[str, Any]:
        """Give the connector, the venue, the channel and the files."""
        return {
            "connector": "capture",
            "venue": self._venue,
            "channel": self._feed.options.get("channel", ""),
            "files": [text.identity(path) for path in self._paths],
        }

    def total(self) -> int | None:
        """Give None: the number of events is not known before reading."""
        return None

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the events of all files as blocks of at most `size` events.

        The protocol reads the skipped frames too, because it remembers their ids.

        Raises:
            FeedError: if a file is cut off or damaged, after all earlier events.
        """
        self._lines.clear()
        self._venues.clear()
        skip, events = after, list[Event]()
        try:
            for said in self._said():
                events += said
                if skip:
                    events, skip = events[skip:], max(0, skip - len(events))
                while len(events) >= size:
                    yield self._block(events[:size])
                    events = events[size:]
        except FeedError:
            if events:
                yield self._block(events)
            raise
        if events:
            yield self._block(events)

    def _protocol(self) -> Venue:
        return open_venue(self._config, self._venue)

    def _said(self) -> Iterator[list[Event]]:
        """Give the events of each line of all files."""
        venue = self._joined("")
        begun = False
        for line in chain.from_iterable(map(recording.read, self._paths)):
            if line.kind is Kind.FRAME:
                begun = True
                said = venue.receive(line.body, line.time)
                yield [x for x in said if not isinstance(x, NOTICES)]
                continue
            if line.label:
                venue = self._joined(line.label)
            if line.kind is Kind.BEGUN and begun:
                yield [Gap("", line.time, "not recorded")]
            yield self._marked(line, venue)

    def _joined(self, label: str) -> Venue:
        """Give the protocol that reads a connection, by the connection's label."""
        if label not in self._venues:
            self._venues[label] = self._protocol()
        return self._venues[label]

    def _marked(self, line: Line, venue: Venue) -> list[Event]:
        """Handle a line that is not a frame; give the events in it."""
        match line.kind:
            case Kind.OPENED:
                self._lines["connections"] += 1
                venue.opened()
            case Kind.GAP:
                lost = recording.read_gap(line.body)
                return [lost] if lost else []
            case Kind.SENT | Kind.GARBAGE:
                self._lines[line.kind.name.lower()] += 1
        return []

    def _block(self, events: Sequence[Event]) -> Block:
        block = _columns(events, self._width)
        return replace(block, values=block.values[:, self._chosen])


def _columns(events: Sequence[Event], width: int) -> Block:
    """Turn events into columns; the usual case of ticks only is fast."""
    ticks = [event for event in events if isinstance(event, Tick)]
    if len(ticks) < len(events):
        return Block.of(events, width)
    streams: dict[str, int] = {}
    for tick in ticks:
        streams.setdefault(tick.stream, len(streams))
    return Block.ticks(
        np.array([tick.time for tick in ticks], np.int64),
        np.array([tick.values for tick in ticks], np.float64),
        streams=tuple(streams),
        stream=np.array([streams[tick.stream] for tick in ticks], np.int32),
        received=np.array([tick.received for tick in ticks], np.int64),
    )
