"""Read numbers from cells of text: signs, separators, words for missing values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sfm_stream.events import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISSING = (
    "NA", "N/A", "n/a", "na", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaN", "nan", "-nan",
    "-NaN", "NAN", "null", "NULL", "Null", "None", "none", "NONE", "nil", "-", "--",
    "---", ".", "..", "?", "*", "unavailable", "unknown", "missing", "\\N",
)  # fmt: skip
"""Words for a missing value, unless a setting names others."""
TRUTHS = {"true": 1.0, "false": 0.0}
SCALES = {"%": 1e-2, "‰": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
SIGNED, UNSIGNED = 2.0**63, 2.0**64
"""The limits of signed and unsigned 64-bit integers as floats: they mean missing."""
MOSTLY_TEXT = 0.5
"""A column is text if at least this share of its cells are not numbers."""
SPACES = r"[ \x{a0}\x{202f}]"
MARKS = ((",", "."), (".", ","), (",", " "), (".", " "), (".", "'"))
"""Decimal and thousands separators that are tried besides the plain notation."""


@dataclass(frozen=True, slots=True)
class Notation:
    """The notation of numbers in a table.

    Attributes:
        decimal: decimal separator.
        thousands: separator of thousands, or empty.
        missing: words for a missing value.
        codes: those of these words that are numbers.
    """

    decimal: str = "."
    thousands: str = ""
    missing: tuple[str, ...] = MISSING
    codes: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = [_number(word) for word in self.missing]
        told = tuple(code for code in codes if code is not None)
        object.__setattr__(self, "codes", told)

    @property
    def plain(self) -> bool:
        """Whether Polars itself reads numbers in this notation."""
        return self.decimal == "." and not self.thousands

    @property
    def pattern(self) -> str:
        """The pattern of a number: sign, digits, fraction, exponent, scale."""
        whole = r"\d*"
        if self.thousands:
            mark = SPACES if self.thousands == " " else re.escape(self.thousands)
            whole = rf"\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}|\d*"
        fraction = rf"(?:{re.escape(self.decimal)}(\d*))?"
        return rf"^([+-]?)({whole}){fraction}((?:[eE][+-]?\d+)?)\s?([%‰kKMBT]?)$"


def read(cells: pl.Series, notation: Notation) -> tuple[Floats, pl.Series]:
    """Turn cells of text into numbers.

    Args:
        cells: [T], text.
        notation: notation of the numbers.

    Returns:
        float64 [T], NaN where a cell is not a number; and a mask of the cells that are
        neither numbers nor empty nor a word for a missing value.
    """
    bare = cells.str.strip_chars()
    found = bare.cast(pl.Float64, strict=False)
    if not notation.plain:
        found = _written(bare, notation)
    elif found.has_nulls():
        rest = found.is_null() & (bare.fill_null("") != "")
        if rest.any():
            found = _placed(found, rest, _written(bare.filter(rest), notation))
    odd = found.is_null() & (bare.fill_null("") != "")
    if odd.any():
        odd &= ~bare.is_in(list(notation.missing))
    numbers = found.fill_null(np.nan).to_numpy()
    return without(numbers, notation), odd


def without(numbers: Floats, notation: Notation) -> Floats:
    """Replace numbers that are codes for a missing value by NaN."""
    if not notation.codes:
        return numbers
    return np.where(np.isin(numbers, notation.codes), np.nan, numbers)


def scaled(numbers: Floats, scale: float) -> Floats:
    """Multiply numbers by a scale; divide instead where that is exact, as for 1e-9."""
    parts = round(1 / scale)
    return numbers / parts if parts and isclose(parts * scale, 1) else numbers * scale


def is_sentinel(numbers: Floats) -> NDArray[np.bool_]:
    """Find the numbers that are limits of 64-bit integers: their value is missing."""
    size = np.abs(numbers)
    found: NDArray[np.bool_] = (size == SIGNED) | (size == UNSIGNED)
    return found


def share_odd(cells: pl.Series, notation: Notation) -> float | None:
    """Give the share of filled cells that are not numbers; None if all are empty."""
    if notation.plain and not notation.codes and _is_bare(cells):
        return 0.0
    there = filled(cells, notation)
    return int(read(there, notation)[1].sum()) / len(there) if len(there) else None


def filled(cells: pl.Series, notation: Notation) -> pl.Series:
    """Give the cells that are neither empty nor a word for a missing value."""
    bare = cells.str.strip_chars()
    return bare.filter((bare.fill_null("") != "") & ~_is_word(bare, notation))


def is_plain(cells: pl.Series) -> bool:
    """Say whether some cells are filled, all with numbers or all with true or false."""
    if _is_bare(cells):
        return True
    bare = cells.str.strip_chars()
    filled = bare.filter(bare.fill_null("") != "")
    if not len(filled):
        return False
    found = filled.cast(pl.Float64, strict=False)
    truths = filled.str.to_lowercase().is_in(list(TRUTHS))
    return bool(found.is_not_null().all()) or bool(truths.all())


def _is_bare(cells: pl.Series) -> bool:
    """Say whether all cells but nulls are numbers, and there are some; a fast check."""
    empty = cells.null_count()
    found = cells.cast(pl.Float64, strict=False)
    return empty < len(cells) and found.null_count() == empty


def is_numeric(cells: pl.Series, notation: Notation) -> bool:
    """Say whether more than half of the filled cells are numbers."""
    share = share_odd(cells, notation)
    return share is not None and share < MOSTLY_TEXT


def recognise(
    columns: Mapping[str, pl.Series], missing: tuple[str, ...]
) -> tuple[list[Notation], dict[str, pl.Series]]:
    """Recognise the notation of the numbers in a table.

    Args:
        columns: first rows of the columns of text.
        missing: words for a missing value.

    Returns:
        The notations that read the most columns, the simplest first; several only if
        their readings differ. And the columns that the first notation reads and the
        plain notation does not.
    """
    plain = Notation(missing=missing)
    doubtful = {n: c for n, c in columns.items() if not is_numeric(c, plain)}
    if not any(
        c.str.contains(r"\d[.,' \x{a0}\x{202f}]\d").any() for c in doubtful.values()
    ):
        return [plain], {}
    candidates = [Notation(d, t, missing) for d, t in MARKS]
    candidates = [plain, *(c for c in candidates if _readable(doubtful, c))]
    if len(candidates) == 1:
        return [plain], {}
    counts = [_readable(columns, c) for c in candidates]
    most = max(counts)
    best = [c for c, n in zip(candidates, counts, strict=True) if n == most]
    if best[0].plain:
        return [plain], {}
    known = {n: c for n, c in doubtful.items() if is_numeric(c, best[0])}
    differing = [b for b in best[1:] if _differ(known, best[0], b)]
    return [best[0], *differing], known


def _readable(columns: Mapping[str, pl.Series], notation: Notation) -> int:
    return sum(is_numeric(cells, notation) for cells in columns.values())


def _differ(columns: Mapping[str, pl.Series], one: Notation, two: Notation) -> bool:
    return any(
        not np.array_equal(read(c, one)[0], read(c, two)[0], equal_nan=True)
        for c in columns.values()
    )


def _is_word(cells: pl.Series, notation: Notation) -> pl.Series:
    return cells.is_in(list(notation.missing)).fill_null(value=False)


def _written(cells: pl.Series, notation: Notation) -> pl.Series:
    """Read numbers with currency signs, separators, brackets and scales; else null."""
    text = (
        cells.str.replace_all("\u2212", "-", literal=True)
        .str.replace(r"^\((.*)\)$", "-$1")
        .str.replace_all(r"[$€£¥]", "")
        .str.strip_chars()
    )
    parts = text.str.extract_groups(notation.pattern).struct.unnest()
    sign, whole, fraction, exponent, scale = (parts[:, i] for i in range(5))
    if notation.thousands:
        whole = whole.str.replace_all(r"[^\d]", "")
    digits = sign + whole + "." + fraction.fill_null("") + exponent
    known = digits.cast(pl.Float64, strict=False)
    scales = scale.replace_strict(SCALES, default=1.0, return_dtype=pl.Float64)
    truths = cells.str.to_lowercase().replace_strict(
        TRUTHS, default=None, return_dtype=pl.Float64
    )
    endless = cells.str.to_lowercase().str.extract(r"^([+-]?inf(?:inity)?)$")
    said = endless.cast(pl.Float64, strict=False)
    found = (known * scales).zip_with(known.is_not_null(), truths)
    return found.zip_with(found.is_not_null(), said)


def _placed(found: pl.Series, at: pl.Series, values: pl.Series) -> pl.Series:
    return found.scatter(at.arg_true(), values)


def _number(word: str) -> float | None:
    try:
        return float(word) if any(c.isdigit() for c in word) else None
    except ValueError:
        return None
