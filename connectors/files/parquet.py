"""Parquet files of any size as blocks of ticks.

A folder named `key=value`, as in Hive, adds a column `key` to all files inside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from connectors.files import text
from connectors.files.columns import plan
from connectors.files.columns.pieces import Piece
from connectors.files.columns.seen import Seen
from connectors.files.options import TableOptions
from connectors.files.table import Table
from connectors.options import read
from sfm_stream.errors import FeedError

if TYPE_CHECKING:
    from sfm_stream.config import Config

ROWS = 65_536
SAMPLE_ROWS = 1000
PARTITION = re.compile(r"(?:^|/)([^/=]+)=([^/]*)(?=/)")


class Parquet(Table):
    """Ticks from Parquet files.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if no path is given.
        FeedError: if a file is missing, damaged, or lacks a column.
    """

    options = TableOptions
    connector = "parquet"

    def __init__(self, config: Config) -> None:
        options = read(config.feed, TableOptions)
        paths = text.expand(config.feed.path)
        self._rows = [_rows(path) for path in paths]
        if not sum(self._rows):
            raise FeedError(paths[0], "expected rows, was none")
        first = next(p for p, n in zip(paths, self._rows, strict=True) if n)
        sample = _scan(first).head(SAMPLE_ROWS)
        seen = Seen(first, tuple(_schema(first)), _collected(first, sample), typed=True)
        notation = plan.notation(seen, options, config)
        made = plan.choose(config, options, seen, notation)
        super().__init__(made, paths, options.order)
        self._expect_alike(seen, {path: [*_schema(path)] for path in paths}, config)

    def total(self) -> int | None:
        """Give the number of rows to read in all files."""
        rows = sum(self._rows)
        return min(rows, self._plan.rows or rows)

    def _pieces(self) -> Iterator[Piece]:
        for path, rows in zip(self._paths, self._rows, strict=True):
            row = 0
            for frame in _batches(path, self._plan.used) if rows else ():
                yield Piece(path, row, frame)
                row += len(frame)


def _scan(path: str) -> pl.LazyFrame:
    """Scan a file, with columns added for its `key=value` folders."""
    frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    there = frame.collect_schema()
    found = {k: v for k, v in PARTITION.findall(path) if k not in there}
    return frame.with_columns(pl.lit(v).alias(k) for k, v in found.items())


def _schema(path: str) -> dict[str, pl.DataType]:
    try:
        return dict(_scan(path).collect_schema())
    except (pl.exceptions.PolarsError, OSError) as e:
        raise _damaged(path, e) from e


def _collected(path: str, rows: pl.LazyFrame) -> dict[str, pl.Series]:
    try:
        return {column.name: column for column in rows.collect()}
    except (pl.exceptions.PolarsError, OSError) as e:
        raise _damaged(path, e) from e


def _rows(path: str) -> int:
    try:
        count = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as e:
        raise _damaged(path, e) from e
    return int(count)


def _batches(path: str, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Give columns of a file in batches; the only place that uses Polars' streaming."""
    rows = _scan(path).select(columns)
    try:
        yield from rows.collect_batches(chunk_size=ROWS, lazy=True)
    except (pl.exceptions.PolarsError, OSError) as e:
        raise _damaged(path, e) from e


def _damaged(path: str, error: Exception) -> FeedError:
    first = str(error).partition("\n")[0]
    return FeedError(path, f"cannot be read as Parquet: {first}", "is the file whole?")
