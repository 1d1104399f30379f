"""Where ticks come from: files, recorded captures, generated signals, data sets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from connectors.feed import Feed, did_you_mean
from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.config import Config

__all__ = ["Feed", "open_feed"]

FEEDS = {
    "activity": "connectors.activity:Activity",
    "capture": "connectors.capture:Capture",
    "csv": "connectors.csv:Csv",
    "parquet": "connectors.parquet:Parquet",
    "river": "connectors.river:River",
    "synthetic": "connectors.synthetic:Synthetic",
}


def open_feed(config: Config) -> Feed:
    """Open the feed that `feed.connector` names.

    Args:
        config: a name of our own, or `package.module:Class` of anyone's; the class is
            called with the whole configuration.

    Raises:
        ConfigError: if there is no such connector.
        FeedError: if its source cannot be read.
    """
    name = config.feed.connector
    place = FEEDS.get(name, name)
    module, colon, attribute = place.partition(":")
    if not (colon and module and attribute):
        hint = (
            did_you_mean(name, FEEDS) or "an outsider is named `package.module:Class`"
        )
        raise ConfigError("feed.connector", f"unknown connector {name!r}", hint)
    try:
        feed: Feed = getattr(import_module(module), attribute)(config)
    except (ImportError, AttributeError) as e:
        if name in FEEDS:
            raise
        raise ConfigError("feed.connector", f"{name!r} cannot be imported: {e}") from e
    return feed
