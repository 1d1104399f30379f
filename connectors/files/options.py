"""The options of files of rows."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sfm_stream.settings.sections import Section, doc


class TableOptions(Section, frozen=True):
    """Options of any file of rows."""

    derive: Annotated[
        dict[str, str],
        doc("field name = expression of a row's numbers, e.g. `ln(1 + qty)`, in SQL; "
             "a missing cell is NULL"),
    ] = {}  # noqa: RUF012 msgspec copies it # fmt: skip
    rows: Annotated[int, Meta(ge=0), doc("most rows to read; 0: all")] = 0
    time_format: Annotated[
        str,
        doc("format of times for strptime, e.g. `%d/%m/%Y %H:%M`; empty: detected"),
    ] = ""
    zone: Annotated[
        str,
        doc("IANA zone of times that name none, e.g. `Europe/Berlin`; empty: UTC"),
    ] = ""
    order: Annotated[
        Literal["oldest-first", "newest-first"],
        doc("order of the rows in a file; `newest-first` holds a file in memory"),
    ] = "oldest-first"
    missing: Annotated[
        tuple[str, ...] | None,
        doc("words, or numbers, for a missing value; unset: `NA`, `null`, `-` ..."),
    ] = None
    scale: Annotated[
        dict[str, Annotated[float, Meta(gt=0)]],
        doc("column = value of one unit in a column of whole numbers, e.g. 1e-9"),
    ] = {}  # noqa: RUF012 msgspec copies it
    zero_price: Annotated[
        Literal["missing", "value"], doc("meaning of a bid or ask of zero")
    ] = "missing"


class LineOptions(TableOptions, frozen=True):
    """Options of files of lines."""

    encoding: Annotated[
        str, doc("e.g. `utf-8`, `utf-16`, `latin-1`; empty: detected")
    ] = ""


class TextOptions(LineOptions, frozen=True):
    """Options of files of text."""

    layout: Annotated[
        Literal[
            "", "binance-klines", "binance-aggtrades", "tardis-quotes", "tardis-trades",
            "databento-mbp-1", "mt4", "mt5", "histdata",
        ],
        doc("source of the export: sets the keys below, and `feed.time` and "
             "`feed.columns`, where they are unset"),
    ] = ""  # fmt: skip
    header: Annotated[
        bool | int | None,
        doc("whether the first line names the columns, or how many lines do; "
             "unset: detected"),
    ] = None  # fmt: skip
    names: Annotated[
        tuple[str, ...], doc("names of the columns of a file without a header")
    ] = ()
    separator: Annotated[
        str,
        doc("separator of cells: a character, `tab` or `space`; empty: detected"),
    ] = ""
    skip: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        doc("lines above the header; unset: detected"),
    ] = None
    comment: Annotated[
        str, doc("beginning of comment lines, e.g. `#`; empty: detected on top")
    ] = ""
    decimal: Annotated[
        Literal["", ".", ","], doc("decimal separator; empty: detected")
    ] = ""
    thousands: Annotated[
        Literal["", ",", ".", " ", "'"],
        doc("thousands separator; empty: detected"),
    ] = ""
