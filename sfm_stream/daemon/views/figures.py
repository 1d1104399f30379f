"""Running figures of each stream, target and horizon, from columns of scores.

There are sums since the start, and sums over the latest scores. The latter are kept in
blocks; the next block replaces the oldest one. Scores with values far beyond the usual
size are left out of the figures and counted as absurd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sfm_stream.events import Floats, Ints

FEW = 100
"""Scores below which skill and coverage are NaN."""
LATELY = 1_000
"""Most scores in the recent figures."""
BLOCKS = 5
"""Blocks of the recent scores: at least four fifths of `LATELY` are included."""
BLOCK = LATELY // BLOCKS
ABSURD = 1e6
"""A value larger than the usual size times this is absurd."""
LARGEST = 1e100
"""Any larger value is absurd: sums of its squares would not be finite."""
PARTS = 10
"""Number of equal parts of an interval, to count in which part the truths lie."""
FIRST_ROWS = 16
SUMS = ("squared", "naive", "absolute", "naive absolute", "asked", "covered", "winkler",
        "count", "size")  # fmt: skip
"""The last two include absurd scores, and give the usual size."""
NOTHING = np.array([[0.0], [0.0], [0.0], [-1.0], [0.0]])
"""A score that adds 0 to each sum."""


class Figures:
    """Sums over scores.

    Args:
        horizons: number of horizons Q of each row (a stream and target).

    Attributes:
        scored: [rows, Q], number of scores since the start.
        absurd: [rows, Q], number of scores left out since the start.
        places: [rows, Q, 12], number of truths below the interval, in its ten equal
            parts, and above it.
    """

    def __init__(self, horizons: int) -> None:
        self._q = horizons
        self.scored: Ints = np.zeros((FIRST_ROWS, horizons), np.int64)
        self.absurd: Ints = np.zeros((FIRST_ROWS, horizons), np.int64)
        self.places = np.zeros((FIRST_ROWS, horizons, PARTS + 2), np.uint32)
        self._sums = np.zeros((len(SUMS), FIRST_ROWS, horizons))
        self._recent = np.zeros((len(SUMS), BLOCKS, FIRST_ROWS, horizons))

    def __len__(self) -> int:
        return len(self.scored)

    def know(self, rows: int) -> None:
        """Make room for `rows` rows."""
        had = len(self)
        if rows > had:
            more = max(rows, 2 * had) - had
            self.scored = np.pad(self.scored, ((0, more), (0, 0)))
            self.absurd = np.pad(self.absurd, ((0, more), (0, 0)))
            self.places = np.pad(self.places, ((0, more), (0, 0), (0, 0)))
            self._sums = np.pad(self._sums, ((0, 0), (0, more), (0, 0)))
            self._recent = np.pad(self._recent, ((0, 0), (0, 0), (0, more), (0, 0)))

    def add(
        self, rows: Ints, horizons: Ints, scores: NDArray[Any], bounds: Floats
    ) -> None:
        """Add scores.

        Args:
            rows: [n], numbers of the rows.
            horizons: [n], numbers of the horizons.
            scores: [5, n]: truth, mean, last value; whether the interval covered the
                truth, -1 without an interval; interval score.
            bounds: [n, 2], lower and upper; NaN where unknown.
        """
        self.know(int(rows.max(initial=-1)) + 1)
        at = rows * self._q + horizons
        size, most = _size(scores), self._most(at)
        fine = size <= most
        terms = _terms(np.where(fine, scores, NOTHING), np.fmin(size, most))
        place, is_recent = self._places_of(at)
        flat, recent = (s.reshape(len(SUMS), -1) for s in (self._sums, self._recent))
        place, latest = place[is_recent], terms[:, is_recent]
        for i, term in enumerate(terms):
            np.add.at(flat[i], at, term)
            np.add.at(recent[i], place, latest[i])
        np.add.at(self.scored.reshape(-1), at[fine], 1)
        np.add.at(self.absurd.reshape(-1), at[~fine], 1)
        self._place(at[fine], scores[0, fine], bounds[fine])

    def since_start(self, name: str) -> Floats:
        """Give a sum since the start, [rows, Q]."""
        sums: Floats = self._sums[SUMS.index(name)]
        return sums

    def skill(self, *, lately: bool = False) -> Floats:
        """Give the skill, 1 - MSE / MSE of the last value [rows, Q].

        NaN before there are enough scores, and while no value moved.
        """
        found: Floats = 1 - self._ratio("squared", "naive", lately=lately)
        return found

    def coverage(self, *, lately: bool = False) -> Floats:
        """Give the share of truths inside the interval [rows, Q]; NaN before enough."""
        return self._ratio("covered", "asked", lately=lately)

    def winkler(self, *, lately: bool = False) -> Floats:
        """Give the mean interval score [rows, Q]: the width, plus penalties for misses.

        Winkler (1972): the penalty is 2 / (1 - level) times the distance of the miss.
        """
        return self._ratio("winkler", "asked", lately=lately)

    def _ratio(self, above: str, below: str, *, lately: bool) -> Floats:
        total = self._lately if lately else self.since_start
        under = total(below)
        told = (self.scored >= FEW) & (under > 0)
        found = np.full(under.shape, np.nan)
        np.divide(total(above), under, out=found, where=told)
        return found

    def _lately(self, name: str) -> Floats:
        """Give a sum over the latest scores, [rows, Q]."""
        found: Floats = self._recent[SUMS.index(name)].sum(axis=0)
        return found

    def _most(self, at: Ints) -> Floats:
        """Give the largest size that is not absurd, for scores [n]."""
        sizes = self._recent[-2:].reshape(2, BLOCKS, -1)
        count, size = sizes[:, :, at].sum(axis=1)
        usual = np.divide(size, count, out=np.zeros(len(at)), where=count > 0)
        return np.where(usual > 0, np.minimum(ABSURD * usual, LARGEST), LARGEST)

    def _places_of(self, at: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Give the place of each score [n] in the recent sums, and which are recent.

        A block that begins with one of these scores is set to 0 first.
        """
        came = (self.scored + self.absurd).reshape(-1)[at]
        rank, total = _ranks(at)
        block, begins = (came + rank) // BLOCK, (came + rank) % BLOCK == 0
        place = block % BLOCKS * self.scored.size + at
        self._recent.reshape(len(SUMS), -1)[:, place[begins]] = 0
        return place, block > (came + total - 1) // BLOCK - BLOCKS

    def _place(self, at: Ints, truth: Floats, bounds: Floats) -> None:
        """Count in which part of its interval each truth lies."""
        lower, upper = bounds.T
        wide = upper - lower
        asked = (wide > 0) & np.isfinite(wide)
        share = (truth[asked] - lower[asked]) / wide[asked]
        part = np.floor(np.clip(share * PARTS, -1, PARTS)).astype(np.int64) + 1
        np.add.at(self.places.reshape(-1, PARTS + 2), (at[asked], part), 1)


