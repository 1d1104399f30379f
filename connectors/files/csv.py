"""CSV files of any size, plain or compressed, as blocks of ticks.

Our own reader cuts files of all compressions into pieces: it knows the number of each
row and detects a cut-off file, which Polars' readers do not. Polars parses each piece;
Python's csv splits a piece that Polars refuses, and so finds the damaged rows.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from connectors.cells import numbers
from connectors.files import encodings, presets
from connectors.files import layout as layouts
from connectors.files import text as files
from connectors.files.columns import plan
from connectors.files.columns.pieces import CUT, ZEROS, Lost, Piece, rows_of
from connectors.files.columns.seen import Seen
from connectors.files.layout import Layout, Line
from connectors.files.options import TextOptions
from connectors.files.table import LineTable, Texts
from connectors.options import read
from sfm_stream.errors import FeedError, NoRows
from sfm_stream.settings import Feed

if TYPE_CHECKING:
    from sfm_stream.config import Config

SAMPLE_LINES = 1000
BLANK_LINES = re.compile(rb"(?:^|(?<=\n))\r?\n")
SHOWN = 60
HEADER_AGAIN, TOO_WIDE = "the header again", "more cells than columns"
DAMAGED = "a line that cannot be split, as at an open quote"
QUOTE = b'"'


class Csv(LineTable):
    """Ticks from CSV files: plain, gzip, bzip2, xz, zstandard or zip.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if no path or no usable separator is given.
        FeedError: if a file is missing or empty, or lacks a column.
    """

    options = TextOptions
    connector = "csv"

    def __init__(self, config: Config) -> None:
        given = read(config.feed, TextOptions)
        config, self._options = presets.applied(config, given)
        feed = config.feed
        encodings.expect_encoding(self._options.encoding)
        self._paths = files.expand(feed.path)
        self._wanted = _wanted(feed, config.stream.fields)
        self._first = _first(self._paths, self._options, self._wanted)
        path, sample = self._sampled()
        seen = Seen(path, self._first.names, sample, self._first.notes)
        notation = plan.notation(seen, self._options, config)
        made = plan.choose(config, self._options, seen, notation)
        super().__init__(made, self._paths, self._options.order)
        self._types = _types(sample, made)
        self._layouts = {path: self._layout(path) for path in self._paths}
        names = {path: one.names for path, one in self._layouts.items()}
        self._expect_alike(seen, names, config)

    def total(self) -> int | None:
        """Give None: the number of rows is not known before reading."""
        return None

    def _layout(self, path: str) -> Layout:
        found = layouts.see(path, self._options, self._first)
        return layouts.renamed(found, self._wanted)

    def _sampled(self) -> tuple[str, dict[str, pl.Series]]:
        """Give the first file that has rows, and its first rows."""
        for path in self._paths:
            sample = self._sample(path)
            if len(next(iter(sample.values()))):
                return path, sample
        raise NoRows(self._paths[0], "expected rows, was a header alone")

    def _sample(self, path: str) -> dict[str, pl.Series]:
        """Give the first rows of a file as columns of text."""
        layout = self._layout(path)
        lines = SAMPLE_LINES + layout.above
        text = files.head(path, lines, self._options.encoding)
        body, _ = _split_torn(_below(text, layout.above)[0], layout)
        body = b"".join(body.splitlines(keepends=True)[:SAMPLE_LINES])
        types = [pl.String()] * len(layout.names)
        frame, _, _ = _parse(body, layout, types, range(len(types)))
        return {n: c.alias(n) for n, c in zip(layout.names, frame, strict=True)}

    def _texts(self, path: str) -> Texts:
        return files.texts(path, self._options.encoding)

    def _read(self, path: str, texts: Texts) -> Iterator[Piece]:
        return self._laid_out(path, texts, self._layouts[path])

    def _read_live(self, path: str, texts: Texts) -> Iterator[Piece]:
        # a row must not wait for the line after it
        return self._laid_out(path, texts, replace(self._layouts[path], spanned=1))

    def _laid_out(self, path: str, texts: Texts, layout: Layout) -> Iterator[Piece]:
        row = 0
        for frame, lost in self._frames(path, layout, texts):
            yield Piece(path, row, frame, lost)
            row += rows_of(frame, lost)

    def _frames(
        self, path: str, layout: Layout, texts: Texts
    ) -> Iterator[tuple[pl.DataFrame, Sequence[Lost]]]:
        types = [self._types.get(name, pl.String()) for name in layout.names]
        columns = [layout.names.index(n) for n in self._plan.read(layout.names)]
        above, row, held = layout.above, 0, b""
        for text, last in texts:
            bare, zeros = files.without_zeros(text)
            below, above = _below(bare, above) if above else (bare, 0)
            below = held + below
            whole, torn = _split_torn(below, layout) if last else (below, False)
            waits = 0 if last else layout.spanned - 1
            frame, lost, held = _parse(whole, layout, types, columns, waits)
            if zeros:  # a crash has cut the line off
                gone = _crashed(below[len(whole) :] if torn else b"", zeros)
                lost = [*lost, *(one._replace(at=len(frame)) for one in gone)]
            if len(frame) or lost:
                named = (pl.col(str(i)).alias(layout.names[i]) for i in columns)
                yield frame.select(named), lost
            row += rows_of(frame, lost)
            if torn and not zeros:
                problem = (
                    f"the last line is cut off; expected {len(layout.names)} cells"
                )
                raise FeedError(path, problem, "mend or delete it", row=row + 1)


def _wanted(feed: Feed, fields: Sequence[str]) -> list[str]:
    """Give the names of columns that the settings mention."""
    times = (feed.time,) if isinstance(feed.time, str) else feed.time
    named = (feed.columns.get(name, name) for name in fields)
    return [n for n in (*times, *named, *feed.columns.values(), feed.symbol) if n]


def _first(paths: Sequence[str], options: TextOptions, wanted: Sequence[str]) -> Layout:
    """Find the layout of the first file; a later file's header may name its columns."""
    first = layouts.renamed(layouts.see(paths[0], options), wanted)
    if first.header or options.header is False or options.names:
        return first
    for path in paths[1:]:
        other = layouts.see(path, options, first)
        if other.header and len(other.names) == len(first.names):
            return layouts.named(first, other.names)
    return first


