"""How a file of text is laid out, seen by its first lines: separator, header, preamble.

What is passed over above the rows is said in a note, with the key that says otherwise.
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
"""Lines over which a cell in quotes may go; a quote open for longer is damage."""
SEPARATORS = "\t;|,"
NAMED = {"tab": "\t", "\\t": "\t", "space": " "}
"""How separators are written that are hard to write in a setting."""
HEAD_LINES = 100
MOST_ABOVE = 60
"""Lines in which a preamble must end."""
MOST_HEADERS = 4
SAID = re.compile(r"(?i)\"?sep=(.)\"?\s*$")
"""The line in which a file says what stands between its cells."""
JSON = re.compile(r"\s*\[?\s*\{\s*(\"|\})")
ENOUGH = 0.8
DATA = re.compile(
    r"""^[\s'"(]*[+\-\u2212]?[$€£¥]?\.?\d|^[+-]?inf$|^(true|false)$|
    ^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+\w+\s*\d|
    ^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[\s,.]+\d""",
    re.VERBOSE | re.IGNORECASE,
)
"""How a cell begins that is a number, a truth or a time."""


class Line(NamedTuple):
    """A row of cells, and the number of lines above it.

    Attributes:
        above: lines above it.
        cells: its cells.
        damaged: whether a quote is open in it that nothing closes, or that a line
            closes which is a row itself; or it is no line of cells at all.
    """

    above: int
    cells: list[str]
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is laid out.

    Attributes:
        names: its columns; `column_0`, `column_1` ... where no line names them, and
            `Unnamed: 0` where the line that does leaves one out, as in pandas.
        above: lines above the first row.
        header: the cells of the line that names the columns; none without one.
        more: cells of further lines of the header.
        separator: what stands between cells.
        comment: how lines begin that are no rows, or empty.
        notes: what was passed over, in words.
        spanned: lines over which a cell in quotes may go.
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
    """See how a file is laid out.

    Args:
        path: of the file.
        options: what is said about it.
        like: how the files before it are, whose names it takes where it has none.

    Raises:
        ConfigError: if the separator is none, or names would name nothing.
        FeedError: if the file is empty.
    """
    lines = _lines(path, options.encoding)
    told = SAID.match(lines[0])
    if told:  # as Excel writes it, for itself
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
        FeedError: if there is none, or they are JSON.
    """
    text = files.head(path, HEAD_LINES, encoding).decode(errors="replace")
    if not text.strip():
        raise NoRows(path, "expected rows, was an empty file")
    if JSON.match(text):
        hint = "feed.connector = 'jsonl' reads a record per line"
        raise FeedError(path, "expected rows of cells, was JSON", hint)
    return files.split(text)


def expect_separator(separator: str) -> None:
    """Refuse what cannot stand between cells.

    Raises:
        ConfigError: naming it.
    """
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
        named = ", ".join(map(repr, NAMED))
        problem = f"expected one character or one of {named}, was {separator!r}"
        raise ConfigError("feed.options.separator", problem)


def parse(
    lines: Sequence[str], separator: str, comment: str, width: int = 0,
    spanned: int = SPANNED,
) -> list[Line]:  # fmt: skip
    """Split lines into rows of cells; blank ones and comments are none.

    Args:
        lines: to be split.
        separator: what stands between cells.
        comment: how lines begin that are no rows, or empty.
        width: cells of a row, if they are known.
        spanned: lines over which a cell in quotes may go.
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
    """Give the row that begins with the first of some lines, and how many it takes.

    None if that line is damaged. A cell in quotes may hold lines, but not rows.
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
    """Say whether cells hold data, or nothing, where those of a row hold data."""
    places = [i for i, cell in enumerate(row[: len(cells)]) if DATA.match(cell)]
    return bool(places) and all(_is_data([cells[i] or "-"]) for i in places)


def _torn(line: str, separator: str) -> list[str]:
    """Give the cells of a line as if there were no quotes."""
    return [cell.strip() for cell in line.replace('"', "").split(separator)]


def sniff(lines: Sequence[str], comment: str) -> str:
    """Find what stands between the cells: what splits most lines into as many."""
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
    """Say whether the first line that is no comment names columns."""
    for line in lines:
        if line.strip() and not line.lstrip().startswith(comment):
            cells = re.split("[\t;|,]", line)
            return not any(DATA.match(c.strip()) for c in cells)
    return False


def _uncommented(lines: Sequence[str], comment: str) -> list[str]:
    """Take the mark off the last comment on top: it names the columns."""
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
    """Make rows as wide as their header, where each ends in a separator."""
    if len(rows) < 2:
        return rows
    first, *rest = rows
    wide = [r for r in rest if len(r.cells) == len(first.cells) + 1]
    if len(wide) * 2 <= len(rest) or any(DATA.match(c) for c in first.cells):
        return rows
    if rest[0] is not wide[0] or _is_words(rest[0].cells):
        return rows  # what stands on top is no header but a title
    # names of rows, as R writes them, have no name themselves
    ends = all(not r.cells[-1] for r in wide)
    cells = [*first.cells, ""] if ends else ["", *first.cells]
    return [Line(first.above, cells), *rest]


def _start(rows: Sequence[Line], lines: Sequence[str]) -> int:
    """Find the row with which the table begins, below a preamble."""
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
    """Say whether cells can name columns: words, each once."""
    return all(cells) and len(set(cells)) == len(cells) and not _is_data(cells)


def _is_data(cells: Sequence[str]) -> bool:
    return any(DATA.match(c) or c in MISSING for c in cells)


def _layout(
    rows: Sequence[Line], start: int, options: TextOptions, like: Layout | None,
    lines: int,
) -> Layout:  # fmt: skip
    """Tell header from rows."""
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
    # columns of words alone tell nothing; numbers in the line itself do
    there = [r.cells for r in below]
    return not there or not any(DATA.match(c) for c in cells)


def _further(below: Sequence[Line]) -> int:
    """Count the lines below the header that name too: words where rows have data."""
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
    """Give columns the names that a further line of the header has for them.

    Args:
        layout: of a file.
        wanted: names the settings speak of.
    """
    names = list(layout.names)
    for name in wanted:
        for line in layout.more:
            if name not in names and line.count(name) == 1:
                names[line.index(name)] = name
    return named(layout, tuple(names))


def named(layout: Layout, names: tuple[str, ...]) -> Layout:
    """Give the columns of a file other names."""
    return replace(layout, names=names)
