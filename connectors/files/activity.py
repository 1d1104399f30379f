"""Activity of a stream of quotes per bin: the number of quotes and the mid's move.

    rate        log(1 + quotes in the bin)
    volatility  log(1 + |move of the mid since the previous bin|)

Bins of `feed.period` are aligned to the epoch; the time of a bin is its end. A bin
without quotes has rate 0 and volatility 0; more than `MOST_EMPTY` such bins in a row
are a gap, and the volatility of the first bin after it is 0. The bin that is open at
the end of the quotes is left out, as it is incomplete. A late quote, or one without a
time, counts for the open bin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from connectors.files import text
from connectors.files.csv import Csv
from connectors.files.options import TextOptions
from connectors.files.parquet import Parquet
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError
from sfm_stream.events import GAP, TICK, Block, Floats, Ints
from sfm_stream.feeds import chosen

if TYPE_CHECKING:
    from sfm_stream.feeds import Feed

Truths: TypeAlias = NDArray[np.bool_]
FIELDS = ("rate", "volatility")
MOST_EMPTY = 1_000
ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Bins:
    """Consecutive bins that hold quotes.

    Attributes:
        number: int64 [n], number of the bin since the epoch, rising.
        count: int64 [n], number of quotes in each bin.
        mid: float64 [n], the last known mid in each bin.
    """

    number: Ints
    count: Ints
    mid: Floats


class Activity:
    """Rate and volatility of the quotes in CSV or Parquet files.

    Args:
        config: feed and stream are used; the quotes have the fields `bid` and `ask`.

    Raises:
        ConfigError: if `feed.period` is not a duration, or a symbol column is named.
        FeedError: if a file is missing or lacks a column.
    """

    options = TextOptions

    def __init__(self, config: Config) -> None:
        if config.feed.symbol:
            problem = f"expected one stream of quotes, was {config.feed.symbol!r}"
            raise ConfigError("feed.symbol", problem, "leave it empty")
        self._columns = chosen(FIELDS, config.stream.fields, "activity")
        self.fields = tuple(FIELDS[i] for i in self._columns)
        self._every = config.feed.period.ns
        self._stream = config.stream.name
        quotes = replace(config, stream=replace(config.stream, fields=("bid", "ask")))
        first = text.expand(config.feed.path)[0]
        self._quotes: Feed = (Parquet if first.endswith("parquet") else Csv)(quotes)

    def source(self) -> dict[str, Any]:
        """Give the connector, the length of a bin, and the source of the quotes."""
        quotes = self._quotes.source()
        return {**quotes, "connector": "activity", "of": quotes["connector"],
                "every": self._every}  # fmt: skip

    def total(self) -> int | None:
        """Give None: the number of bins is not known before reading."""
        return None

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the bins as blocks of at most `size` events.

        Raises:
            FeedError: if the quotes cannot be read further.
        """
        passed = 0
        for block in self._stated():
            start = min(max(after - passed, 0), len(block))
            passed += len(block)
            for i in range(start, len(block), size):
                yield block[i : i + size]

    def _stated(self) -> Iterator[Block]:
        before, last = np.nan, Bins(*(np.zeros(0, t) for t in (int, int, float)))
        for quotes in self._quotes.blocks(ROWS):
            bins = _binned(last, quotes, self._every)
            if len(bins.number) > 1:
                yield self._block(bins, before)
                gap = bins.number[-1] - bins.number[-2] - 1 > MOST_EMPTY
                before = np.nan if gap else bins.mid[-2]
            last = Bins(bins.number[-1:], bins.count[-1:], bins.mid[-1:])

    def _block(self, bins: Bins, before: float) -> Block:
        """Make ticks of all bins but the last, and of the empty bins after each.

        Args:
            bins: at least two bins.
            before: the mid before the first bin, NaN if not known.
        """
        empty = np.diff(bins.number) - 1
        gap = empty > MOST_EMPTY
        repeats = 1 + np.where(gap, 0, empty)
        start = np.cumsum(repeats) - repeats
        at = np.arange(int(repeats.sum()))
        owner = np.repeat(np.arange(len(empty)), repeats)
        full = at == start[owner]
        mid = bins.mid[owner]
        past = np.concatenate([[before], mid[:-1]])
        past[start[1:][gap[:-1]]] = np.nan
        count = np.where(full, bins.count[owner], 0)
        move = np.nan_to_num(np.abs(mid - past), nan=0.0)
        time = (bins.number[owner] + at - start[owner] + 1) * self._every
        values = np.log1p(np.stack([count, move], 1))[:, self._columns]
        return self._with_gaps(time, values, start + repeats, bins.number, gap)

    def _with_gaps(
        self, time: Ints, values: Floats, ends: Ints, number: Ints, gap: Truths
    ) -> Block:
        """Insert a gap after each bin that is followed by a long silence."""
        where, missed = ends[gap], np.diff(number)[gap] - 1
        time = np.insert(time, where, number[1:][gap] * self._every)
        kind = np.insert(np.full(len(values), TICK, np.int8), where, GAP)
        code = np.insert(np.zeros(len(values), np.int64), where, missed)
        spots = np.flatnonzero(kind == GAP).tolist()
        return Block(
            streams=(self._stream,), kind=kind, stream=np.zeros(len(kind), np.int32),
            time=time, received=time, values=np.insert(values, where, np.nan, axis=0),
            code=code, notes=dict.fromkeys(spots, f"no quotes for {MOST_EMPTY} bins"),
        )  # fmt: skip


def _binned(last: Bins, quotes: Block, every: int) -> Bins:
    """Count quotes per bin, starting with the open bin.

    Args:
        last: the open bin, or no bin.
        quotes: ticks of `bid` and `ask`.
        every: length of a bin, ns.
    """
    number = np.concatenate([last.number, quotes.time // every])
    np.maximum.accumulate(number, out=number)
    weight = np.concatenate([last.count, np.ones(len(quotes), np.int64)])
    mid = _filled(np.concatenate([last.mid, quotes.values.mean(1)]))
    first = np.flatnonzero(np.diff(number, prepend=number[:1] - 1))
    final = np.append(first[1:], len(number)) - 1
    return Bins(number[first], np.add.reduceat(weight, first), mid[final])


def _filled(values: Floats) -> Floats:
    """Replace each missing value by the last known value before it."""
    known = np.where(np.isnan(values), -1, np.arange(len(values)))
    held = np.maximum.accumulate(known)
    return np.where(held >= 0, values[held], np.nan)
