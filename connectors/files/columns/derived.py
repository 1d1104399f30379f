"""Fields derived from the numbers of their own row, by expressions in Polars' SQL.

An expression over other rows could look ahead, and would depend on how a file is cut
into pieces. So only known kinds of expressions are allowed; all others are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from sfm_stream.errors import ConfigError, FeedError
from sfm_stream.events import Floats

AT = "feed.options.derive"
PARTS: Mapping[str, Sequence[str]] = {
    "Column": (), "Literal": (), "BinaryExpr": ("left", "right"), "Cast": ("expr",),
    "Ternary": ("predicate", "truthy", "falsy"),
}  # fmt: skip
"""Kinds of expressions that stay within a row, each with the keys of its parts."""
FUNCTIONS = frozenset({
    "Abs", "Atan2", "Boolean.IsIn", "Boolean.IsNotNull", "Boolean.IsNull",
    "Boolean.Not", "Ceil", "Coalesce", "Exp", "Floor", "Log", "Log1p", "MaxHorizontal",
    "MinHorizontal", "Pow", "Round", "Sign", "Sql.Binary", "Sql.IsIn", "Sql.Round",
    "Sql.ToFloat", "Trigonometry", "Truncate",
})  # fmt: skip
"""Functions, or families of functions, that stay within a row, by Polars' names."""
OF_A_NUMBER = (pl.Boolean, pl.Null)
"""Types other than numbers that can be read as a number."""


def expression(name: str, text: str) -> pl.Expr:
    """Parse the expression that derives a field from columns of numbers.

    Raises:
        ConfigError: if the text is not an expression, or the expression looks at other
            rows or does not give a number.
    """
    at, was = f"{AT}.{name}", f"was {text!r}"
    try:
        read = pl.sql_expr(text)
        _expect_own_row(read, at, was)
        empty = pl.DataFrame(schema=dict.fromkeys(read.meta.root_names(), pl.Float64()))
        found = empty.select(read.alias(name)).to_series()
    except pl.exceptions.PolarsError as e:
        raise ConfigError(at, f"expected an expression, {was}", _line(e)) from e
    if len(found) > 1 or not (found.dtype.is_numeric() or found.dtype in OF_A_NUMBER):
        problem = f"expected an expression that gives a number, {was}"
        raise ConfigError(at, problem, f"it gives {found.dtype}")
    return read.alias(name)


def values(columns: Mapping[str, Floats], derived: pl.Expr, source: str) -> Floats:
    """Evaluate an expression for rows; a NULL result becomes NaN.

    A missing cell, NaN in the columns, is NULL in the expression, as in SQL.

    Raises:
        FeedError: if the expression cannot be evaluated.
    """
    try:
        found = pl.DataFrame(dict(columns)).fill_nan(None).select(derived).to_series()
    except pl.exceptions.PolarsError as e:
        name = derived.meta.output_name()
        problem = f"{AT}.{name} cannot be carried out: {_line(e)}"
        hint = "try_cast instead of cast gives a missing value"
        raise FeedError(source, problem, hint) from e
    return found.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _expect_own_row(read: pl.Expr, at: str, was: str) -> None:
    """Refuse an expression that may look at other rows."""
    tree = json.loads(read.meta.serialize(format="json"))
    if strange := next(_strange(tree), ""):
        problem = f"expected an expression of one row's numbers, {was}"
        known = "arithmetic, comparisons, CASE and functions such as ln or greatest"
        hint = f"{known} are known to stay within a row, {strange} is not"
        raise ConfigError(at, problem, hint)


def _strange(node: Any) -> Iterator[str]:  # noqa: ANN401 JSON of any kind
    """Name the parts of an expression that are not known to stay within a row."""
    kind, inner = _split(node)
    if kind == "Function":
        yield from _strange_function(inner)
    elif kind in PARTS:
        for part in PARTS[kind]:
            yield from _strange(inner[part])
    else:
        yield _split(inner)[0] if kind == "Agg" else kind


def _strange_function(node: Mapping[str, Any]) -> Iterator[str]:
    family, inner = _split(node["function"])
    name = f"{family}.{_split(inner)[0]}" if inner else family
    if not {family, name} & FUNCTIONS:
        yield name
    for one in node["input"]:
        yield from _strange(one)


def _split(node: Any) -> tuple[str, Any]:  # noqa: ANN401 JSON of any kind
    """Split a node into its kind and its content, None if it has none."""
    if isinstance(node, str):
        return node, None
    (kind, inner), *_ = node.items()
    return kind, inner


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
