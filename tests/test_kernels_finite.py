"""Whatever finite values come, what is said and what is kept stays finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels_rig import Rig, heartbeat, join, ticks

HUGE = 1e300
# Not numbers until something is known.
UNKNOWN = {"labels", "origin_bounds", "before", "kept_labels", "origin_widths"}

extremes = st.sampled_from(
    [0.0, 1.0, -1.0, HUGE, -HUGE, 1e-300, 5e-324, 1e150, -1e160, 1e38, 1e19, 1e-40]
)
values = st.one_of(extremes, st.floats(-HUGE, HUGE), st.floats(-3.0, 3.0))
# Stretches of constants, of noise around a level, and jumps between them.
stretches = st.lists(
    st.tuples(values, st.sampled_from([0.0, 1e-9, 1.0, 1e250]), st.integers(1, 40)),
    min_size=1,
    max_size=7,
)


def series(parts, seed):
    rng = np.random.default_rng(seed)
    made = [level + spread * rng.standard_normal(n) for level, spread, n in parts]
    return np.concatenate(made)


def expect_finite(r, said):
    experts = r.sizes.experts
    assert len(said.forecasts) > 0
    numbers = said.forecast_numbers
    assert np.isfinite(numbers[:, 0]).all(), "mean"
    weights = numbers[:, r.sizes.bounds :][:, :experts]
    assert np.isfinite(weights).all(), "weights"
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-9)
    bounds = numbers[:, 1 : r.sizes.bounds]
    assert not np.isinf(bounds).any(), "bounds"
    for name, array in r.bank.snapshot().items():
        if array.dtype != np.int64 and name not in UNKNOWN:
            assert np.isfinite(array).all(), name


@pytest.mark.parametrize("predict", ["change", "log-return", "level"])
@settings(max_examples=60)
@given(parts=stretches, seed=st.integers(0, 9))
def test_any_finite_ticks_leave_forecasts_weights_and_state_finite(
    predict, parts, seed
):
    inputs = ["change", "level", "log-return"]
    r = Rig({"target": {"predict": predict, "horizons": [1, 5]},
             "features": {"inputs": inputs},
             "learn": {"window": 8, "every": 8}})  # fmt: skip
    expect_finite(r, r.run(ticks(series(parts, seed))))


@settings(max_examples=40)
@given(
    steps=st.lists(st.integers(0, 10**15), min_size=20, max_size=60),
    cell=st.sampled_from(["sfm", "a-sfm"]),
)
def test_any_times_leave_a_clocked_memory_finite(steps, cell):
    start = 1_000_000_000 * 10**9
    at = start + np.cumsum(np.array(steps, np.int64))
    r = Rig({"stream": {"clock": "time", "max_gap": "1d"}, "model": {"cell": cell},
             "features": {"inputs": ["change", "elapsed", "hour", "weekday"]},
             "learn": {"window": 8, "every": 8}})  # fmt: skip
    y = np.random.default_rng(len(steps)).standard_normal(len(steps))
    expect_finite(r, r.run(join(ticks(y, at), heartbeat(at[-1] + 10**17))))


def test_interval_is_stated_once_enough_was_scored_even_after_a_wild_tick():
    y = np.random.default_rng(0).standard_normal(300)
    y[100] = HUGE
    r = Rig()
    said = r.run(ticks(y))
    assert np.isfinite(said.forecast_numbers[40:, : r.sizes.bounds]).all()
    assert np.isfinite(said.score_numbers[:, :3]).all()
    assert np.isfinite(said.score_numbers[40:]).all()
