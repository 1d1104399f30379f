"""Files of JSON with a record per line, as blocks of ticks.

A nested value has a name with dots, such as `values.celsius` or `bids.0.1`. Cells are
text, as in CSV: so a number written as text is read as a number, and a word for a
missing value as a missing value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from connectors.files import encodings, text
from connectors.files.columns import plan
from connectors.files.columns.pieces import ZEROS, Lost, Piece, rows_of
from connectors.files.columns.seen import Seen
from connectors.files.options import LineOptions
from connectors.files.table import LineTable, Texts
from connectors.options import read
from sfm_stream.errors import NoRows

if TYPE_CHECKING:
    from sfm_stream.config import Config

SAMPLE_LINES = 1000
NO_RECORD = "a line is no record of JSON"
NO_FIELD = "a record with a key that is no field; stream.fields takes it"
SHOWN = 60
DOT = re.compile(r"\.")
ARRAY = "it holds one array: `jq -c '.[]' FILE` makes a line of each record"
COLUMNS = (
    "`jq -c '[.time, .value] | transpose[] | {time: .[0], value: .[1]}' FILE` "
    "makes a line of each row"
)
LONG = 31
"""In a file of one record, a list longer than this is taken for a whole column."""
BETWEEN = (b"", b"[", b"]")
"""Lines without a record, which are skipped and not counted."""


class Jsonl(LineTable):
    """Ticks from files of JSON lines: plain, gzip, bzip2, xz, zstandard or zip.

    Args:
        config: feed and stream are used.

    Raises:
        ConfigError: if no path is given.
        FeedError: if a file is missing, holds no record, or lacks a name.
    """

    options = LineOptions
    connector = "jsonl"

    def __init__(self, config: Config) -> None:
        options = read(config.feed, LineOptions)
        encodings.expect_encoding(options.encoding)
        self._encoding = options.encoding
        paths = text.expand(config.feed.path)
        head = text.head(paths[0], SAMPLE_LINES, self._encoding)
        rows, _ = records(head.splitlines()[:SAMPLE_LINES])
        if not rows:
            hint = ARRAY if head.lstrip().startswith(b"[") else ""
            raise NoRows(paths[0], "expected records of JSON, was none", hint)
        _expect_records(paths[0], rows)
        wanted = config.stream.fields
        names, notes = (_names(rows), ()) if wanted else _shape(rows)
        names += tuple(self._later(paths, _missing(config, options, names)))
        seen = Seen(paths[0], names, {c.name: c for c in _frame(rows, names)}, notes)
        notation = plan.notation(seen, options, config)
        made = plan.choose(config, options, seen, notation)
        super().__init__(made, paths, options.order)
        # if the settings name the fields, other keys are not counted
        self._known = frozenset() if wanted else frozenset(names)

    def total(self) -> int | None:
        """Give None: the number of lines is not known before reading."""
        return None

    def _later(self, paths: Sequence[str], wanted: Collection[str]) -> Iterator[str]:
        """Find which of the wanted names occur after the first records."""
        missing = set(wanted)
        for path in paths if missing else ():
            for lines, _ in self._texts(path):
                rows, _ = records(text.without_zeros(lines)[0].splitlines())
                found = missing.intersection(chain.from_iterable(rows))
                yield from sorted(found)
                missing -= found
                if not missing:
                    return

    def _texts(self, path: str) -> Texts:
        return text.texts(path, self._encoding)

    def _read(self, path: str, texts: Texts) -> Iterator[Piece]:
        row = 0
        for lines, _ in texts:
            bare, zeros = text.without_zeros(lines)
            rows, lost = records(bare.splitlines())
            if zeros:
                lost.append(Lost(len(rows), ZEROS, f"{zeros:,} bytes", is_data=False))
            frame = _frame(rows, self._plan.read(self.columns))
            piece = Piece(path, row, frame, lost)
            self._count_keys(rows, piece)
            if rows or lost:
                yield piece
            row += rows_of(frame, lost)

    def _count_keys(self, rows: Sequence[dict[str, str]], piece: Piece) -> None:
        """Count the records with keys that none of the first records has."""
        known = self._known
        odd = [i for i, row in enumerate(rows) if known and not row.keys() <= known]
        if odd:
            key = next(name for name in rows[odd[0]] if name not in known)
            place = f"{piece.source} row {piece.number(odd[0])}"
            self.tally.add(NO_FIELD, len(odd), f"{place}: {key!r}")


def _expect_records(path: str, rows: Sequence[dict[str, str]]) -> None:
    """Refuse a file whose only record holds whole columns as lists.

    Raises:
        NoRows: naming a list.
    """
    longest = next((n for n in rows[0] if n.endswith(f".{LONG}")), "")
    if len(rows) == 1 and longest:
        name = longest.removesuffix(f".{LONG}")
        problem = f"expected a record for each row, was one with {name!r} as a list"
        raise NoRows(path, problem, COLUMNS)


def _missing(config: Config, options: LineOptions, names: Collection[str]) -> list[str]:
    """Give the columns that the settings name as fields but that do not exist."""
    own = [name for name in config.stream.fields if name not in options.derive]
    named = [config.feed.columns.get(name, name) for name in own]
    return [name for name in named if name not in names]


def _names(rows: Sequence[dict[str, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(rows)))


def _shape(rows: Sequence[dict[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the names of the cells in the first records, and notes on those left out.

    If a key holds a value in some records, and a list or a record in others, the
    majority decides.
    """
    names = dict.fromkeys(_names(rows))
    above = {name[: dot.start()] for name in names for dot in DOT.finditer(name)}
    notes = []
    for name in [n for n in names if n in above]:
        deeper = {n for n in names if n.startswith(f"{name}.")}
        values = [i for i, row in enumerate(rows) if name in row]
        nested = [i for i, row in enumerate(rows) if not deeper.isdisjoint(row)]
        if name not in names or {*values} & {*nested}:
            continue  # left out, or a key that has a dot itself
        few, what, odd = nested, "a list or a record", deeper
        if len(values) < len(nested):
            few, what, odd = values, "a value", {name}
        names = dict.fromkeys(n for n in names if n not in odd)
        notes.append(
            f"left out: {name!r} where it is {what}, in {len(few):,} of the first "
            f"{len(rows):,} records, first in record {few[0] + 1}"
        )
    return tuple(names), tuple(notes)


