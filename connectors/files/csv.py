"""CSV files of any size, plain or compressed, as blocks of ticks.

Our own reader of pieces serves all compressions: it knows the row it is at and when a
file was cut off, which Polars' readers do not say. Polars parses each piece.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from connectors.files import table, times
from connectors.files import text as files
from connectors.files.options import TextOptions
from connectors.options import read
from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import NO_TIME, Block

if TYPE_CHECKING:
    from sfm_stream.config import Config

SAMPLE_LINES = 1000
QUOTE = b'"'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANK_LINES = re.compile(rb"(?:^|(?<=\n))\r?\n")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is laid out.

    Attributes:
        names: its columns; `column_0`, `column_1` ... where no line names them.
        header: whether the first line names them.
        separator: what stands between cells.
    """

    names: tuple[str, ...]
    header: bool
    separator: str

    def body(self, text: bytes) -> bytes:
        """Leave out what is above the data at the start of a file."""
        text = text.removeprefix(BYTE_ORDER_MARK).lstrip(b"\r\n")
        return text.partition(b"\n")[2] if self.header else text


class Csv:
    """Ticks from CSV files: plain, gzip, zstandard or zip.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if no path or no usable separator is given.
        FeedError: if a file is missing or empty, or lacks a column.
    """

    options = TextOptions

    def __init__(self, config: Config) -> None:
        self._options = read(config.feed, TextOptions)
        separator = self._options.separator
        if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
            problem = f"expected one character, was {separator!r}"
            raise ConfigError("feed.options.separator", problem)
        self._paths = files.expand(config.feed.path)
        layout = self._layout(self._paths[0])
        sample = _sample(layout, self._paths[0])
        numeric = [name for name, cells in sample.items() if table.is_number(cells)]
        self._plan = table.plan(
            config, self._options, layout.names, numeric, self._paths[0]
        )
        self._types = _types(sample, numeric, self._plan)
        self.fields = self._plan.fields

    def source(self) -> dict[str, Any]:
        """Give connector and files."""
        found = [files.identity(path) for path in self._paths]
        return {"connector": "csv", "files": found}

    def total(self) -> int | None:
        """Give None: rows are counted by reading them."""
        return None

    def blocks(self, size: int, after: int = 0) -> Iterator[Block]:
        """Give the rows of all files as blocks of at most `size` ticks.

        Raises:
            FeedError: at a cell that is no number, or where a file is cut off or
                damaged, after the rows before that.
        """
        return table.blocks(self._pieces(), self._plan, size, after)

    def _layout(self, path: str) -> Layout:
        return _layout(path, self._options.header, self._options.separator)

    def _pieces(self) -> Iterator[table.Piece]:
        position = 0
        for path in self._paths:
            layout = self._layout(path)
            table.require(self._plan.used, layout.names, path)
            row = 0
            for frame in self._frames(path, layout):
                yield table.Piece(path, row, position, frame)
                row, position = row + len(frame), position + len(frame)

    def _frames(self, path: str, layout: Layout) -> Iterator[pl.DataFrame]:
        row = 0
        types = [self._types.get(name, pl.String()) for name in layout.names]
        columns = [layout.names.index(name) for name in self._plan.used]
        for i, (text, last) in enumerate(files.texts(path, QUOTE)):
            whole = text if i else layout.body(text)
            whole, torn = _split_torn(whole, layout) if last else (whole, False)
            frame = _parse(whole, layout, types, columns)
            if frame is None:
                raise _blamed(whole, layout, path, row)
            if len(frame):
                yield frame.select(
                    pl.col(str(i)).alias(layout.names[i]) for i in columns
                )
            row += len(frame)
            if torn:
                problem = (
                    f"the last line is cut off; expected {len(layout.names)} cells"
                )
                raise FeedError(path, problem, "mend or delete it", row=row + 1)


def _layout(path: str, header: bool | None, separator: str) -> Layout:
    """See how a file is laid out by its first line."""
    text = files.head(path, 2, QUOTE)
    text = text.removeprefix(BYTE_ORDER_MARK).lstrip(b"\r\n")
    if not text:
        raise FeedError(path, "expected rows, was an empty file")
    cells = _cells(text.partition(b"\n")[0], separator)
    named = _is_header(cells) if header is None else header
    names = cells if named else [f"column_{i}" for i in range(len(cells))]
    return Layout(tuple(names), named, separator)


