"""Turns the records of a kind into the data frame that a Parquet file holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sfm_stream.records import KINDS, MAY_BE_UNKNOWN

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from sfm_stream.sinks.gathering import Columns


def as_frame(
    kind: str,
    columns: Columns,
    tables: Mapping[str, tuple[str, ...]],
) -> pl.DataFrame:
    """Give a kind's columns as a frame, with texts in the place of codes.

    Args:
        kind: kind of the records.
        columns: columns by name.
        tables: texts of the codes, and names of `experts`.
    """
    import polars as pl

    found: list[pl.Series] = []
    for name, column in columns.items():
        table = tables.get(f"{kind}.{name}") or tables.get(name)
        if table is not None:
            found.append(_texts(name, column, table))
        elif name == "weights":
            found += _weights(column, tables["experts"])
        elif name in {"amplitude", "quantiles"}:
            found += _arrays(name, column)
        elif name == "covered":
            answers = pl.Series(name, [None, False, True], pl.Boolean)
            found.append(answers.gather(column.astype(np.int64) + 1))
        elif name in MAY_BE_UNKNOWN:
            found.append(pl.Series(name, column).fill_nan(None))
        else:
            found.append(pl.Series(name, column))
    return pl.DataFrame(found)


def nothing(
    kind: str, tables: Mapping[str, tuple[str, ...]], widths: Mapping[str, int]
) -> pl.DataFrame:
    """Give an empty frame with the columns of a kind.

    Args:
        kind: kind of the records.
        tables: as in `as_frame`.
        widths: numbers per row, for columns that hold several in a row.
    """
    columns: dict[str, NDArray[Any]] = {}
    for field in msgspec.structs.fields(KINDS[kind]):
        name, is_coded = field.name, field.type in (int, str)
        shape = (0, widths[name]) if name in widths else (0,)
        columns[name] = np.zeros(shape, np.int64 if is_coded else np.float64)
    if "amplitude" in columns:
        columns["amplitude"] = columns["amplitude"].astype(np.float32)
    return as_frame(kind, columns, tables)


def _texts(name: str, codes: NDArray[Any], table: tuple[str, ...]) -> pl.Series:
    import polars as pl

    # streams change: an Enum would make the schemas of two parts differ
    kind = pl.String() if name == "stream" else pl.Enum(table)
    return pl.Series(name, table, kind).gather(codes)


def _weights(column: NDArray[Any], experts: tuple[str, ...]) -> Iterator[pl.Series]:
    import polars as pl

    for expert, weights in zip(experts, column.T, strict=True):
        flat = np.ascontiguousarray(weights)
        yield pl.Series(f"weight_{expert}", flat).fill_nan(None)


def _arrays(name: str, column: NDArray[Any]) -> Iterator[pl.Series]:
    """Yield a column of arrays, null where the first number is NaN."""
    import polars as pl

    if column.shape[1]:
        rows = pl.Series(name, np.ascontiguousarray(column))
        stated = pl.lit(pl.Series(~np.isnan(column[:, 0])))
        yield rows.to_frame().select(pl.when(stated).then(name))[name]
