"""Parquet files of any size as blocks of ticks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from connectors.files import table, text
from connectors.files.options import TableOptions
from connectors.options import read
from sfm_stream.errors import FeedError

if TYPE_CHECKING:
    from sfm_stream.config import Config
    from sfm_stream.events import Block

ROWS = 65_536


class Parquet:
    """Ticks from Parquet files.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if no path is given.
        FeedError: if a file is missing, damaged, or lacks a column.
    """

    options = TableOptions

    def __init__(self, config: Config) -> None:
        self._paths = text.expand(config.feed.path)
        schema = _schema(self._paths[0])
        numeric = [n for n, d in schema.items() if d.is_numeric() or d == pl.Boolean]
        self._plan = table.plan(
            config,
            read(config.feed, TableOptions),
            list(schema),
            numeric,
            self._paths[0],
        )
        self._rows = [_rows(path) for path in self._paths]
        self.fields = self._plan.fields

    def source(self) -> dict[str, Any]:
        """Give connector and files."""
        found = [text.identity(path) for path in self._paths]
        return {"connector": "parquet", "files": found}

    def total(self) -> int | None:
        """Give the number of rows to read of all files."""
        rows = sum(self._rows)
        return min(rows, self._plan.rows or rows)

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the rows of all files as blocks of at most `size` ticks.

        Raises:
            FeedError: at a cell that is no number, or where a file is damaged.
        """
        return table.blocks(self._pieces(after), self._plan, size, after)

    def _pieces(self, after: int) -> Iterator[table.Piece]:
        start = 0
        for path, rows in zip(self._paths, self._rows, strict=True):
            table.require(self._plan.used, list(_schema(path)), path)
            row = min(max(after - start, 0), rows)
            if row < rows:
                for frame in _batches(path, self._plan.used, row):
                    yield table.Piece(path, row, start + row, frame)
                    row += len(frame)
            start += rows


def _schema(path: str) -> dict[str, pl.DataType]:
    try:
        return dict(pl.scan_parquet(path, glob=False).collect_schema())
    except (pl.exceptions.PolarsError, OSError) as e:
        raise _damaged(path, e) from e


def _rows(path: str) -> int:
    try:
        count = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as e:
        raise _damaged(path, e) from e
    return int(count)


def _batches(path: str, columns: list[str], row: int) -> Iterator[pl.DataFrame]:
    """Give the columns from a row on; the one place that knows how Polars streams."""
    rows = pl.scan_parquet(path, glob=False).select(columns).slice(row)
    try:
        yield from rows.collect_batches(chunk_size=ROWS, lazy=True)
    except (pl.exceptions.PolarsError, OSError) as e:
        raise _damaged(path, e) from e


def _damaged(path: str, error: Exception) -> FeedError:
    first = str(error).partition("\n")[0]
    return FeedError(path, f"cannot be read as Parquet: {first}", "is the file whole?")
