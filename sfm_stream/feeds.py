"""What a feed owes to those who read it, said once for files and for live ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from sfm_stream.errors import FeedError, did_you_mean

if TYPE_CHECKING:
    from sfm_stream.events import Block, Event

FIRST_TIME = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z in ns: where feeds without times begin."""


class Source(Protocol):
    """What a run keeps of its feed."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a tick's values, in order."""

    def source(self) -> dict[str, Any]:
        """Give the identity of the source, JSON-able: equal means same events."""


class Feed(Source, Protocol):
    """A source that can be read again from any event."""

    def total(self) -> int | None:
        """Give the number of events if it is cheaply known."""

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the events from the start, in order.

        Args:
            size: most events in a block.
            after: number of events of the feed to leave out.

        Raises:
            FeedError: where the source cannot be read on; what came before was given.
        """


TROUBLES = (
    "garbage", "unknown", "no numbers", "empty", "absurd times", "earlier times",
    "stray ids", "restarts", "changes of nothing known", "left out", "errors",
    "dropped",
)  # fmt: skip
"""Counters of a live feed that a person should hear of: data that was not taken, or not
as it came."""
LOST = (
    "garbage", "unknown", "empty", "stray ids", "changes of nothing known", "dropped",
)  # fmt: skip
"""The counters of data of which nothing was taken."""

OVERLAP = "a file that begins before the one above it ends"
"""What a feed of several files counts where it gives one stream of them."""


class Happening(msgspec.Struct, frozen=True):
    """What happened to a connection.

    Attributes:
        time: when, ns.
        kind: `live`, `stale`, `closed`, `not opened`, `down`, `given up`, `gap`,
            `not taken`, or of the process that reads it `stalled` or `goes on`.
        detail: e.g. why; empty if there is nothing to say.
    """

    time: int
    kind: str
    detail: str = ""


class Untaken(Protocol):
    """What a reading could not take as it stood, by reason."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How often."""

    @property
    def examples(self) -> Mapping[str, str]:
        """Where first, in words."""

    @property
    def lost(self) -> Mapping[str, int]:
        """How many of them are rows of data that became no event."""


@runtime_checkable
class Explained(Protocol):
    """What a feed says of its reading beside events, if it can: files of rows do."""

    @property
    def notes(self) -> Sequence[str]:
        """What was chosen and left out, for people."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns, fields or not."""

    @property
    def left_out(self) -> Mapping[str, str]:
        """Columns that are no fields, and why."""

    @property
    def tally(self) -> Untaken:
        """What the latest reading could not take as it stood."""

    def place(self, event: int) -> str:
        """Say which file and row an event of the latest reading came from.

        Args:
            event: its number, from 0.
        """


@runtime_checkable
class Counting(Protocol):
    """A feed that counts what became of frames: captures and live feeds do."""

    @property
    def counters(self) -> Mapping[str, int]:
        """How often, by reason; of `LOST` they are data of which nothing was taken."""

    @property
    def examples(self) -> Mapping[str, str]:
        """The first frame of a reason."""


class Connection(msgspec.Struct, frozen=True):
    """What a person or a monitor wants to know of a live feed's connection.

    Attributes:
        label: address, and number if there are several.
        state: name of the state.
        seconds: since it is in this state.
        age: seconds since the latest data, or None.
        reason: why the latest connection ended, or empty.
        topics: per topic `pending`, `refused`, `stale` or `live`, and its age.
        counters: what became of frames and of the connection, by reason.
        happened: what happened of late, oldest first.
        examples: the first frame that was not taken, or not as it came, by reason.
        usual: an age that is no trouble, by the silences of before, s; or None.
        alarm: why a person should look at it, e.g. as it was given up; or empty.
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
    """A source that goes on."""

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What became of frames and connections, by reason."""

    def status(self) -> Sequence[Connection]:
        """Give the state of each connection and topic."""

    def events(self) -> AsyncGenerator[Event, None]:
        """Give the events as they come.

        Raises:
            FeedError: when no try can help any more.
        """

    def batches(self, most: int) -> AsyncGenerator[Block, None]:
        """Give the events as they come, as blocks of at most so many.

        Raises:
            FeedError: when no try can help any more.
        """

    def stop(self) -> None:
        """Close the connections; what waits is still given, then the events end."""


def chosen(there: Sequence[str], wanted: Sequence[str], source: str) -> list[int]:
    """Find the wanted fields among those there; all of them when none is named.

    Raises:
        FeedError: naming the field that is not there.
    """
    for name in wanted:
        if name not in there:
            hint = did_you_mean(name, there)
            raise FeedError(source, "no such field", hint, column=name)
    return [there.index(name) for name in wanted or there]
