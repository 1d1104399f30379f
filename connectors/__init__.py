"""Feeds of ticks: files, captures, generated signals, data sets and live venues."""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from connectors import options
from connectors.unpivot import unpivoted
from connectors.venues.protocol import VENUES, is_venue, venue_class
from sfm_stream.config import each_feed
from sfm_stream.errors import ConfigError, did_you_mean
from sfm_stream.feeds import Feed
from sfm_stream.outsiders import Sort, class_of
from sfm_stream.settings import PIPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Struct

    from connectors.live.connection.supervisor import Record
    from connectors.live.feed import Live
    from connectors.live.merged import Merged
    from connectors.live.piped.pipe import Pipe
    from connectors.live.readers.remote import Remote
    from connectors.live.timing import Budget
    from sfm_stream.config import Config

__all__ = [
    "Feed", "channels", "is_live", "is_piped", "open_feed", "open_live", "open_readers",
    "options_of",
]  # fmt: skip

FEEDS = {
    "activity": "connectors.files.activity:Activity",
    "capture": "connectors.capture.reader:Capture",
    "csv": "connectors.files.csv:Csv",
    "excel": "connectors.files.excel:Excel",
    "jsonl": "connectors.files.jsonl:Jsonl",
    "parquet": "connectors.files.parquet:Parquet",
    "river": "connectors.made.river:River",
    "synthetic": "connectors.made.synthetic:Synthetic",
}
OF_A_FEED = Sort(
    "connector", ("source", "total", "blocks"), "sfm_stream.feeds.Feed", FEEDS
)
RECORDED = "capture"
LINES = ("csv", "jsonl")
"""Connectors that read a piped input line by line."""


def open_feed(config: Config) -> Feed:
    """Open the feed that `feed.connector` names.

    Args:
        config: names one of our connectors, or `package.module:Class` of any package;
            the class is called with the whole configuration.

    Raises:
        ConfigError: if there is no such connector, or an option is unknown.
        FeedError: if its source cannot be read.
    """
    name = config.feed.connector
    if is_live(name):
        problem = f"expected a feed that can be read again, was {name!r}, which is live"
        hint = "`tail` shows it, `record` writes down what can be replayed"
        raise ConfigError("feed.connector", problem, hint)
    if config.more_feeds:
        problem = f"expected one [feed] for files, was {1 + len(config.more_feeds)}"
        raise ConfigError("feed", problem, "list the files in feed.path")
    kind = _feed(name)
    if name != RECORDED:  # a capture's options belong to its venue, which reads them
        options.read(config.feed, options.declared(kind))
    feed = _by_file(kind, config) if config.stream.names == "file" else kind(config)
    return unpivoted(feed, config) if config.stream.columns == "streams" else feed


def _by_file(kind: Callable[[Config], object], config: Config) -> Feed:
    from connectors.by_file import by_file  # loads the readers of files

    return by_file(kind, config)


def _feed(name: str) -> Any:  # noqa: ANN401 any package's class
    """Find the class of a connector that is not live."""
    return class_of(name, "feed.connector", OF_A_FEED)


def is_live(name: str) -> bool:
    """Say whether a connector is a venue, of this project or any other package."""
    return name in VENUES or (name not in FEEDS and is_venue(name))