def _below(text: bytes, above: int) -> tuple[bytes, int]:
    """Skip lines above the rows; give the other lines, and the number left to skip."""
    at = 0
    while above and at < len(text):
        end = text.find(b"\n", at)
        at = len(text) if end < 0 else end + 1
        above -= 1
    return text[at:], above


def _types(sample: Mapping[str, pl.Series], made: plan.Plan) -> dict[str, pl.DataType]:
    """Choose the type to parse each column as; a doubtful column is parsed as text."""
    types: dict[str, pl.DataType] = {}
    for name in made.numbers:
        if made.notation.plain and numbers.is_plain(sample[name]):
            filled = sample[name].drop_nulls()
            truths = filled.str.to_lowercase().is_in(list(numbers.TRUTHS)).all()
            types[name] = pl.Boolean() if truths else pl.Float64()
    clock = made.clock
    if clock and not clock.form and len(clock.columns) == 1:
        name = clock.columns[0]
        whole = not sample[name].cast(pl.Int64, strict=False).has_nulls()
        types[name] = pl.Int64() if whole else pl.String()
    if made.symbol:
        types[made.symbol] = pl.String()
    return types


def _parse(
    text: bytes, layout: Layout, types: Sequence[pl.DataType], columns: Sequence[int],
    waits: int = 0,
) -> tuple[pl.DataFrame, Sequence[Lost], bytes]:  # fmt: skip
    """Parse whole lines, first by type, then as text, then line by line.

    Args:
        text: whole lines; blank lines are skipped.
        layout: layout of the file.
        types: types of all its columns.
        columns: positions of the wanted columns; they are the names in the result.
        waits: number of last lines in which a row may begin that later lines continue.

    Returns:
        The valid rows, the damaged rows, and the lines to keep for the next piece.
    """
    if layout.separator == " ":
        text = files.spaced(text.decode(errors="replace")).encode()
    frame = _read(text, layout, types, columns)
    if frame is not None and frame.to_series(0).has_nulls():
        filled = BLANK_LINES.sub(b"", text)
        if filled != text:
            text, frame = filled, _read(filled, layout, types, columns)
    lost: Sequence[Lost] = ()
    held = b""
    if (
        frame is None
        or _holds_open_quotes(text, layout, len(frame))
        or _holds_wide_rows(text, layout, columns, len(frame))
    ):
        frame, lost, held = _by_line(text, layout, columns, waits)
    if layout.header:
        frame, lost = _without_headers(frame, lost, layout)
    return frame, lost, held


def _read(
    text: bytes, layout: Layout, types: Sequence[pl.DataType], columns: Sequence[int]
) -> pl.DataFrame | None:
    names = [str(i) for i in range(len(types))]
    # With our own header; else Polars takes the width of the first row for all rows.
    head = layout.separator.join(names).encode()
    for attempt in (types, [pl.String()] * len(types)):
        with contextlib.suppress(pl.exceptions.PolarsError):
            return pl.read_csv(
                io.BytesIO(b"\n".join((head, text))),
                columns=[names[i] for i in columns],
                schema=dict(zip(names, attempt, strict=True)),
                separator=layout.separator,
                comment_prefix=layout.comment or None,
                encoding="utf8-lossy",
            )
    return None


