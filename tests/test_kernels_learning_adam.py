"""The rate at which weights learn, which falls as a stream grows long."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.kernels.learning import adam
from sfm_stream.state import places
from tests.kernels_rig import Rig, ticks, tones


def test_the_rate_falls_with_the_root_of_the_steps_down_to_a_share():
    steady = int(adam.STEADY_STEPS)
    assert adam.slowed(0.1, 1) == pytest.approx(0.1, rel=1e-3)
    assert adam.slowed(0.1, 3 * steady) == pytest.approx(0.05)
    assert adam.slowed(0.1, 10**9) == 0.1 * adam.LEAST_SHARE
    rates = [adam.slowed(0.1, count) for count in range(1, 40 * steady, 997)]
    assert (np.diff(rates) <= 0).all()


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("shared", [False, True])
def test_weights_move_by_the_slowed_rate(backend, shared):
    moved = []
    for taken in (30_000, 10**9):  # where nothing else depends on their number
        r = Rig({"learn": {"replay": 0}, "model": {"shared": shared}}, backend=backend)
        r.view("counters")[places.ADAM_STEP] = taken
        before = r.view("weights").astype(np.float64)
        r.run(ticks(tones(40)))
        assert r.view("counters")[places.ADAM_STEP] == taken + 1
        moved.append(r.view("weights") - before)
    share = adam.slowed(1.0, 10**9) / adam.slowed(1.0, 30_001)
    np.testing.assert_allclose(moved[1], share * moved[0], atol=1e-6)
    assert np.abs(moved[0]).max() > 1e-4
