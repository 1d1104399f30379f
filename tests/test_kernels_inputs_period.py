"""The products that a period is read from are those of an independent computation."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.kernels.inputs import period
from sfm_stream.state.places import LEVEL, LONGEST_PERIOD, LOOKED_AT
from tests.kernels_rig import SECOND, START, Rig, gap, join, ticks, tones

MEMORY = 300


def expected(values):
    """Give the running means of products by lag, with numpy."""
    past, level = np.zeros(LONGEST_PERIOD), values[0]
    products = np.zeros(LONGEST_PERIOD + 1)
    for count, value in enumerate(values):
        away = value - level
        level += away * period.LEVEL_PACE
        if count > period.KNOWN_AFTER:
            most = period.LARGEST * np.sqrt(products[0])
            away = np.clip(away, -most, most)
        told = away * np.concatenate([[away], past])
        products += (told - products) / min(count + 1, MEMORY)
        past = np.concatenate([[away], past[:-1]])
    return products


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_products_are_running_means_by_lag(backend):
    count = 700 if backend == "numba" else 60
    values = 5 + tones(count).cumsum()
    values[count // 2] += 100.0  # an outlier counts as a large value
    rig = Rig({"features": {"scale": MEMORY}}, backend=backend)
    rig.run(ticks(values))
    found = rig.view("period_products")
    np.testing.assert_allclose(found, expected(values), rtol=1e-9, atol=1e-9)
    assert rig.view("period_gauges")[LOOKED_AT] == count


def test_nothing_is_multiplied_across_a_gap():
    rig, values = Rig(), tones(40)
    later = ticks(values[20:], START + SECOND * (100 + np.arange(20)))
    rig.run(join(ticks(values[:20]), gap(START + 90 * SECOND), later))
    assert np.count_nonzero(rig.view("period_past")) == 19  # its first is the level
    assert not rig.view("period_products")[20:].any()


def test_a_level_far_from_zero_changes_nothing():
    near, far = Rig(), Rig()
    values = np.round(tones(200) * 2**20) / 2**20
    near.run(ticks(values))
    far.run(ticks(values + 2.0**20))
    np.testing.assert_allclose(
        far.view("period_products"), near.view("period_products"), atol=1e-7
    )
    gauges = far.view("period_gauges")[LEVEL], near.view("period_gauges")[LEVEL]
    assert gauges[0] - gauges[1] == pytest.approx(2.0**20)
