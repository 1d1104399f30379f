"""Read several files as one feed: a stream per file, named after it, merged by time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from connectors.files import text
from connectors.files.table import Table
from connectors.tally import Tally
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import NO_TIME, Block, Ints
from sfm_stream.events.blocks import concatenate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfm_stream.config import Config


def by_file(kind: Callable[[Config], object], config: Config) -> ByFile:
    """Open each file of `feed.path` as a stream of its own.

    Args:
        kind: the class that reads files of rows.
        config: configuration of the feed.

    Raises:
        ConfigError: if the class reads no files, or a file names its streams itself.
        FeedError: if a file is missing or damaged, or its fields differ from the first.
    """
    paths = text.expand(config.feed.path)
    feeds = {}
    for path, name in zip(paths, names_of(paths), strict=True):
        own = replace(
            config,
            feed=replace(config.feed, path=path),
            stream=replace(config.stream, name=name),
        )
        feed = kind(own)
        if not isinstance(feed, Table) or feed.streams != (name,):
            problem = 'expected "feed" where the feed names its streams, was "file"'
            raise ConfigError("stream.names", problem)
        feeds[name] = feed
    return ByFile(feeds)


def names_of(paths: Sequence[str]) -> list[str]:
    """Name streams after files without suffixes, with as few folders as make it unique.

    Examples:
        >>> names_of(["data/hall.csv.gz", "data/roof.csv"])
        ['hall', 'roof']
        >>> names_of(["a/x/hall.csv", "b/x/hall.csv"])
        ['a/x/hall', 'b/x/hall']
    """
    parts = [PurePath(path).parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [_joined(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    twice = next(name for name in names if names.count(name) > 1)
    problem = f"expected names that differ before the first dot, was {twice!r} twice"
    raise FeedError(paths[0], problem, "rename one")


def _joined(parts: Sequence[str]) -> str:
    *folders, file = parts
    return "/".join([*folders, file.partition(".")[0] or file])


class ByFile:
    """A feed that merges several feeds of one stream each by time.

    The rows of each file keep their order, also where a time goes back. Rows of the
    same time follow the order of the files.

    Args:
        feeds: the feeds, by the names of their streams.

    Attributes:
        fields: names of a tick's values, in order.

    Raises:
        FeedError: if they do not all have the same fields.
    """

    def __init__(self, feeds: Mapping[str, Table]) -> None:
        self._feeds, self._names = tuple(feeds.values()), tuple(feeds)
        first = self._feeds[0]
        self.fields = first.fields
        for feed in self._feeds:
            if feed.fields != self.fields:
                there, here = ", ".join(feed.fields), ", ".join(self.fields)
                problem = f"expected the fields {here} of {first.paths[0]}, was {there}"
                hint = "name those that all have in stream.fields"
                raise FeedError(feed.paths[0], problem, hint)
        self.columns, self.left_out = first.columns, first.left_out
        self.notes = tuple(dict.fromkeys(n for feed in self._feeds for n in feed.notes))
        # The number of the file of each event, in one byte while there are few files.
        self._owners: list[NDArray[Any]] = []

    @property
    def tally(self) -> Tally:
        """Counts of data that the latest reading of all files dropped or changed."""
        found = Tally()
        for feed in self._feeds:
            for reason, count in feed.tally.counts.items():
                example, lost = feed.tally.examples.get(reason, ""), feed.tally.lost
                found.add(reason, count, example, rows=lost[reason])
        return found

    def source(self) -> dict[str, Any]:
        """Give the connector, the files, and the names of their streams."""
        sources = [feed.source() for feed in self._feeds]
        files = [file for source in sources for file in source["files"]]
        return {**sources[0], "files": files, "streams": list(self._names)}

    def total(self) -> int | None:
        """Give the number of rows in all files, or None if one is not known."""
        each = [feed.total() for feed in self._feeds]
        known = [total for total in each if total is not None]
        return sum(known) if len(known) == len(each) else None

    def place(self, event: int) -> str:
        """Say which file and row an event of the latest reading came from.

        Args:
            event: number of the event, from 0.
        """
        for owners in self._owners:
            if event < len(owners):
                owner = int(owners[event])
                return self._feeds[owner].place(self._before(owners, event, owner))
            event -= len(owners)
        return ""

    def _before(self, owners: NDArray[Any], event: int, owner: int) -> int:
        """Count the events of a file before the position `event` of a block."""
        count = 0
        for part in self._owners:
            if part is owners:
                return count + int(np.count_nonzero(part[:event] == owner))
            count += int(np.count_nonzero(part == owner))
        return count

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the rows of all files by time, as blocks of at most `size` ticks.

        Raises:
            FeedError: if a file is cut off or damaged, after all earlier rows.
        """
        self._owners.clear()
        given = 0
        for whole in self._merged(size):
            for start in range(max(after - given, 0), len(whole), size):
                yield whole[start : start + size]
            given += len(whole)

    def _merged(self, size: int) -> Iterator[Block]:
        """Give the rows before the latest time up to which all files were read."""
        files = [_File(feed.blocks(size), len(self.fields)) for feed in self._feeds]
        while True:
            going = [file for file in files if file.goes_on]
            known = min((file.last for file in going), default=None)
            parts = [file.take_before(known) for file in files]
            if any(len(key) for key, _ in parts):
                yield self._in_order(parts)
            if known is None:
                break
            for file in going:
                if file.last == known:
                    file.read_on()

    def _in_order(self, parts: Sequence[tuple[Ints, Block]]) -> Block:
        counts = [len(key) for key, _ in parts]
        owner = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
        order = np.lexsort((owner, np.concatenate([key for key, _ in parts])))
        whole = concatenate([block for _, block in parts])
        self._owners.append(owner[order].astype(np.min_scalar_type(len(parts))))
        return Block.ticks(
            whole.time[order], whole.values[order], streams=self._names,
            stream=owner[order], received=whole.received[order],
        )  # fmt: skip


class _File:
    """The rows of a file that were read but not given yet.

    Attributes:
        last: latest time read, ns.
        goes_on: whether there may be more rows in the file.
    """

    def __init__(self, blocks: Iterator[Block], width: int) -> None:
        self._blocks = blocks
        self._held = Block.of([], width)
        self._key = np.zeros(0, np.int64)
        self.last, self.goes_on = NO_TIME, True
        self.read_on()

    def read_on(self) -> None:
        """Read one more block.

        Raises:
            FeedError: if the file cannot be read further.
        """
        block = next(self._blocks, None)
        if block is None:
            self.goes_on = False
            return
        key = np.maximum.accumulate(np.maximum(block.time, self.last))
        self._held = concatenate([self._held, block]) if len(self._held) else block
        self._key = np.concatenate([self._key, key])
        self.last = int(key[-1])

    def take_before(self, time: int | None) -> tuple[Ints, Block]:
        """Remove the rows before a time, or all rows; give their sort keys and them."""
        count = len(self._key) if time is None else np.searchsorted(self._key, time)
        taken = self._key[:count], self._held[: int(count)]
        self._key, self._held = self._key[count:], self._held[int(count) :]
        return taken
