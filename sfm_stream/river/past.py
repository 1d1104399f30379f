"""Keeps the latest forecasts of a model and their truths, for plotting."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

Floats: TypeAlias = NDArray[np.float64]


class Past:
    """The latest rows: the forecasts made at each row, and its truth.

    Args:
        room: the number of rows to keep; 0 keeps no rows.

    Attributes:
        room: the number of rows to keep.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._rows: list[tuple[int, Floats, Floats]] = []

    def add(self, first: int, said: Floats, truth: Floats) -> None:
        """Add rows in order.

        Args:
            first: number of the first row.
            said: [T, Tg, Q, 3], forecasts: mean, lower and upper.
            truth: [T, Tg] of the same rows; NaN where unknown.
        """
        start = max(len(said) - self.room, 0)
        self._rows += [
            (first + i, said[i].copy(), truth[i].copy())
            for i in range(start, len(said))
        ]
        if len(self._rows) >= 2 * self.room:  # rarely: deleting moves all other rows
            del self._rows[: -self.room]

    def frame(self, count: int, names: Sequence[Hashable]) -> pl.DataFrame:
        """Give the latest rows, one line per row, target and step ahead.

        Args:
            count: the largest number of rows.
            names: of the targets.

        Returns:
            `row`, the number of the forecast row; `target`, `ahead`, `mean`, `lower`,
            `upper`, `truth`, `error`; an unknown number is null.
        """
        import polars as pl

        rows = self._rows[-min(count, self.room) :] if count else []
        truths = {number: truth for number, _, truth in rows}
        lines = [
            (number + q, str(name), q + 1, *said[i, q].tolist(),
             truths[number + q][i] if number + q in truths else np.nan)
            for number, said, _ in rows
            for i, name in enumerate(names)
            for q in range(said.shape[1])
        ]  # fmt: skip
        kinds = {
            "row": pl.Int64, "target": pl.String, "ahead": pl.Int64,
            **dict.fromkeys(("mean", "lower", "upper", "truth"), pl.Float64),
        }  # fmt: skip
        table = pl.DataFrame(lines, kinds, orient="row")
        known = table.with_columns(pl.col(pl.Float64).fill_nan(None))
        return known.with_columns(error=pl.col("truth") - pl.col("mean"))
