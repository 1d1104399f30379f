"""River's data sets as ticks: the features in order, then the target as `y`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from inspect import isclass
from itertools import islice
from numbers import Real
from typing import Annotated, Any

from connectors import options
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError, FeedError, did_you_mean
from sfm_stream.events import NO_TIME, Block, Tick
from sfm_stream.feeds import FIRST_TIME, chosen
from sfm_stream.settings.sections import Section, doc

TARGET = "y"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RiverOptions(Section, frozen=True):
    """The options of a data set of River."""

    dataset: Annotated[str, doc("name of a data set that River ships")] = "WaterFlow"


class River:
    """Ticks from a data set of River.

    Data sets that River ships need no network; others must be downloaded before.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if River has no such data set, or a key of rows is set.
        FeedError: if the data set is not downloaded, or a field is not a number.
    """

    options = RiverOptions

    def __init__(self, config: Config) -> None:
        options.expect_unset(config.feed, options.OF_ROWS)
        self._dataset = options.read(config.feed, RiverOptions).dataset
        self._stream = config.stream.name
        self._period = config.feed.period.ns
        dataset = _opened(self._dataset)
        self._total: int | None = dataset.n_samples
        with _reading(dataset) as rows:
            first = _named(*next(rows))
        self._clock = next((k for k, v in first.items() if isinstance(v, date)), None)
        there = [name for name in first if name != self._clock]
        wanted = config.stream.fields
        at = chosen(there, wanted, f"river.{self._dataset}")
        self.fields = tuple(there[i] for i in at)
        self._values(first, 0)

    def source(self) -> dict[str, Any]:
        """Give the connector, the data set and the version of River."""
        return {
            "connector": "river",
            "dataset": self._dataset,
            "river": version("river"),
        }

    def total(self) -> int | None:
        """Give the number of instances, or None if River does not know it."""
        return self._total

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the instances as blocks of at most `size` ticks.

        Raises:
            FeedError: if a field is not a number.
        """
        with _reading(_opened(self._dataset)) as rows:
            rest = islice(enumerate(rows), after, None)
            while ticks := [self._tick(i, x, y) for i, (x, y) in islice(rest, size)]:
                yield Block.of(ticks, len(self.fields))

    def _tick(self, index: int, x: Mapping[str, Any], y: object) -> Tick:
        row = _named(x, y)
        if self._clock is None:
            time = FIRST_TIME + index * self._period
        else:
            time = _nanoseconds(row.get(self._clock))
        return Tick(self._stream, time, self._values(row, index), time)

    def _values(self, row: Mapping[str, Any], index: int) -> tuple[float, ...]:
        source = f"river.{self._dataset}"
        return tuple(_number(row.get(n), n, source, index + 1) for n in self.fields)


def _opened(name: str) -> Any:  # noqa: ANN401 River has no types
    """Make the data set with a name."""
    from river import datasets
    from river.datasets import base

    known: dict[str, Any] = {
        key: kind
        for key, kind in vars(datasets).items()
        if isclass(kind) and issubclass(kind, base.Dataset)
    }
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigError(
            "feed.options.dataset", f"River has no data set {name!r}", hint
        )
    rows = known[name]()
    if isinstance(rows, base.RemoteDataset) and not rows.is_downloaded:
        hint = f"run river.datasets.{name}().download() once, or take WaterFlow"
        raise FeedError(f"river.{name}", "expected it downloaded, was not", hint)
    return rows


@contextmanager
def _reading(dataset: Iterable[Any]) -> Iterator[Iterator[Any]]:
    """Read a data set, or only its beginning.

    River closes its file only at the end; if we stop earlier, Python closes the file
    and warns.
    """
    rows = iter(dataset)
    try:
        yield rows
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            if isinstance(rows, Generator):
                rows.close()


def _named(x: Mapping[str, Any], y: object) -> dict[str, Any]:
    """Join features and target into one row, with the target last."""
    return {**{str(name): value for name, value in x.items()}, TARGET: y}


def _number(value: object, name: str, source: str, row: int) -> float:
    if value is None:
        return math.nan
    if isinstance(value, Real):
        return float(value)
    problem = f"expected a number, was {value!r:.60}"
    hint = "name the fields that are numbers in stream.fields"
    raise FeedError(source, problem, hint, row=row, column=name)


def _nanoseconds(value: object) -> int:
    """Turn a date into ns exactly; a date without a zone is in UTC."""
    if not isinstance(value, date):
        return NO_TIME
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    ns = (value - EPOCH) // timedelta(microseconds=1) * 1000
    return ns if abs(ns) < -NO_TIME else NO_TIME
