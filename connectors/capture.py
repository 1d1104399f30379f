"""Recorded raw frames, read by the protocol that reads them live.

Two forms of lines are known: `<receive time, ns> <frame>`, and cryptofeed's
`<receive time, s>: <frame>` among `wss://url <-> s` for a connection and
`wss://url <- s: frame` for what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from connectors import files
from connectors.feed import chosen
from connectors.venue import NOTICES, Venue, open_venue
from sfm_stream.errors import FeedError
from sfm_stream.events import Block, Event, Tick

if TYPE_CHECKING:
    from sfm_stream.config import Config

SECOND = 10**9
LAST_TIME = 2**63
STAMP_DIGITS = 19
NS_DIGITS = 9


class Capture:
    """Ticks from files of recorded frames: plain, gzip, zstandard or zip.

    Args:
        config: feed and stream are used.

    Attributes:
        counters: what was not turned into ticks in the latest reading, by reason.

    Raises:
        ConfigError: if venue or channel is unknown.
        FeedError: if a file is missing or a field is not of the channel.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._paths = files.expand(config.feed.path)
        there = self._protocol().fields
        self._chosen = chosen(there, config.stream.fields, self._paths[0])
        self.fields = tuple(there[i] for i in self._chosen)
        self._width = len(there)
        self.counters: dict[str, int] = {}

    def source(self) -> dict[str, Any]:
        """Give connector, venue, channel and files."""
        feed = self._config.feed
        return {
            "connector": "capture",
            "venue": feed.venue,
            "channel": feed.channel,
            "files": [files.identity(path) for path in self._paths],
        }

    def total(self) -> int | None:
        """Give None: events are counted by reading them."""
        return None

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the events of all files as blocks of at most `size`.

        The protocol reads the left-out ones too, for it remembers their ids.

        Raises:
            FeedError: where a file is cut off or damaged, after what came before.
        """
        venue = self._protocol()
        self.counters = venue.counters
        skip, events = after, list[Event]()
        try:
            for frame, received in self._frames(venue):
                said = venue.receive(frame, received)
                events += [x for x in said if not isinstance(x, NOTICES)]
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
        return open_venue(self._config, self._config.feed.venue)

    def _frames(self, venue: Venue) -> Iterator[tuple[bytes, int]]:
        """Give the received frames of all files and when they came, ns."""
        counters = venue.counters
        for line in chain.from_iterable(map(_lines, self._paths)):
            head, _, frame = line.partition(b" ")
            received = _stamp(head)
            if received is not None:
                yield frame, received
            elif b"://" in head:
                opened = frame.startswith(b"<->")
                counters["connections" if opened else "sent"] += 1
                if opened:
                    venue.opened()
            else:
                counters["garbage"] += 1

    def _block(self, events: Sequence[Event]) -> Block:
        block = _columns(events, self._width)
        return replace(block, values=block.values[:, self._chosen])


def _lines(path: str) -> Iterator[bytes]:
    """Give the lines of a file that are not blank.

    Raises:
        FeedError: if the file is damaged, or its last line is cut off.
    """
    row = 0
    for text, last in files.texts(path):
        whole, torn = _split_torn(text) if last else (text, False)
        lines = [line for line in whole.splitlines() if line]
        row += len(lines)
        yield from lines
        if torn:
            problem = "the last line is cut off; expected a whole frame"
            raise FeedError(path, problem, "mend or delete it", row=row + 1)


def _split_torn(text: bytes) -> tuple[bytes, bool]:
    """Take the last line of a file away if it was cut off."""
    before, line = files.last_line(text)
    if not line or line.endswith(b"\n"):
        return text, False
    head, _, frame = line.partition(b" ")
    try:
        msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (text, False) if b"://" in head else (before, True)
    return text, False


def _stamp(head: bytes) -> int | None:
    """Read `ns` or `s:` into ns by its digits; float64 holds no ns of today."""
    if head.isdigit() and len(head) <= STAMP_DIGITS:
        ns = int(head)
    else:
        whole, _, fraction = head.removesuffix(b":").partition(b".")
        seconds = head.endswith(b":") and (whole + fraction).isdigit()
        if not seconds or len(whole) > STAMP_DIGITS:
            return None
        nano = fraction[:NS_DIGITS].ljust(NS_DIGITS, b"0")
        ns = int(whole or b"0") * SECOND + int(nano)
    return ns if ns < LAST_TIME else None


def _columns(events: Sequence[Event], width: int) -> Block:
    """Turn events into columns: the usual case, ticks alone, by whole columns."""
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
