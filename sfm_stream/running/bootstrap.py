"""The uncertainty of a skill, by a block bootstrap over stretches of a run.

Errors near each other in time are correlated, so whole stretches are resampled, not
single errors (Kuensch, 1989).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sfm_stream.events import Floats

DRAWS = 1_000
QUANTILES = (0.05, 0.95)
"""Ends of a 90 % interval."""


def skills(ours: Floats, theirs: Floats, draws: int = DRAWS) -> Floats:
    """Resample the stretches of a run, and give the skill of each draw.

    The draws are the same for all arrays with the same number of stretches, so skills
    of two models can be compared draw by draw.

    Args:
        ours: sums of squared errors of the forecast [..., stretches].
        theirs: sums of squared errors of the last value [..., stretches].
        draws: number of draws; the seed is fixed, so a run has always the same draws.

    Returns:
        Skills [..., draws]; NaN where the last value was never wrong, or where a sum is
        too large for a float.
    """
    blocks = ours.shape[-1]
    drawn = np.random.default_rng(0).integers(0, blocks, (draws, blocks))
    with np.errstate(over="ignore"):
        missed, base = (sums[..., drawn].sum(axis=-1) for sums in (ours, theirs))
    found = np.full(base.shape, np.nan)
    has_skill = (base > 0) & np.isfinite(base) & np.isfinite(missed)
    np.divide(missed, base, out=found, where=has_skill)
    skill: Floats = 1 - found
    return skill


def interval(drawn: Floats) -> tuple[float, float] | None:
    """Give the ends of the 90 % interval of draws [n]; None if all are NaN."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return None
    low, high = np.quantile(known, QUANTILES)
    return float(low), float(high)
