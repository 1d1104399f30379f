"""Workbooks of Excel as blocks of ticks: the first sheet, or a named sheet.

Polars reads workbooks with an engine that the extra `excel` installs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import polars as pl

from connectors.files import archives, text
from connectors.files.columns import plan
from connectors.files.columns.pieces import Piece
from connectors.files.columns.seen import Seen, require
from connectors.files.options import TableOptions
from connectors.files.table import Table
from connectors.options import read
from sfm_stream.errors import FeedError, NoRows
from sfm_stream.settings.sections import doc

if TYPE_CHECKING:
    from sfm_stream.config import Config

OTHER = "a column that the first workbook lacks"
SAMPLE_ROWS = 1000
WAY_OUT = "install the extra: pip install 'sfm-stream[excel]'; or save it as CSV"


class ExcelOptions(TableOptions, frozen=True):
    """Options of workbooks."""

    sheet: Annotated[str, doc("name of the sheet; empty: the first")] = ""


class Excel(Table):
    """Ticks from workbooks of Excel.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if no path is given.
        FeedError: if a file is missing or damaged, lacks a column or a sheet, or
            no engine that reads workbooks is installed.
    """

    options = ExcelOptions
    connector = "excel"

    def __init__(self, config: Config) -> None:
        options = read(config.feed, ExcelOptions)
        self._sheet = options.sheet
        paths = text.found(config.feed.path)
        frame = self._frame(paths[0])
        if not len(frame):
            raise NoRows(paths[0], "expected rows, was none")
        sample = {column.name: column for column in frame.head(SAMPLE_ROWS)}
        seen = Seen(paths[0], tuple(frame.columns), sample)
        notation = plan.notation(seen, options, config)
        made = plan.choose(config, options, seen, notation)
        super().__init__(made, paths, options.order)

    def total(self) -> int | None:
        """Give None: the number of rows is not known before reading."""
        return None

    def _pieces(self) -> Iterator[Piece]:
        for path in self._paths:
            frame = self._frame(path)
            require(self._plan.used, frame.columns, path)
            for name in frame.columns:
                if name not in self.columns:
                    self.tally.add(OTHER, 1, f"{path}: {name!r}")
            yield Piece(path, 0, frame.select(self._plan.read(frame.columns)))

    def _frame(self, path: str) -> pl.DataFrame:
        """Read a sheet; a workbook holds a million rows at most."""
        archives.expect_workbook(path)
        try:
            return pl.read_excel(path, sheet_name=self._sheet or None)
        except ModuleNotFoundError as e:
            problem = "expected what reads workbooks of Excel, was nothing"
            raise FeedError(path, problem, WAY_OUT) from e
        except Exception as e:  # the engines for workbooks share no tree of errors
            first = str(e).partition("\n")[0]
            raise FeedError(path, f"cannot be read as a workbook: {first}") from e
