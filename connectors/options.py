"""The options of a connector: the table `[feed.options]`, which it declares itself.

A connector declares its options as a frozen msgspec struct with a description per key,
in its class attribute `options`. Settings that all feeds share belong to `[feed]`.
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
    """The empty options, of a connector without options."""


def declared(
    kind: object, usual: type[msgspec.Struct] = NoOptions
) -> type[msgspec.Struct]:
    """Give the type of options that a connector's class declares, or the default."""
    found: type[msgspec.Struct] = getattr(kind, "options", usual)
    return found


def split(feed: Feed, table: type[T]) -> tuple[T, Feed]:
    """Read the options of one table; give them, and the feed with the other options.

    Raises:
        ConfigError: if an option of the table is invalid.
    """
    known = table.__struct_fields__
    own = {key: value for key, value in feed.options.items() if key in known}
    others = {key: value for key, value in feed.options.items() if key not in known}
    return read_table(own, table, AT), replace(feed, options=others)


def read(feed: Feed, table: type[T]) -> T:
    """Read the options of a feed into the table that the connector declares.

    Raises:
        ConfigError: if an option is unknown or invalid.
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
