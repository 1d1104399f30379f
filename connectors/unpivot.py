"""Turn a wide feed into a long one: each column becomes a stream of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sfm_stream.events import ALL_STREAMS, Block
from sfm_stream.feeds import Explained, Feed

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Untaken

VALUE = "value"
"""Name of the one field that every stream has."""


def unpivoted(feed: Feed, config: Config) -> Feed:
    """Give a feed whose ticks have one value, of the stream named after its column.

    Where the feed names streams itself, the column follows after a dot.

    Args:
        feed: the feed whose fields become streams; each event that is not a tick is
            given to all of them.
        config: configuration of the feed.
    """
    if isinstance(feed, Explained):
        return ExplainedUnpivoted(feed, feed, config.stream.name)
    return Unpivoted(feed, config.stream.name)


class Unpivoted:
    """A feed with one stream for each stream and field of another feed.

    Args:
        feed: the other feed.
        unnamed: the name that it gives to a stream without a name.
    """

    fields = (VALUE,)

    def __init__(self, feed: Feed, unnamed: str) -> None:
        self._feed, self._unnamed = feed, unnamed
        self._named: dict[tuple[str, ...], tuple[str, ...]] = {}

    def source(self) -> dict[str, Any]:
        """Give the identity of the source."""
        return {**self._feed.source(), "columns": list(self._feed.fields)}

    def total(self) -> int | None:
        """Give the number of events, or None if it is not known cheaply."""
        rows = self._feed.total()
        return None if rows is None else rows * len(self._feed.fields)

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the events, row by row, in the order of the columns.

        Raises:
            FeedError: if the source cannot be read further.
        """
        width = len(self._feed.fields)
        rows, left = divmod(after, width)
        for block in self._feed.blocks(max(size // width, 1), rows):
            long = self._long(block)[left:]
            left = 0
            for start in range(0, len(long), size):
                yield long[start : start + size]

    def _long(self, block: Block) -> Block:
        width = len(self._feed.fields)
        columns = np.tile(np.arange(width, dtype=np.int32), len(block))
        owner = block.stream.repeat(width)
        stream = np.where(owner == ALL_STREAMS, owner, owner * width + columns)
        return Block(
            streams=self._names(block.streams),
            kind=block.kind.repeat(width),
            stream=stream.astype(np.int32),
            time=block.time.repeat(width),
            received=block.received.repeat(width),
            values=np.ascontiguousarray(block.values).reshape(-1, 1),
            code=block.code.repeat(width),
            notes={i * width + f: text for i, text in block.notes.items()
                   for f in range(width)},
        )  # fmt: skip

    def _names(self, streams: tuple[str, ...]) -> tuple[str, ...]:
        """Name the columns of each stream; the same tuple for the same streams."""
        if streams not in self._named:
            self._named = {streams: tuple(
                name if stream == self._unnamed else f"{stream}.{name}"
                for stream in streams for name in self._feed.fields
            )}  # fmt: skip
        return self._named[streams]


class ExplainedUnpivoted(Unpivoted):
    """The same for a feed that explains how it reads its source.

    Args:
        feed: the other feed.
        explained: the same feed, typed as `Explained`.
        unnamed: the name that it gives to a stream without a name.
    """

    def __init__(self, feed: Feed, explained: Explained, unnamed: str) -> None:
        super().__init__(feed, unnamed)
        self._explained = explained

    @property
    def notes(self) -> Sequence[str]:
        """Notes on the columns and formats that were chosen or left out."""
        return self._explained.notes

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns."""
        return self._explained.columns

    @property
    def left_out(self) -> Mapping[str, str]:
        """Columns that are not streams, each with the reason."""
        return self._explained.left_out

    @property
    def tally(self) -> Untaken:
        """Counts of data that the latest reading dropped or changed."""
        return self._explained.tally

    def place(self, event: int) -> str:
        """Say which file, row and column an event of the latest reading came from."""
        row, column = divmod(event, len(self._feed.fields))
        return f"{self._explained.place(row)} column {self._feed.fields[column]!r}"
