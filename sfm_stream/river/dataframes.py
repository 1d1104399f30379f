"""Converts data frames of any library to columns of numbers, and numbers to series."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.stable.v2.typing import IntoDataFrame, IntoSeries
from numpy.typing import NDArray

from sfm_stream.errors import FeatureError, ShapeError
from sfm_stream.river.learner import Floats
from sfm_stream.river.rows import CALENDAR, calendar, number

Column: TypeAlias = IntoSeries | IntoDataFrame | Sequence[Any] | NDArray[Any]


def columns(frame: IntoDataFrame) -> tuple[list[Hashable], Floats]:
    """Give the names of a frame's columns, and their numbers [T, N].

    A column of dates becomes the six columns of `CALENDAR`.

    Raises:
        FeatureError: if a column holds neither numbers nor dates.
    """
    table = nw.from_native(frame, eager_only=True)
    names: list[Hashable] = []
    parts = [np.zeros((len(table), 0))]
    for name in table.columns:
        column = table.get_column(name)
        if column.dtype in (nw.Date, nw.Datetime):
            names += [(name, part) for part in CALENDAR]
            parts.append(np.array([calendar(moment) for moment in column.to_list()]))
        else:
            names.append(name)
            parts.append(_numbers(name, column)[:, None])
    return names, np.concatenate(parts, axis=1)


def column(values: Column, name: str, count: int) -> Floats:
    """Give the numbers [T] of a series, an array, a list, or a frame of one column.

    Args:
        values: the column, from any library.
        name: of the column, for the error message.
        count: the expected number of values, T.

    Raises:
        FeatureError: if a value is not a number.
        ShapeError: if the number of values is not T, or there are several columns.
    """
    found = _plain_column(values, name)
    if found.shape != (count,):
        raise ShapeError(name, f"({count},)", str(found.shape))
    return found


def _plain_column(values: Column, name: str) -> Floats:
    native = nw.from_native(values, pass_through=True, allow_series=True)
    if isinstance(native, nw.Series):
        return _numbers(name, native)
    if isinstance(native, nw.DataFrame):
        if native.shape[1] != 1:
            raise ShapeError(name, f"({native.shape[0]}, 1)", str(native.shape))
        return _numbers(name, native.get_column(native.columns[0]))
    flat: Any = np.asarray(values, object)
    if flat.ndim == 2 and flat.shape[1] == 1:
        flat = flat[:, 0]
    if flat.ndim != 1:
        raise ShapeError(name, "(T,)", str(flat.shape))
    return np.array([number(name, value) for value in flat.tolist()], np.float64)


def series(values: Floats, name: str, like: IntoDataFrame) -> IntoSeries:
    """Make a series of the same library and with the same index as the frame `like`."""
    table = nw.from_native(like, eager_only=True)
    made: Any = nw.new_series(name, values, backend=table.implementation).to_native()
    index = nw.maybe_get_index(table)
    if index is not None:
        made.index = index
    native: IntoSeries = made
    return native


def _numbers(name: Hashable, column: nw.Series[Any]) -> Floats:
    kind = column.dtype
    if kind.is_numeric() or kind == nw.Boolean:
        return np.asarray(column.cast(nw.Float64).to_numpy(), np.float64)
    if kind in (nw.Object, nw.Unknown):
        return np.array([number(name, value) for value in column.to_list()])
    raise FeatureError(name, kind)
