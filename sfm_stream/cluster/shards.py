"""Assigns streams to shards by rendezvous hashing of their names.

Each shard gets a hash of its number and the name; the shard with the largest hash has
the stream (Thaler and Ravishankar, 1998). A new shard takes its streams from all
others, and no stream moves between two old shards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from sfm_stream.config import each_feed
from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.config import Config

AT = "--shard"
FORM = re.compile(r"(\d+)/(\d+)")
MOST = 4_096
"""Most shards: a name is hashed once per shard."""
HASH_BYTES = 8


class Shard(NamedTuple):
    """A shard: the daemon of one part of the streams.

    Attributes:
        number: number of the shard, from 1.
        total: number of shards.
    """

    number: int
    total: int


def parse(text: str) -> Shard:
    """Read `I/N`.

    Raises:
        ConfigError: unless 1 <= I <= N.

    Examples:
        >>> parse("2/4")
        Shard(number=2, total=4)
    """
    found = FORM.fullmatch(text)
    shard = Shard(*map(int, found.groups())) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.total <= MOST:
        problem = f"expected I/N with 1 <= I <= N <= {MOST}, was {text!r}"
        raise ConfigError(AT, problem, "e.g. 1/4 for the first of four")
    return shard


def folder(runs: Path, shard: Shard) -> Path:
    """Give the folder of a shard's run; a single shard uses the folder of all runs."""
    return runs if shard.total == 1 else runs / f"shard-{shard.number}"


def owner(key: str, count: int) -> int:
    """Give the number of the shard that has a stream, from 1.

    Args:
        key: the stream's key, as `key_of` gives it.
        count: number of shards.

    Examples:
        >>> [owner("btcusdt", count) for count in (1, 2, 3, 4)]
        [1, 2, 2, 2]
    """
    return max(range(1, count + 1), key=partial(_weight, key.encode()))


def _weight(key: bytes, number: int) -> bytes:
    place = number.to_bytes(HASH_BYTES, "big")
    return blake2b(key, digest_size=HASH_BYTES, person=place).digest()


def key_of(stream: str, group: str) -> str:
    r"""Give the part of a stream's name that decides its shard.

    Args:
        stream: name of the stream, with the prefix of its feed.
        group: regular expression, as `daemon.group`; empty: the whole name decides.

    Examples:
        >>> key_of("spot:btc-usd", r"(\w+)-")
        'btc'
    """
    found = re.search(group, stream) if group else None
    return (found and found[1]) or stream


def share(
    config: Config, shard: Shard, topics: Callable[[Config], Sequence[str]]
) -> Config:
    """Give the configuration of one shard, which subscribes only to its own streams.

    Args:
        config: configuration of all shards.
        shard: the shard.
        topics: gives the streams of a configuration with one feed, with their prefix.

    Raises:
        ConfigError: if the shard has no stream.
    """
    feeds = []
    for one in each_feed(config):
        names = mine(topics(one), shard, config.daemon.group)
        symbols = tuple(name.removeprefix(one.feed.prefix) for name in names)
        if symbols:
            feeds.append(replace(one.feed, symbols=symbols))
    if not feeds:
        problem = f"no stream is of shard {shard.number} of {shard.total}"
        raise ConfigError(AT, problem, "use fewer shards, or do not start this one")
    return replace(config, feed=feeds[0], more_feeds=tuple(feeds[1:]))


def mine(streams: Sequence[str], shard: Shard, group: str) -> list[str]:
    """Give the streams of a shard, in the given order."""
    return [s for s in streams if owner(key_of(s, group), shard.total) == shard.number]
