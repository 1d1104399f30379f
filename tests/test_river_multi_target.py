from __future__ import annotations

import copy
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import river
from river import checks, conf, drift

from sfm_stream.errors import ConfigError, FeatureError
from sfm_stream.river import SFMMultiTargetRegressor

NAN = float("nan")
CHECKS = list(checks.yield_checks(SFMMultiTargetRegressor()))


def small(**parameters):
    given = {"n_states": 4, "n_frequencies": 3, "n_outputs": 4, "window_size": 8}
    return SFMMultiTargetRegressor(**{**given, **parameters})


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(count)
    steps = np.concatenate([[0.0], x[:-1]])
    targets = zip(steps.cumsum().tolist(), (-2 * steps).cumsum().tolist(), strict=True)
    return [
        ({"a": a}, {"up": up, "down": down})
        for a, (up, down) in zip(x.tolist(), targets, strict=True)
    ]


def taught(model, data):
    said = []
    for x, y in data:
        said.append(model.predict_one(x))
        model.learn_one(x, y)
    return said


def test_river_checks_all_there_are():
    # 36 of any such regressor; seed and debug_one on two data sets; one of `lr`
    # River 0.25 has two fewer
    assert len(CHECKS) == (39 if river.__version__.startswith("0.25") else 41)
    assert SFMMultiTargetRegressor()._unit_test_skips() == set()


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_a_check_of_river_passes(check):
    check(SFMMultiTargetRegressor())


def test_every_target_is_learned():
    model, data = small(), rows(1500)
    said = taught(model, data)
    for name in ("up", "down"):
        errors = [
            abs(p[name] - y[name]) for p, (_, y) in zip(said, data, strict=False) if p
        ]
        moves = [abs(b[1][name] - a[1][name]) for a, b in pairwise(data)]
        assert np.mean(errors[-300:]) < 0.3 * np.mean(moves)


def test_targets_are_named_by_the_first_row_and_may_be_left_out_later():
    model, data = small(), rows(30)
    assert model.targets == ()
    assert model.predict_one({}) == {}
    taught(model, data)
    assert model.targets == ("down", "up")
    said = model.predict_one({"a": 1.0})
    model.learn_one({"a": 1.0}, {"up": 7.0})
    assert model._learner.known == [said["down"], 7.0]
    said = model.predict_one({"a": 1.0})
    model.learn_one({"a": 1.0}, {"up": NAN, "down": None})
    assert model._learner.known == [said["down"], said["up"]]
    with pytest.raises(ConfigError, match="'left'"):
        model.learn_one({}, {"left": 1.0})


@pytest.mark.parametrize("copied", [
    copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)),
    lambda m: m.clone(include_attributes=True),
])  # fmt: skip
@pytest.mark.parametrize("at", [0, 1, 27])
def test_a_copy_goes_on_bit_for_bit(copied, at):
    model, data = small(drift_detector=drift.ADWIN()), rows(60)
    taught(model, data[:at])
    other = copied(model)
    assert taught(model, data[at:]) == taught(other, data[at:])


def test_readings_are_by_target():
    model, data = small(), rows(60)
    assert model.amplitudes == {}
    taught(model, data)
    assert list(model.amplitudes) == ["down", "up"]
    assert model.coefficients["up"].shape == (3, 4)
    assert all(period >= 2 for period in model.dominant_period.values())
    found = model.predict_one({"a": 1.0}, with_interval=True)
    assert all(
        isinstance(i, conf.Interval) and math.isfinite(i.width) for i in found.values()
    )
    assert "down: " in model.debug_one({"a": 1.0})


def test_targets_that_have_no_names_are_refused():
    with pytest.raises(
        FeatureError, match=r"'y': expected a dict of targets, was 3\.0"
    ):
        small().learn_one({"a": 1.0}, 3.0)
