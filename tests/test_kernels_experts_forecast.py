"""What is said at a tick has its parts in order, whatever the target is like."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels_rig import Rig, ticks

COUNT = 300


def said(values, **target):
    r = Rig({"target": target})
    r.run(ticks(values))
    bounds, slots = r.view("origin_bounds"), r.sizes.ring - 1
    return bounds[np.arange(COUNT - 10, COUNT) % slots]


@pytest.mark.parametrize("predict", ["change", "level", "log-return"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_quantiles_rise_around_the_mean(predict, sign):
    walk = np.random.default_rng(0).standard_normal(COUNT).cumsum()
    bounds = said(sign * (100.0 + walk), predict=predict, horizons=[1, 3])
    mean, quantiles = bounds[..., 0], bounds[..., 1:]
    assert np.isfinite(bounds).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    half = quantiles.shape[-1] // 2
    assert (quantiles[..., half - 1] <= mean).all()
    assert (mean <= quantiles[..., half]).all()


def test_quantiles_stay_finite_where_values_end():
    steps = np.random.default_rng(1).choice([-1e308, 1e308], COUNT)
    bounds = said(steps, horizons=[1])
    assert np.isfinite(bounds).all()
