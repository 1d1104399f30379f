"""The options of a connector: the table `[feed.options]`, which it declares itself.

A connector declares its options as a frozen msgspec struct with a description per key,
in its class attribute `options`. Settings that all feeds share belong to `[feed]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from sfm_stream.config import read_table
from sfm_stream.errors import ConfigError
from sfm_stream.settings import Feed
from sfm_stream.settings.sections import Section

AT = "feed.options"
OF_ROWS = ("path", "time", "time_unit", "columns", "symbol")
"""Keys of `[feed]` that only connectors of rows read."""
ENDINGS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".xlsx": "excel", ".xlsm": "excel",
}  # fmt: skip
"""The connector that reads a file, by an ending of its name."""
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


def expect_unset(feed: Feed, keys: Sequence[str]) -> None:
    """Refuse keys of `[feed]` that the connector does not read.

    Raises:
        ConfigError: naming the first such key, and the connector that reads it.
    """
    usual = Feed()
    for key in keys:
        was = getattr(feed, key)
        if was != getattr(usual, key):
            problem = f"expected no {key} for connector {feed.connector!r}, was {was!r}"
            raise ConfigError(f"feed.{key}", problem, _reader(feed.path))


def _reader(path: str | tuple[str, ...]) -> str:
    """Say which connector reads a path, by the ending of the first name."""
    first = path if isinstance(path, str) else next(iter(path), "")
    endings = reversed(PurePath(first).suffixes)
    found = next((ENDINGS[one] for one in endings if one in ENDINGS), "")
    if found:
        return f'set feed.connector = "{found}"'
    return "leave it out, or set feed.connector to what reads the path"