def _holds_open_quotes(text: bytes, layout: Layout, rows: int) -> bool:
    """Say whether quotes may be open at the end of lines.

    Polars puts the lines after an open quote into one cell, or silently drops them.
    """
    if QUOTE not in text:
        return False
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    if comment := layout.comment.encode():
        lines -= text.startswith(comment) + text.count(b"\n" + comment)
    return rows != lines or text.count(QUOTE) % 2 > 0


def _holds_wide_rows(
    text: bytes, layout: Layout, columns: Sequence[int], rows: int
) -> bool:
    """Say whether rows have too many cells; Polars checks only if it reads all columns.

    Separators are counted first, as reading all columns takes longer.
    """
    width = len(layout.names)
    if len(columns) == width:
        return False
    found = np.frombuffer(text, np.uint8) == ord(layout.separator)
    if np.count_nonzero(found) <= rows * (width - 1):
        return False
    return _read(text, layout, [pl.String()] * width, range(width)) is None


def _by_line(
    text: bytes, layout: Layout, columns: Sequence[int], waits: int
) -> tuple[pl.DataFrame, Sequence[Lost], bytes]:
    """Split a piece that Polars refuses; rows with too many cells are left out."""
    width = len(layout.names)
    lines = files.split(text.decode(errors="replace"))
    rows: list[list[str | None]] = []
    lost: list[Lost] = []
    held = len(lines)
    for above, cells, damaged in layouts.rows(lines, layout):
        if above >= len(lines) - waits:
            held = above
            break
        if damaged:
            lost.append(Lost(len(rows), DAMAGED, repr(lines[above][:SHOWN].rstrip())))
        elif any(cells[width:]):
            lost.append(Lost(len(rows), TOO_WIDE, f"{len(cells)}, not {width}"))
        else:
            rows.append([*cells, *[None] * (width - len(cells))][:width])
    parts = [[r[i] or None for r in rows] for i in columns]
    named = {str(i): pl.Series(p, dtype=pl.String)
             for i, p in zip(columns, parts, strict=True)}  # fmt: skip
    return pl.DataFrame(named), lost, "".join(lines[held:]).encode()


def _without_headers(
    frame: pl.DataFrame, lost: Sequence[Lost], layout: Layout
) -> tuple[pl.DataFrame, Sequence[Lost]]:
    """Remove rows that repeat the header, as in a file joined from several files."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    if not texts:
        return frame, lost
    again = frame[texts[0]].str.strip_chars() == layout.header[int(texts[0])]
    if not again.any():
        return frame, lost
    for name in texts[1:]:
        again &= frame[name].str.strip_chars() == layout.header[int(name)]
    at = again.fill_null(value=False).arg_true().to_list()
    found = [Lost(row - i, HEADER_AGAIN, "", is_data=False) for i, row in enumerate(at)]
    shifted = [one._replace(at=one.at - sum(a < one.at for a in at)) for one in lost]
    kept = frame.filter(~again.fill_null(value=False))
    return kept, sorted(chain(found, shifted), key=lambda one: one.at)


def _split_torn(text: bytes, layout: Layout) -> tuple[bytes, bool]:
    """Remove the last line of a file if it is cut off.

    A cut-off line has too few cells, or its last cell is empty and no newline follows.
    A line of words below the rows does not count as cut off.
    """
    before, line, rows = _last_row(text, layout)
    if not line.strip():
        return before, False
    if not rows:
        return before, layout.comment == "" or not _is_comment(line, layout)
    cells = rows[0].cells
    width = len(layout.names)
    ended = line.endswith(b"\n")
    if ended and not layouts.DATA.match(cells[0]):
        return text, False
    torn = len(cells) < width or (width > 1 and not ended and not cells[-1])
    return (before, True) if torn else (text, False)


def _last_row(text: bytes, layout: Layout) -> tuple[bytes, bytes, list[Line]]:
    """Split off the last row; give the text above, the row's text, and its cells."""
    before, line = files.last_lines(text)
    if QUOTE in line:  # a quote may end a cell that spans several lines
        before, line = files.last_lines(text, layout.spanned)
    parts = io.BytesIO(line).readlines()
    rows = layouts.rows([part.decode(errors="replace") for part in parts], layout)
    above = rows[-1].above if rows else 0
    return before + b"".join(parts[:above]), b"".join(parts[above:]), rows[-1:]


def _crashed(line: bytes, zeros: int) -> list[Lost]:
    """List the damage a crash left in a file: a cut-off last line, and zero bytes."""
    shown = repr(line[:SHOWN].decode(errors="replace"))
    cut = [Lost(0, CUT, shown)] if line.strip() else []
    return [*cut, Lost(0, ZEROS, f"{zeros:,} bytes", is_data=False)]


def _is_comment(line: bytes, layout: Layout) -> bool:
    return line.lstrip().startswith(layout.comment.encode())
