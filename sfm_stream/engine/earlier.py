"""Converts a snapshot of the first format to the arrays of the present format.

The learned state stays: weights, coefficients, trust, scales and pending forecasts. The
trackers of the intervals begin from the quantiles of the errors in that format. Arrays
that did not exist then, such as the season and the kept windows, begin as at birth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm_stream.config import Config
from sfm_stream.engine import signature
from sfm_stream.kernels.experts.interval import (
    LEAST_ERROR,
    MEANS,
    SCALE_OF_NORMAL,
    SCORES,
    WIDEST,
)
from sfm_stream.state.arena import view
from sfm_stream.state.bank import Bank
from sfm_stream.state.experts import COV, FIRST, SIZE, THETA
from sfm_stream.state.layout import Layout
from sfm_stream.state.places import LOG_WIDTH, table_places

# The array `interval` in the first format: the rank of its width among the errors, the
# number of scores, and the last errors by age.
THEN_RANK, THEN_SCORES, THEN_ERRORS, THEN_KEPT = 0, 1, 2, 200
# Prefix of the arrays that snapshots of the present format may lack.
YOUNGER = "period_"
# The arrays of the quick memory of trust. A snapshot with one memory gives its own.
REGRETS = "regret", "square", "bound"
# The least width that errors give to an interval.
LEAST = 1e-6

Array = NDArray[Any]


def of_now(
    arrays: Mapping[str, Array],
    meta: Mapping[str, Any],
    config: Config,
    layout: Layout,
) -> Mapping[str, Array]:
    """Convert a snapshot of the first format; add absent arrays to a later one.

    Args:
        arrays: by name, [rows, ...].
        meta: the plain values of the snapshot.
        config: of the model.
        layout: the present layout of the model's rows.
    """
    if meta["state_format"] != signature.FIRST:
        return _with_younger(arrays, layout)
    bank = Bank(config, layout.plan)
    bank.have_whole_ring()  # the first format always had the whole ring
    bank.grow(len(arrays["counters"]))
    born = bank.snapshot()
    moved = dict(born) | {
        name: array
        for name, array in arrays.items()
        if name not in born or born[name].shape == array.shape
    }
    known = arrays["counters"]
    moved["counters"] = born["counters"].copy()
    moved["counters"][:, : known.shape[1]] = known
    _move_regressors(moved, arrays, born, layout)
    _move_intervals(moved, arrays, layout)
    return moved | _quick(arrays)


def _with_younger(arrays: Mapping[str, Array], layout: Layout) -> Mapping[str, Array]:
    """Add the arrays that are younger than a snapshot; those of the period are 0."""
    rows = len(arrays["counters"])
    younger = {
        place.name: np.zeros((rows, *place.shape))
        for place in layout.places
        if place.name.startswith(YOUNGER) and place.name not in arrays
    }
    if f"quick_{REGRETS[0]}" not in arrays:
        younger |= _quick(arrays)
    return {**arrays, **younger}


def _quick(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Copy the only memory of trust to the quick one, so that trust does not change."""
    return {f"quick_{name}": arrays[f"mix_{name}"].copy() for name in REGRETS}


def _move_regressors(
    moved: dict[str, Array],
    arrays: Mapping[str, Array],
    born: Mapping[str, Array],
    layout: Layout,
) -> None:
    """Move the cell's output before the inputs, and add room for the season last."""
    s = layout.sizes
    seen = s.regressors - s.seasons
    # The present place of each regressor of the first format.
    places = np.roll(np.arange(seen), -s.z_seen)
    regressors = np.zeros_like(born["origin_regressors"])
    regressors[..., places] = arrays["origin_regressors"]
    moved["origin_regressors"] = regressors
    theta, cov = born["theta"].copy(), born["cov"].copy()
    theta_then = cov_then = 0
    for row in view(layout.tables, table_places(s), "squares")[0].tolist():
        first, size = row[FIRST], row[SIZE]
        own = [p - first for p in places.tolist() if first <= p < first + size]
        count, then = len(own), arrays["theta"].shape
        theta[..., row[THETA] + np.array(own)] = arrays["theta"][
            ..., theta_then : theta_then + count
        ]
        square = cov[..., row[COV] : row[COV] + size * size]
        square = square.reshape(*then[:-1], size, size)
        down, across = np.ix_(own, own)
        square[..., down, across] = arrays["cov"][
            ..., cov_then : cov_then + count * count
        ].reshape(*then[:-1], count, count)
        cov[..., row[COV] : row[COV] + size * size] = square.reshape(*then[:-1], -1)
        theta_then, cov_then = theta_then + count, cov_then + count * count
    moved["theta"], moved["cov"] = theta, cov


def _move_intervals(
    moved: dict[str, Array], arrays: Mapping[str, Array], layout: Layout
) -> None:
    """Set the trackers to the widths that follow from the last errors."""
    s = layout.sizes
    table = table_places(s)
    levels = view(layout.tables, table, "levels")[0]
    usual = view(layout.tables, table, "usual")[0]
    intervals, trackers = moved["interval"].copy(), moved["trackers"].copy()
    for place in np.ndindex(arrays["interval"].shape[:-1]):
        then = arrays["interval"][place]
        scores = int(then[THEN_SCORES])
        errors = then[THEN_ERRORS:][: min(scores, THEN_KEPT)]
        intervals[place][SCORES] = scores
        if scores:
            intervals[place][MEANS:] = errors.mean()
            ranks = np.clip(levels * then[THEN_RANK] / levels[-1], 0.0, 1.0)
            widths = np.maximum(np.quantile(errors, ranks), LEAST) / usual
            expected = np.log(errors + LEAST_ERROR).mean()
            # The regression trusts the mean as if it had learned from every error.
            moved["spread_theta"][place][0] = expected
            moved["spread_cov"][place] /= 1.0 + len(errors)
            logs = np.log([widths, widths * SCALE_OF_NORMAL / np.exp(expected)]).T
            trackers[place][:, LOG_WIDTH] = np.clip(logs, -WIDEST, WIDEST)
    moved["interval"], moved["trackers"] = intervals, trackers
    bounds = np.full((*arrays["origin_bounds"].shape[:-1], s.bounds), np.nan)
    bounds[..., [0, 1, -1]] = arrays["origin_bounds"]
    moved["origin_bounds"] = bounds
    widths = np.exp(trackers[..., LOG_WIDTH, :1]) * usual[:, None]
    moved["origin_widths"][...] = widths[:, None]
    moved["origin_sight"][..., 0] = 1.0
