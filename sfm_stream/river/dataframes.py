"""Data frames of any make as columns of numbers, and back."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.stable.v2.typing import IntoDataFrame, IntoSeries

from sfm_stream.errors import FeatureError
from sfm_stream.river.learner import Floats
from sfm_stream.river.rows import CALENDAR, calendar, number


def columns(frame: IntoDataFrame) -> tuple[list[Hashable], Floats]:
    """Give the names of a frame's columns, and their numbers [T, N].

    A column of dates becomes those of its calendar.

    Raises:
        FeatureError: if a column holds something else.
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


def column(values: IntoSeries, name: str) -> Floats:
    """Give the numbers [T] of a series.

    Raises:
        FeatureError: if it holds something else; `name` is to blame.
    """
    return _numbers(name, nw.from_native(values, series_only=True))


def series(values: Floats, name: str, like: IntoDataFrame) -> IntoSeries:
    """Make a series as the frame `like` would: same make, same index."""
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
