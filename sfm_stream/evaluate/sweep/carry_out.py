"""Carries out a sweep, part by part, and stores the result of each point.

Each result has its own file, written when the pass of its part ends. So a stopped sweep
continues with the open points; it computes an interrupted pass again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sfm_stream import config
from sfm_stream.evaluate import kept, workers
from sfm_stream.evaluate.sweep import part

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.feeds import Feed

TOGETHER = 8
"""Largest number of points in a part: bounds its memory, and the work a stop loses."""
POINTS = "points"
"""Folder of the results of the points, in the folder of the sweep."""
HERE = Path(__file__).parent
OF_MODEL = ("features", "model", "learn", "forecast")
"""Tables of settings that do not affect the ticks."""


class Point(NamedTuple):
    """Settings to try.

    Attributes:
        settings: resolved.
        path: of the result's file.
        key: digest of everything that determines the result.
    """

    settings: Config
    path: Path
    key: str


def points(
    tried: Sequence[Config], open_feed: Callable[[Config], Feed], out: Path
) -> list[Point]:
    """Give the points of a sweep.

    Args:
        tried: settings, resolved.
        open_feed: opens the feed that a configuration names, to identify its source.
        out: folder of the sweep.

    Raises:
        ConfigError, FeedError: if a source cannot be read.
    """
    code = kept.code((*kept.FOLDERS, HERE))
    sources: dict[bytes, object] = {}
    found = []
    for settings in tried:
        ticks = _ticks(settings)
        if ticks not in sources:
            sources[ticks] = open_feed(settings).source()
        key = kept.key(config.to_tree(settings), sources[ticks], *code)
        found.append(Point(settings, out / POINTS / f"{key[:16]}.json", key))
    return found


def carry_out(
    tried: Sequence[Point],
    open_feed: Callable[[Config], Feed],
    pool: Executor,
    *,
    parts: int,
    done: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Measure the points without a stored result, and give all results in order.

    Args:
        tried: points to measure.
        open_feed: opens the feed that a configuration names.
        pool: runs the parts in processes of this machine or of a cluster.
        parts: least number of parts, to keep the pool busy, if there are enough points.
        done: receives the number of points with a result.

    Raises:
        ConfigError, FeedError, SinkError: as in a replay.
        InvalidState: if a process was ended from outside.
    """
    known = {one.key: kept.read(one.path, one.key) for one in tried}
    unknown = [one for one in tried if known[one.key] is None]
    done(len(tried) - len(unknown))
    running = {
        pool.submit(part.measure, [one.settings for one in some], open_feed): some
        for some in divide(unknown, parts)
    }
    for some, results in workers.finished(running):
        for one, result in zip(some, results, strict=True):
            kept.write(one.path, one.key, result)
            known[one.key] = result
        done(sum(result is not None for result in known.values()))
    return [_plain(known[one.key]) for one in tried]


def divide(some: Sequence[Point], parts: int) -> Iterator[list[Point]]:
    """Group points with the same ticks, in groups small enough for `parts` parts."""
    together: dict[bytes, list[Point]] = {}
    for one in some:
        together.setdefault(_ticks(one.settings), []).append(one)
    most = min(TOGETHER, max(1, -(-len(some) // parts)))
    for same in together.values():
        for start in range(0, len(same), most):
            yield same[start : start + most]


def _ticks(settings: Config) -> bytes:
    """Give the settings that determine the ticks; a feed ignores the others."""
    tree = config.to_tree(settings)
    kept = {name: table for name, table in tree.items() if name not in OF_MODEL}
    return msgspec.json.encode(kept)


def _plain(result: dict[str, Any] | None) -> dict[str, Any]:
    assert result is not None  # noqa: S101 all of them were measured
    return result
