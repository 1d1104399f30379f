"""Find the layout of a file of text from its first lines: separator, header, preamble.

A note reports the lines that are skipped above the rows, and the key to change this.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from connectors.cells.numbers import MISSING
from connectors.files import presets
from connectors.files import text as files
from sfm_stream.errors import ConfigError, FeedError, NoRows

if TYPE_CHECKING:
    from connectors.files.options import TextOptions

SPANNED = 16
"""Most lines of a cell in quotes; a quote that stays open for longer is damage."""
SEPARATORS = "\t;|,"
NAMED = {"tab": "\t", "\\t": "\t", "space": " "}
"""Names for separators that are hard to write in a setting."""
HEAD_LINES = 100
MOST_ABOVE = 60
"""Largest number of lines in a preamble."""
MOST_HEADERS = 4
SAID = re.compile(r"(?i)\"?sep=(.)\"?\s*$")
"""The first line of a file that names its separator."""
JSON = re.compile(r"\s*\[?\s*\{\s*(\"|\})")
ENOUGH = 0.8
DATA = re.compile(
    r"""^[\s'"(]*[+\-\u2212]?[$€£¥]?\.?\d|^[+-]?inf$|^(true|false)$|
    ^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+\w+\s*\d|
    ^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[\s,.]+\d""",
    re.VERBOSE | re.IGNORECASE,
)
"""Beginning of a cell of data: a number, true or false, or a time."""


class Line(NamedTuple):
    """A row of cells, and the number of lines above it.

    Attributes:
        above: number of lines above the row.
        cells: its cells.
        damaged: whether a quote in the row is never closed, or is closed only after a
            line that is a row itself; or the line cannot be split at all.
    """

    above: int
    cells: list[str]
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a file of text.

    Attributes:
        names: names of the columns; `column_0`, `column_1` ... without a header, and
            `Unnamed: 0` where the header leaves a name out, as in pandas.
        above: number of lines above the first row.
        header: the cells of the first line of the header; empty without a header.
        more: the cells of further lines of the header.
        separator: the character between cells.
        comment: beginning of lines that are comments, or empty.
        notes: messages on the skipped lines.
        spanned: most lines of a cell in quotes.
    """

    names: tuple[str, ...]
    above: int
    header: tuple[str, ...]
    more: tuple[tuple[str, ...], ...]
    separator: str
    comment: str
    notes: tuple[str, ...]
    spanned: int = SPANNED


def see(path: str, options: TextOptions, like: Layout | None = None) -> Layout:
    """Find the layout of a file.

    Args:
        path: path of the file.
        options: the settings for its layout.
        like: layout of the files before it; a file without a header takes its names.

    Raises:
        ConfigError: if the separator is invalid, or the option `names` cannot be used.
        FeedError: if the file is empty.
    """
    lines = _lines(path, options.encoding)
    told = SAID.match(lines[0])
    if told:  # Excel writes this line for its own use
        lines[0] = "\n"
    separator = NAMED.get(options.separator, options.separator)
    separator = (
        separator or (told[1] if told else "") or (like.separator if like else "")
    )
    expect_separator(separator or ",")
    comment = options.comment or ("#" if lines[0].lstrip().startswith("#") else "")
    bare = lines
    if comment and not options.comment and not _has_header_below(lines, comment):
        bare = _uncommented(lines, comment)
    separator = separator or sniff(bare, comment)
    rows = parse(bare, separator, comment)
    rows = _trimmed([r for r in rows if r.above >= (options.skip or 0)])
    if not rows:
        raise NoRows(path, "expected rows, was none below the lines that are skipped")
    start = 0 if options.skip is not None else _start(rows, lines)
    made = _layout(rows, start, options, like, len(lines))
    notes = _notes(lines, rows[start].above, options, made.more)
    return replace(made, separator=separator, comment=comment, notes=notes)


def _lines(path: str, encoding: str) -> list[str]:
    """Give the first lines of a file.

    Raises:
        FeedError: if the file is empty, or its lines are JSON.
    """
    text = files.head(path, HEAD_LINES, encoding).decode(errors="replace")
    if not text.strip():
        raise NoRows(path, "expected rows, was an empty file")
    if JSON.match(text):
        hint = "feed.connector = 'jsonl' reads a record per line"
        raise FeedError(path, "expected rows of cells, was JSON", hint)
    return files.split(text)


def expect_separator(separator: str) -> None:
    """Refuse a separator that is not one usable character.

    Raises:
        ConfigError: naming the separator.
    """
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
        named = ", ".join(map(repr, NAMED))
        problem = f"expected one character or one of {named}, was {separator!r}"
        raise ConfigError("feed.options.separator", problem)


def parse(
    lines: Sequence[str], separator: str, comment: str, width: int = 0,
    spanned: int = SPANNED,
) -> list[Line]:  # fmt: skip
    """Split lines into rows of cells; skip blank lines and comments.

    Args:
        lines: the lines to split.
        separator: the character between cells.
        comment: beginning of lines that are comments, or empty.
        width: number of cells in a row; 0 if not known.
        spanned: most lines of a cell in quotes.
    """
    given = [files.spaced(one) for one in lines] if separator == " " else lines
    rows: list[Line] = []
    above = 0
    while above < len(given):
        if comment and given[above].lstrip().startswith(comment):
            above += 1
            continue
        cells, count = _row(given[above : above + spanned], separator, width)
        if not count:
            rows.append(Line(above, _torn(given[above], separator), damaged=True))
        elif len(cells) > 1 or any(c.strip() for c in cells):
            rows.append(Line(above, [c.strip() for c in cells]))
        above += count or 1
    return rows


def rows(lines: Sequence[str], layout: Layout) -> list[Line]:
    """Split lines of a file into rows of cells, by its layout."""
    width = len(layout.names)
    return parse(lines, layout.separator, layout.comment, width, layout.spanned)


def _row(lines: Sequence[str], separator: str, width: int) -> tuple[list[str], int]:
    """Give the row that begins with the first line, and the number of its lines.

    The number is 0 if the first line is damaged. A cell in quotes may contain line
    ends, but not rows.
    """
    reader = csv.reader(chain(lines, [""]), delimiter=separator)
    try:
        cells = next(reader)
    except csv.Error:
        return [], 0
    count = reader.line_num
    width = width or len(cells)
    if count > len(lines) or (count > 1 and len(cells) > width):
        return [], 0
    if count == 1:
        return cells, count
    first, *more = (_torn(line, separator) for line in lines[:count])
    within = any(len(one) >= width and _is_like(one, first) for one in more)
    return cells, 0 if within else count


def _is_like(cells: Sequence[str], row: Sequence[str]) -> bool:
    """Say whether cells hold data or are empty wherever those of a row hold data."""
    places = [i for i, cell in enumerate(row[: len(cells)]) if DATA.match(cell)]
    return bool(places) and all(_is_data([cells[i] or "-"]) for i in places)


def _torn(line: str, separator: str) -> list[str]:
    """Split a line into cells, ignoring all quotes."""
    return [cell.strip() for cell in line.replace('"', "").split(separator)]


def sniff(lines: Sequence[str], comment: str) -> str:
    """Find the separator: it splits most lines into the same number of cells."""
    best, separator = (0.0, 0.0), ","
    for candidate in (*SEPARATORS, " "):
        rows = [r.cells for r in parse(lines, candidate, comment)]
        if not rows or (candidate == " " and best > (0.0, 0.0)):
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if width > 1 and count * 2 > len(rows):
            cells = [c for r in rows if len(r) == width for c in r]
            data = sum(bool(DATA.match(c)) for c in cells) / len(cells)
            if (found := (count / len(rows), data)) > best:
                best, separator = found, candidate
    return separator


def _has_header_below(lines: Sequence[str], comment: str) -> bool:
    """Say whether the first line that is not a comment names columns."""
    for line in lines:
        if line.strip() and not line.lstrip().startswith(comment):
            cells = re.split("[\t;|,]", line)
            return not any(DATA.match(c.strip()) for c in cells)
    return False


def _uncommented(lines: Sequence[str], comment: str) -> list[str]:
    """Uncomment the last comment above the rows if it may name the columns."""
    stop = next(
        (i for i, line in enumerate(lines) if not line.lstrip().startswith(comment)),
        len(lines),
    )
    named = lines[stop - 1].lstrip()[len(comment) :].lstrip()
    splits = {len(re.split("[\t;|,]", line)) for line in lines[stop : stop + 3]}
    if len(re.split("[\t;|,]", named)) not in splits:
        return list(lines)
    return [*lines[: stop - 1], named, *lines[stop:]]


def _trimmed(rows: list[Line]) -> list[Line]:
    """Add an empty name to the header if most rows have one cell more."""
    if len(rows) < 2:
        return rows
    first, *rest = rows
    wide = [r for r in rest if len(r.cells) == len(first.cells) + 1]
    if len(wide) * 2 <= len(rest) or any(DATA.match(c) for c in first.cells):
        return rows
    if rest[0] is not wide[0] or _is_words(rest[0].cells):
        return rows  # the first line is a title, not a header
    # else the first column holds names of rows, which R writes without a column name
    ends = all(not r.cells[-1] for r in wide)
    cells = [*first.cells, ""] if ends else ["", *first.cells]
    return [Line(first.above, cells), *rest]


def _start(rows: Sequence[Line], lines: Sequence[str]) -> int:
    """Find the first row of the table, below a preamble; it may be the header."""
    width = Counter(len(r.cells) for r in rows).most_common(1)[0][0]
    first = next(i for i, r in enumerate(rows) if len(r.cells) == width)
    if rows[first].above > MOST_ABOVE or (first and not _is_words(rows[first].cells)):
        first = first if first and rows[first].above <= MOST_ABOVE else 0
    for i in range(first + 1, len(rows) - 1):
        above = rows[i].above
        if above > MOST_ABOVE:
            break
        blank = not lines[above - 1].strip()
        if blank and _is_words(rows[i].cells) and _is_data(rows[i + 1].cells):
            return i
    return first


def _is_words(cells: Sequence[str]) -> bool:
    """Say whether cells can name columns: all are words, and each occurs once."""
    return all(cells) and len(set(cells)) == len(cells) and not _is_data(cells)


def _is_data(cells: Sequence[str]) -> bool:
    return any(DATA.match(c) or c in MISSING for c in cells)


def _layout(
    rows: Sequence[Line], start: int, options: TextOptions, like: Layout | None,
    lines: int,
) -> Layout:  # fmt: skip
    """Tell the header from the rows; give the layout."""
    first, below = rows[start], rows[start + 1 :]
    width = len(first.cells)
    said = options.header
    named = _is_header(first.cells, below) if said is None else bool(said)
    count = 0
    if named and said is None:
        count = _further(below)
    elif named and not isinstance(said, bool) and said is not None:
        count = said - 1
    next_row = start + (1 + count if named else 0)
    above = rows[next_row].above if next_row < len(rows) else lines
    more = tuple(tuple(r.cells) for r in below[:count])
    presets.expect_use(options, width, named=named and like is None)
    if named:
        header = tuple(first.cells)
        every = tuple(cell or f"Unnamed: {i}" for i, cell in enumerate(header))
        return Layout(every, above, header, more, "", "", ())
    names = presets.names(options, width)
    if not names and like is not None and len(like.names) == width:
        names = like.names
    return Layout(names or tuple(f"column_{i}" for i in range(width)), above, (), (),
                  "", "", ())  # fmt: skip


def _is_header(cells: Sequence[str], below: Sequence[Line]) -> bool:
    """Say whether a line names the columns of the rows below it."""
    words = [
        i for i, c in enumerate(cells) if c and not DATA.match(c) and c not in MISSING
    ]
    if not words:
        return False
    for i in words:
        column = [r.cells[i] for r in below if i < len(r.cells) and r.cells[i]]
        data = sum(bool(DATA.match(c)) for c in column)
        if data * 2 > len(column) and cells[i] not in column[:1]:
            return True
    # the columns do not decide: a line without any data is the header
    there = [r.cells for r in below]
    return not there or not any(DATA.match(c) for c in cells)


def _further(below: Sequence[Line]) -> int:
    """Count further lines of the header: words where the rows have data."""
    if not any(_is_data(r.cells) for r in below):
        return 0
    count = 0
    for row in below[:MOST_HEADERS]:
        if _is_data(row.cells) or len(row.cells) != len(below[-1].cells):
            break
        count += 1
    return count


def _notes(
    lines: Sequence[str], above: int, options: TextOptions,
    more: Sequence[Sequence[str]],
) -> tuple[str, ...]:  # fmt: skip
    notes = []
    passed = [line for line in lines[:above] if line.strip()]
    if passed and options.skip is None:
        notes.append(
            f"passed over {above} lines above the header, first "
            f"{passed[0].strip()[:60]!r}; feed.options.skip says how many"
        )
    if more:
        notes.append(
            f"passed over {len(more)} more lines of the header, first "
            f"{','.join(more[0])[:60]!r}; feed.options.header says how many it has"
        )
    return tuple(notes)


def renamed(layout: Layout, wanted: Sequence[str]) -> Layout:
    """Use names from further lines of the header where the settings mention them.

    Args:
        layout: layout of a file.
        wanted: names that the settings mention.
    """
    names = list(layout.names)
    for name in wanted:
        for line in layout.more:
            if name not in names and line.count(name) == 1:
                names[line.index(name)] = name
    return named(layout, tuple(names))


def named(layout: Layout, names: tuple[str, ...]) -> Layout:
    """Replace the names of the columns."""
    return replace(layout, names=names)
