"""Running figures of each stream, target and horizon, from scores as columns.

Sums since the start, and the same over about the last thousand scores: each further
score lets what there was count for a thousandth less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sfm_stream.events import Floats, Ints

FEW = 100
"""Scores below which nothing is said of skill and coverage."""
LATELY = 1_000
"""Scores over which the recent figures reach back."""
KEEP = 1 - 1 / LATELY
PARTS = 10
"""Equal parts of an interval in which truths are counted, besides below and above."""
FIRST_ROWS = 16
SUMS = ("squared", "naive", "absolute", "naive absolute", "asked", "covered", "winkler")


class Figures:
    """Sums over scores.

    Args:
        horizons: Q, of each row (a stream and target).

    Attributes:
        scored: [rows, Q] since the start.
        places: [rows, Q, 12], truths below, in ten equal parts of, and above the
            interval.
    """

    def __init__(self, horizons: int) -> None:
        self._q = horizons
        self.scored: Ints = np.zeros((FIRST_ROWS, horizons), np.int64)
        self.places = np.zeros((FIRST_ROWS, horizons, PARTS + 2), np.uint32)
        self._sums = np.zeros((len(SUMS), FIRST_ROWS, horizons))
        self._recent = np.zeros((len(SUMS), FIRST_ROWS, horizons))

    def __len__(self) -> int:
        return len(self.scored)

    def know(self, rows: int) -> None:
        """Have room for so many rows."""
        had = len(self)
        if rows > had:
            more = max(rows, 2 * had) - had
            self.scored = np.pad(self.scored, ((0, more), (0, 0)))
            self.places = np.pad(self.places, ((0, more), (0, 0), (0, 0)))
            self._sums = np.pad(self._sums, ((0, 0), (0, more), (0, 0)))
            self._recent = np.pad(self._recent, ((0, 0), (0, more), (0, 0)))

    def add(
        self, rows: Ints, horizons: Ints, scores: NDArray[Any], bounds: Floats
    ) -> None:
        """Take scores.

        Args:
            rows: [n].
            horizons: [n], their numbers.
            scores: [5, n]: truth, mean, last value; whether it was covered, -1 for
                "without an interval"; interval score.
            bounds: [n, 2], lower and upper; NaN where unknown.
        """
        self.know(int(rows.max(initial=-1)) + 1)
        at = rows * self._q + horizons
        terms = _terms(scores)
        np.add.at(self.scored.reshape(-1), at, 1)
        fading, kept = _fading(at)
        flat, recent = (s.reshape(len(SUMS), -1) for s in (self._sums, self._recent))
        recent[:, at] *= kept  # the same number for all of a row's scores: once
        for i, term in enumerate(terms):
            np.add.at(flat[i], at, term)
            np.add.at(recent[i], at, term * fading)
        self._place(at, scores[0], bounds)

    def since_start(self, name: str) -> Floats:
        """Give a sum since the start, [rows, Q]."""
        sums: Floats = self._sums[SUMS.index(name)]
        return sums

    def skill(self, *, lately: bool = False) -> Floats:
        """Give 1 - squared errors / those of the last value [rows, Q].

        NaN before there are enough scores, and while nothing moved.
        """
        found: Floats = 1 - self._ratio("squared", "naive", lately=lately)
        return found

    def coverage(self, *, lately: bool = False) -> Floats:
        """Give the share of truths inside the interval [rows, Q]; NaN at first."""
        return self._ratio("covered", "asked", lately=lately)

    def winkler(self, *, lately: bool = False) -> Floats:
        """Give the mean interval score [rows, Q]: width, and what missing it cost.

        Winkler (1972): a miss costs 2 / (1 - level) times how far it was.
        """
        return self._ratio("winkler", "asked", lately=lately)

    def _ratio(self, above: str, below: str, *, lately: bool) -> Floats:
        sums = self._recent if lately else self._sums
        under = sums[SUMS.index(below)]
        told = (self.scored >= FEW) & (under > 0)
        found = np.full(under.shape, np.nan)
        np.divide(sums[SUMS.index(above)], under, out=found, where=told)
        return found

    def _place(self, at: Ints, truth: Floats, bounds: Floats) -> None:
        """Count in which part of its interval each truth fell."""
        lower, upper = bounds.T
        asked = (upper > lower) & np.isfinite(upper - lower)
        share = (truth[asked] - lower[asked]) / (upper[asked] - lower[asked])
        part = np.clip(np.floor(share * PARTS).astype(np.int64), -1, PARTS) + 1
        np.add.at(self.places.reshape(-1, PARTS + 2), (at[asked], part), 1)


def _terms(scores: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Give what each score adds to the sums, in their order."""
    truth, mean, naive, covered, winkler = scores
    missed, moved, asked = truth - mean, truth - naive, covered >= 0
    return (
        missed * missed, moved * moved, np.abs(missed), np.abs(moved),
        asked, covered > 0, np.where(asked, winkler, 0),
    )  # fmt: skip


def known(value: float) -> float | None:
    """Give a number, or None for one that is none."""
    return None if value != value else float(value)


def _fading(at: Ints) -> tuple[Floats, Floats]:
    """Say how much each score counts at the end, and what there was, [n] both."""
    order = np.argsort(at, kind="stable")
    ordered = at[order]
    first = np.searchsorted(ordered, ordered, "left")
    last = np.searchsorted(ordered, ordered, "right")
    fading, kept = np.empty(len(at)), np.empty(len(at))
    fading[order] = KEEP ** (last - 1 - np.arange(len(at)))
    kept[order] = KEEP ** (last - first)
    return fading, kept
