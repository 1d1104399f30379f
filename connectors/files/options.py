"""The options of files of rows."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sfm_stream.settings.sections import Section


def _doc(text: str) -> Meta:
    return Meta(description=text)


class TableOptions(Section, frozen=True):
    """Options of any file of rows."""

    derive: Annotated[
        dict[str, str],
        _doc("field name = expression of a row's numbers, e.g. `ln(1 + qty)`, in SQL; "
             "a missing cell is NULL"),
    ] = {}  # noqa: RUF012 msgspec copies it # fmt: skip
    rows: Annotated[int, Meta(ge=0), _doc("most rows to read; 0: all")] = 0
    time_format: Annotated[
        str,
        _doc("format of times for strptime, e.g. `%d/%m/%Y %H:%M`; empty: detected"),
    ] = ""
    zone: Annotated[
        str,
        _doc("IANA zone of times that name none, e.g. `Europe/Berlin`; empty: UTC"),
    ] = ""
    order: Annotated[
        Literal["oldest-first", "newest-first"],
        _doc("order of the rows in a file; `newest-first` holds a file in memory"),
    ] = "oldest-first"
    missing: Annotated[
        tuple[str, ...] | None,
        _doc("words, or numbers, for a missing value; unset: `NA`, `null`, `-` ..."),
    ] = None
    scale: Annotated[
        dict[str, Annotated[float, Meta(gt=0)]],
        _doc("column = value of one unit in a column of whole numbers, e.g. 1e-9"),
    ] = {}  # noqa: RUF012 msgspec copies it
    zero_price: Annotated[
        Literal["missing", "value"], _doc("meaning of a bid or ask of zero")
    ] = "missing"


class LineOptions(TableOptions, frozen=True):
    """Options of files of JSON, a record per line."""

    encoding: Annotated[
        str, _doc("e.g. `utf-8`, `utf-16`, `latin-1`; empty: detected")
    ] = ""


class TextOptions(TableOptions, frozen=True):
    """Options of files of text."""

    layout: Annotated[
        Literal[
            "", "binance-klines", "binance-aggtrades", "tardis-quotes", "tardis-trades",
            "databento-mbp-1", "mt4", "mt5", "histdata",
        ],
        _doc("source of the export: sets the keys below, and `feed.time` and "
             "`feed.columns`, where they are unset"),
    ] = ""  # fmt: skip
    header: Annotated[
        bool | int | None,
        _doc("whether the first line names the columns, or how many lines do; "
             "unset: detected"),
    ] = None  # fmt: skip
    names: Annotated[
        tuple[str, ...], _doc("names of the columns of a file without a header")
    ] = ()
    separator: Annotated[
        str,
        _doc("separator of cells: a character, `tab` or `space`; empty: detected"),
    ] = ""
    skip: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _doc("lines above the header; unset: detected"),
    ] = None
    comment: Annotated[
        str, _doc("beginning of comment lines, e.g. `#`; empty: detected on top")
    ] = ""
    encoding: Annotated[
        str, _doc("e.g. `utf-8`, `utf-16`, `latin-1`; empty: detected")
    ] = ""
    decimal: Annotated[
        Literal["", ".", ","], _doc("decimal separator; empty: detected")
    ] = ""
    thousands: Annotated[
        Literal["", ",", ".", " ", "'"],
        _doc("thousands separator; empty: detected"),
    ] = ""