def records(lines: Sequence[bytes]) -> tuple[list[dict[str, str]], list[Lost]]:
    """Read lines; give the records and the lines that are not records."""
    rows: list[dict[str, str]] = []
    lost = []
    for line in lines:
        bare = line.strip().removesuffix(b",")  # as in an array with a line for each
        if bare in BETWEEN:
            continue
        record = _record(bare)
        if record is not None:
            rows.append(record)
        else:
            shown = line[:SHOWN].decode(errors="replace")
            lost.append(Lost(len(rows), NO_RECORD, repr(shown)))
    return rows, lost


def _record(line: bytes) -> dict[str, str] | None:
    """Give the cells of a line.

    None if the line is not a JSON record, is nested too deeply, or has a number of too
    many digits.
    """
    try:
        record = _decoded(line)
        return dict(_cells(record, "")) if isinstance(record, dict) else None
    except (ValueError, RecursionError):
        return None


def _decoded(line: bytes) -> Any:  # noqa: ANN401 whatever JSON holds
    """Decode a line of JSON, also with `NaN` and `Infinity`."""
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return json.loads(line)


def _cells(value: object, name: str) -> Iterator[tuple[str, str]]:
    """Give the values of a record as cells of text, nested ones by names with dots."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in inner:
            yield from _cells(one, f"{name}.{key}" if name else str(key))
    elif value is not None:
        yield name, str(value)


def _frame(rows: Sequence[dict[str, str]], names: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        [pl.Series(n, [row.get(n) for row in rows], dtype=pl.String) for n in names]
    )