def open_live(
    config: Config,
    records: tuple[Record, ...] = (),
    *,
    processes: int = 1,
    shards: int = 1,
) -> Live | Merged | Pipe:
    """Open the live feed or feeds of a configuration; nothing is connected yet.

    Args:
        config: each `feed.connector` names one of our venues, a venue of an installed
            package, or `package.module:Class` of any package; or the feed is piped in.
        records: observers of connections, frames and losses.
        processes: number of processes that read for one model and share the limits of
            the venues.
        shards: number of shards that also share them, each with a model of its own.

    Raises:
        ConfigError: if there is no such venue, or its settings are invalid.
        FeedError: if the channel does not have a wanted field.
    """
    from connectors.live.feed import Live
    from connectors.live.merged import Merged
    from connectors.live.queue import GATHER

    _expect_named_by_venue(config)
    each = each_feed(config)
    for one in each:
        _expect_live(one, is_recorded=bool(records))
    several = len(each) > 1
    gather = 0.0 if several else GATHER  # `Merged` gathers the events of several
    budgets: dict[str, Budget] = {}
    feeds = [
        _piped(one, gather) if is_piped(one) else
        Live(
            one, records, budgets=budgets, sharers=processes * shards,
            alone=not several and processes == 1, gather=gather,
        )
        for one in each
    ]  # fmt: skip
    return Merged(feeds) if several else feeds[0]


def is_piped(config: Config) -> bool:
    """Say whether a feed reads rows from a live pipe."""
    return config.feed.path == PIPE and config.feed.connector in LINES


def _piped(config: Config, gather: float) -> Pipe:
    from connectors.live.piped.pipe import Pipe, standard_input

    return Pipe(config, standard_input(), gather=gather)


def _expect_named_by_venue(config: Config) -> None:
    """Refuse to name the streams of a live feed after columns or files."""
    for key, usual in (("columns", "fields"), ("names", "feed")):
        if (given := getattr(config.stream, key)) != usual:
            problem = f'expected "{usual}" for a live feed, was "{given}"'
            hint = "a venue names its streams itself"
            raise ConfigError(f"stream.{key}", problem, hint)


def _expect_live(config: Config, *, is_recorded: bool) -> None:
    """Refuse a feed that is not live, a venue's path, and the recording of a pipe."""
    name = config.feed.connector
    if is_piped(config):
        options.read(config.feed, options.declared(_feed(name)))
        if is_recorded:
            problem = "expected a venue, was what is piped in"
            raise ConfigError("feed.path", problem, "`tee` keeps it")
    elif name in FEEDS:
        problem = f"expected a venue, was {name!r}"
        hint = did_you_mean(name, VENUES)
        if name in LINES:
            hint = f"feed.path = '{PIPE}' reads what is piped in, line by line"
        raise ConfigError("feed.connector", problem, hint)
    elif name in VENUES:
        options.expect_unset(config.feed, ("path",))


def open_readers(config: Config, *, shards: int = 1) -> Live | Merged | Pipe | Remote:
    """Open the live feeds of a configuration, read by `feed.processes` processes.

    Args:
        config: as in `open_live`.
        shards: number of shards that share the limits of the venues, each with a model
            of its own.

    Raises:
        ConfigError: if there is no such venue, or its settings are invalid.
        FeedError: if the channel does not have a wanted field.
    """
    wanted = [feed.processes for feed in (config.feed, *config.more_feeds)]
    given = [count for count in wanted if count is not None]
    processes = max(given) if given else min(1, len(os.sched_getaffinity(0)) - 1)
    whole = open_live(config, shards=shards)
    if not processes or any(map(is_piped, each_feed(config))):
        return whole  # only one process can read a pipe
    from connectors.live.merged import Merged
    from connectors.live.readers.remote import Remote, divided

    shares = divided(config, processes)
    opened = partial(open_live, processes=len(shares), shards=shards)
    feeds = [
        Remote(share, opened, opened(share), alone=len(shares) == 1) for share in shares
    ]
    return feeds[0] if len(feeds) == 1 else Merged(feeds, whole.source())


def options_of(name: str) -> type[Struct]:
    """Give the type that declares a connector's options, with defaults and docs.

    Raises:
        ConfigError: if there is no such connector.
    """
    kind = venue_class(name, "NAME") if is_live(name) else _feed(name)
    return options.declared(kind)


def channels(name: str) -> dict[str, tuple[str, ...]]:
    """Give the names of a tick's values for each channel of one of our venues."""
    module, _, attribute = VENUES[name].partition(":")
    return dict(getattr(import_module(module), attribute).channels)