def _terms(scores: NDArray[Any], size: Floats) -> Floats:
    """Give the terms that each score adds to the sums [9, n], in the order of SUMS."""
    truth, mean, naive, covered, winkler = scores
    missed, moved, asked = truth - mean, truth - naive, covered >= 0
    return np.array([
        missed * missed, moved * moved, np.abs(missed), np.abs(moved),
        asked, covered > 0, np.where(asked, winkler, 0), np.ones(len(size)), size,
    ])  # fmt: skip


def known(value: float) -> float | None:
    """Give a number; None for NaN."""
    return None if value != value else float(value)


def _size(scores: NDArray[Any]) -> Floats:
    """Give the largest absolute value of each score [n]; inf if one is not finite."""
    known = np.isfinite(scores[:3]).all(axis=0)
    size = np.fmax.reduce(np.abs(scores[[0, 1, 2, 4]]))
    return np.where(known, size, np.inf)


def _ranks(at: Ints) -> tuple[Ints, Ints]:
    """Give for each place the number of equal ones before it, and of all equal ones."""
    order = np.argsort(at, kind="stable")
    ordered = at[order]
    first = np.searchsorted(ordered, ordered, "left")
    last = np.searchsorted(ordered, ordered, "right")
    rank, total = np.empty(len(at), np.int64), np.empty(len(at), np.int64)
    rank[order] = np.arange(len(at)) - first
    total[order] = last - first
    return rank, total
