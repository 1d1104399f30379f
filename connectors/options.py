"""What a connector alone knows: the table `[feed.options]`, declared by the connector.

A connector declares its options as a frozen msgspec struct with a description per key,
and names it as its class attribute `options`. What all feeds share stays in `[feed]`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec.structs import replace

from sfm_stream.config import read_table
from sfm_stream.errors import ConfigError
from sfm_stream.settings import Feed
from sfm_stream.settings.sections import Section

AT = "feed.options"
T = TypeVar("T", bound=msgspec.Struct)


class NoOptions(Section, frozen=True):
    """The options of a connector that has none."""


def declared(
    kind: object, usual: type[msgspec.Struct] = NoOptions
) -> type[msgspec.Struct]:
    """Give the options that a connector's class declares, or else the usual ones."""
    found: type[msgspec.Struct] = getattr(kind, "options", usual)
    return found


def split(feed: Feed, table: type[T]) -> tuple[T, Feed]:
    """Give the options of a table, and the feed with the other options alone.

    Raises:
        ConfigError: if one of the table is impossible.
    """
    known = table.__struct_fields__
    own = {key: value for key, value in feed.options.items() if key in known}
    others = {key: value for key, value in feed.options.items() if key not in known}
    return read_table(own, table, AT), replace(feed, options=others)


def read(feed: Feed, table: type[T]) -> T:
    """Give the options of a feed as the connector declared them.

    Raises:
        ConfigError: if one is unknown or impossible.
    """
    known = table.__struct_fields__
    for key in feed.options:
        at = f"{AT}.{key}"
        if key in known:
            continue
        if key in Feed.__struct_fields__:
            raise ConfigError(at, "is shared by all feeds", f"write feed.{key}")
        if not known:
            problem = f"connector {feed.connector!r} has no options"
            raise ConfigError(at, problem, "leave it out")
    return read_table(feed.options, table, AT)