def _cells(line: bytes, separator: str) -> list[str]:
    text = line.decode(errors="replace").strip("\r\n")
    return [c.strip() for row in csv.reader([text], delimiter=separator) for c in row]


def _is_header(cells: Sequence[str]) -> bool:
    """Say whether a line holds a cell that is neither number, truth, time nor empty."""
    filled = pl.Series([c for c in cells if c], dtype=pl.String)
    words = filled.filter(pl.Series(times.nanoseconds(filled, "auto") == NO_TIME))
    return len(words) > 0 and not table.is_number(words)


def _sample(layout: Layout, path: str) -> dict[str, pl.Series]:
    """Give the first lines as columns of text."""
    body = layout.body(files.head(path, SAMPLE_LINES, QUOTE))
    whole, _ = _split_torn(body, layout)
    text = b"\n".join(whole.split(b"\n", SAMPLE_LINES)[:SAMPLE_LINES])
    types = [pl.String()] * len(layout.names)
    frame = _parse(text, layout, types, range(len(types)))
    if frame is None:
        raise _blamed(text, layout, path, 0)
    return dict(zip(layout.names, frame, strict=True))


def _types(
    sample: Mapping[str, pl.Series], numeric: Sequence[str], plan: table.Plan
) -> dict[str, pl.DataType]:
    """Decide as what to parse each column; whatever is not sure stays text."""
    types: dict[str, pl.DataType] = {}
    for name in set(plan.numbers) & set(numeric):
        filled = sample[name].drop_nulls()
        truths = filled.str.to_lowercase().is_in(list(table.TRUTHS)).all()
        types[name] = pl.Boolean() if truths else pl.Float64()
    if plan.time:
        whole = not sample[plan.time].cast(pl.Int64, strict=False).has_nulls()
        types[plan.time] = pl.Int64() if whole else pl.String()
    if plan.symbol:
        types[plan.symbol] = pl.String()
    return types


def _parse(
    text: bytes, layout: Layout, types: Sequence[pl.DataType], columns: Sequence[int]
) -> pl.DataFrame | None:
    """Parse whole lines, first by type, then as text; None if they are no table.

    Args:
        text: whole lines; blank ones are no rows.
        layout: of the file.
        types: of all its columns.
        columns: places of those wanted, which are the names in the result.
    """
    frame = _read(text, layout, types, columns)
    if frame is None or not frame.to_series(0).has_nulls():
        return frame
    filled = BLANK_LINES.sub(b"", text)
    return frame if filled == text else _read(filled, layout, types, columns)


def _read(
    text: bytes, layout: Layout, types: Sequence[pl.DataType], columns: Sequence[int]
) -> pl.DataFrame | None:
    names = [str(i) for i in range(len(types))]
    # A header of our own, or Polars would take the first row's width for the table's.
    head = layout.separator.join(names).encode()
    for attempt in (types, [pl.String()] * len(types)):
        with contextlib.suppress(pl.exceptions.PolarsError):
            return pl.read_csv(
                io.BytesIO(b"\n".join((head, text))),
                columns=[names[i] for i in columns],
                schema=dict(zip(names, attempt, strict=True)),
                separator=layout.separator,
                encoding="utf8-lossy",
            )
    return None


def _split_torn(text: bytes, layout: Layout) -> tuple[bytes, bool]:
    """Take the last line of a file away if it was cut off.

    It has too few cells, or its last one is empty and no newline follows.
    """
    before, line = files.last_line(text, QUOTE)
    if not line.strip():
        return before, False
    try:
        cells = _cells(line, layout.separator)
    except csv.Error:
        return before, True
    width = len(layout.names)
    ended = line.endswith(b"\n")
    torn = len(cells) < width or (width > 1 and not ended and not cells[-1])
    return (before, True) if torn else (text, False)


def _blamed(text: bytes, layout: Layout, path: str, row: int) -> FeedError:
    """Find the row for which Polars refused a piece."""
    width = len(layout.names)
    lines = io.StringIO(text.decode(errors="replace"))
    with contextlib.suppress(csv.Error):
        for cells in csv.reader(lines, delimiter=layout.separator):
            row += bool(cells)
            if len(cells) > width:
                problem = f"expected {width} cells, was {len(cells)}"
                return FeedError(path, problem, "mend the line", row=row)
    return FeedError(
        path, "cannot be read as CSV", "is feed.options.separator right?", row=row
    )
