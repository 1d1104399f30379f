"""The interfaces that feeds implement, both feeds of files and live feeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec
from msgspec.structs import replace

from sfm_stream.errors import FeedError, did_you_mean

if TYPE_CHECKING:
    from sfm_stream.events import Block, Event

FIRST_TIME = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z in ns: the first time in a feed that has no times."""


class Source(Protocol):
    """The fields and the identity of a feed, which a run keeps."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a tick's values, in order."""

    def source(self) -> dict[str, Any]:
        """Describe the source as JSON values; equal sources give the same events."""


class Feed(Source, Protocol):
    """A source that can be read again from any event."""

    def total(self) -> int | None:
        """Give the number of events, or None if it is not known cheaply."""

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the events in order, as blocks.

        Args:
            size: largest number of events in a block.
            after: number of events to skip at the start of the feed.

        Raises:
            FeedError: if the source cannot be read further, after all earlier events.
        """


TROUBLES = (
    "garbage", "unknown", "no numbers", "empty", "absurd times", "earlier times",
    "stray ids", "restarts", "changes of nothing known", "left out", "errors",
    "dropped",
)  # fmt: skip
"""Counters of a live feed to report to people: of data that was dropped or changed."""
LOST = (
    "garbage", "unknown", "empty", "stray ids", "changes of nothing known", "dropped",
)  # fmt: skip
"""The counters of data that was dropped entirely."""

OVERLAP = "a file that begins before the one above it ends"
"""The reason under which a feed that joins files into one stream counts overlaps."""


class Happening(msgspec.Struct, frozen=True):
    """One entry in the history of a connection.

    Attributes:
        time: time of the entry, ns.
        kind: `live`, `stale`, `closed`, `not opened`, `down`, `given up`, `gap`,
            `not taken`; or `stalled` or `goes on` for the process that reads it.
        detail: details such as the cause, or empty.
    """

    time: int
    kind: str
    detail: str = ""


class Untaken(Protocol):
    """Counts, by reason, of data that a reading dropped or could not use as written."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of cases, by reason."""

    @property
    def examples(self) -> Mapping[str, str]:
        """The first case of each reason, and where it is, in words."""

    @property
    def lost(self) -> Mapping[str, int]:
        """Number of data rows that became no event, by reason."""


@runtime_checkable
class Explained(Protocol):
    """A feed that explains how it reads its source; feeds from files of rows do."""

    @property
    def notes(self) -> Sequence[str]:
        """Notes for people on the columns and formats that were chosen or left out."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns, including those that are not fields."""

    @property
    def left_out(self) -> Mapping[str, str]:
        """Columns that are not fields, each with the reason."""

    @property
    def tally(self) -> Untaken:
        """Counts of data the latest reading dropped or could not use as written."""

    def place(self, event: int) -> str:
        """Say which file and row an event of the latest reading came from.

        Args:
            event: number of the event, from 0.
        """


@runtime_checkable
class Counting(Protocol):
    """A feed that counts how its frames were handled; captures and live feeds do."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Number of cases by reason; data counted under `LOST` was dropped entirely."""

    @property
    def examples(self) -> Mapping[str, str]:
        """The first frame of each reason."""


class Connection(msgspec.Struct, frozen=True):
    """The status of a live feed's connection, for people and monitors.

    Attributes:
        label: address, and the connection's number if there are several.
        state: name of the state.
        seconds: time since the connection entered this state, s.
        age: seconds since the latest data, or None.
        reason: why the latest connection ended, or empty.
        topics: per topic `pending`, `refused`, `stale` or `live`, and its age.
        counters: counts of frames and of what happened to the connection, by reason.
        happened: the recent history, oldest entry first.
        examples: the first frame that was dropped or changed, by reason.
        usual: an age that is normal, judged by earlier silences, s; or None.
        alarm: why a person should check the connection, or empty.
    """

    label: str
    state: str
    seconds: float
    age: float | None
    reason: str
    topics: dict[str, tuple[str, float | None]]
    counters: dict[str, int] = {}
    happened: tuple[Happening, ...] = ()
    examples: dict[str, str] = {}
    usual: float | None = None
    alarm: str = ""


class LiveFeed(Source, Protocol):
    """A source whose events arrive while it is read."""

    @property
    def waiting(self) -> int:
        """Number of events that are queued for the reader."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Counts of frames and of what happened to the connections, by reason."""

    def status(self) -> Sequence[Connection]:
        """Give the state of each connection and topic."""

    def events(self) -> AsyncGenerator[Event, None]:
        """Give the events as they arrive.

        Raises:
            FeedError: if no further attempt to connect can succeed.
        """

    def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they arrive, in blocks of at most `most` events.

        Raises:
            FeedError: if no further attempt to connect can succeed.
        """

    def stop(self) -> None:
        """Close the connections; give the queued events, then end the iteration."""


def counted_on(before: Connection | None, now: Connection) -> Connection:
    """Add the counters and examples of an earlier connection in the same place."""
    if before is None:
        return now
    counters = Counter(before.counters) + Counter(now.counters)
    examples = now.examples | before.examples
    return replace(now, counters=dict(counters), examples=examples)


def chosen(there: Sequence[str], wanted: Sequence[str], source: str) -> list[int]:
    """Find the positions of the wanted fields; of all fields when none is named.

    Raises:
        FeedError: if a wanted field does not exist.
    """
    for name in wanted:
        if name not in there:
            hint = did_you_mean(name, there)
            raise FeedError(source, "no such field", hint, column=name)
    return [there.index(name) for name in wanted or there]
