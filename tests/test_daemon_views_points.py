from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.daemon.views import points
from tests.views_rig import watcher_of


@pytest.fixture(scope="module")
def shape():
    return watcher_of()[1].shape


def test_the_shape_names_what_an_engine_says(shape):
    assert shape.targets == ("x",)
    assert shape.horizons == ("1", "5")
    assert shape.ticks == (1, 5)
    assert shape.ns == (0, 0)
    assert shape.periods[0] is None
    assert shape.periods[-1] == pytest.approx(2)
    assert shape.level == 0.9


def test_the_layout_says_where_each_field_lies(shape):
    told = points.layout(points.point(shape))
    assert told["size"] == points.point(shape).itemsize
    assert told["fields"]["time"] == ["f8", 0, []]
    assert told["fields"]["forecast"] == ["f4", 16, [2, 3]]
    assert told["fields"]["weights"][2] == [2, len(shape.experts)]


def test_an_amplitude_is_told_within_three_parts_of_a_hundred():
    amplitudes = np.geomspace(0.005, 100, 200)
    codes = points.loudness(amplitudes).astype(float)
    np.testing.assert_allclose(2 ** ((codes - 128) / 16), amplitudes, rtol=0.03)
    odd = np.array([0.0, np.nan, 1e-30, 1e30])
    assert points.loudness(odd).tolist() == [0, 0, 1, 255]


def test_weights_are_told_in_255_parts():
    assert points.shares(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]


def test_horizons_that_no_one_wants_are_left_out(shape):
    made = points.nothing(points.point(shape), 1, 3)[0]
    made["forecast"][:, 1] = 7
    made["value"] = 3
    found = points.some(made, points.point(shape, 1), [1])
    assert found["forecast"].shape == (3, 1, 3)
    assert (found["forecast"] == 7).all()
    assert (found["value"] == 3).all()


NUMBERS = st.one_of(
    st.just(math.nan), st.floats(-1e6, 1e6), st.floats(-1e-6, 1e-6), st.just(0.0)
)


@given(st.lists(st.tuples(NUMBERS, *[NUMBERS] * 6), min_size=1, max_size=5))
def test_a_kept_point_is_the_point_as_far_as_a_picture_shows_it(shape, numbers):
    made = points.nothing(points.point(shape), 1, len(numbers))[0]
    table = np.array(numbers)
    made["value"], made["forecast"] = table[:, 0], table[:, 1:].reshape(-1, 2, 3)
    made["time"], made["lag"], made["skill"] = 1.7e12, 1e9, -7.5
    found = points.unpack(points.pack(made, points.kept_point(shape)), made.dtype)
    for name in ("time", "origin", "value", "weights", "amplitude"):
        np.testing.assert_array_equal(found[name], made[name])
    told = made["forecast"].astype(np.float64)
    np.testing.assert_array_equal(np.isnan(found["forecast"]), np.isnan(told))
    base = np.where(np.isnan(made["value"]), np.nan_to_num(told[:, 0, 0]), 0)
    far = np.abs(np.nan_to_num(told) - base[:, None, None]).max(axis=(1, 2))
    close = np.abs(found["forecast"] - told) <= (
        far[:, None, None] / 30_000 + 1e-6 * np.abs(told) + 1e-30
    )
    assert (close | np.isnan(told)).all()
    assert (found["skill"] == -7.5).all()
    assert (found["lag"] == points.LARGEST).all()


@pytest.mark.parametrize("value", [1e300, -1e300, 1e-300, 0.0])
def test_what_is_too_large_to_be_told_is_unknown_and_nothing_warns(shape, value):
    made = points.nothing(points.point(shape), 1, 3)[0]
    made["value"] = 1.5
    made["forecast"] = points.narrow(np.full((3, 2, 3), value))
    found = points.unpack(points.pack(made, points.kept_point(shape)), made.dtype)
    assert (found["value"] == 1.5).all()
    wanted = np.nan if abs(value) > 1 else 0.0
    np.testing.assert_array_equal(found["forecast"], np.full((3, 2, 3), wanted))


def test_a_kept_point_takes_fewer_bytes(shape):
    assert points.kept_point(shape).itemsize < 0.85 * points.point(shape).itemsize
