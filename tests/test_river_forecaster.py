from __future__ import annotations

import copy
import math
import pickle
from collections import deque

import numpy as np
import pytest
from river import checks, conf, datasets, evaluate, metrics, preprocessing

from sfm_stream.errors import ConfigError, ShapeError
from sfm_stream.river import SFMForecaster

NAN, INF = float("nan"), float("inf")
CHECKS = list(checks.yield_checks(SFMForecaster()))


def small(**parameters):
    given = {
        "horizon": 3, "n_states": 4, "n_frequencies": 3, "n_outputs": 4,
        "window_size": 8,
    }  # fmt: skip
    return SFMForecaster(**{**given, **parameters})


def wave(count):
    return [math.sin(t / 3) for t in range(count)]


def taught(model, values):
    for y in values:
        model.learn_one(y)
    return model


def test_river_checks_all_there_are():
    assert len(CHECKS) == 17  # 16 of any forecaster, one of `lr`
    assert SFMForecaster()._unit_test_skips() == set()


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_a_check_of_river_passes(check):
    check(SFMForecaster())


def test_step_h_of_a_forecast_is_h_steps_ahead():
    model = taught(SFMForecaster(horizon=4), map(float, range(300)))
    assert model.forecast(4) == pytest.approx([300, 301, 302, 303], abs=0.5)


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 7, 20])
def test_a_forecast_of_any_length_changes_nothing_and_begins_alike(horizon):
    model = taught(small(), wave(120))
    before = pickle.dumps(model)
    said = model.forecast(horizon)
    assert pickle.dumps(model) == before
    assert len(said) == horizon
    assert said == model.forecast(30)[:horizon]
    assert all(type(y) is float and math.isfinite(y) for y in said)


def test_beyond_its_heads_it_goes_on_from_its_own_forecasts():
    model = taught(SFMForecaster(horizon=3), wave(900))
    truth = [math.sin(t / 3) for t in range(900, 912)]
    assert np.abs(np.subtract(model.forecast(12), truth)).mean() < 0.2


def test_intervals_widen_beyond_the_heads():
    rng = np.random.default_rng(0)
    model = taught(small(), rng.standard_normal(400).cumsum().tolist())
    found = model.forecast(12, with_interval=True)
    assert all(isinstance(i, conf.Interval) for i in found)
    widths = [i.width for i in found]
    assert widths[2] < widths[5] < widths[8] < widths[11] < INF
    assert all(y in i for y, i in zip(model.forecast(12), found, strict=True))


def test_before_anything_is_known_it_says_zeros():
    assert small().forecast(4, [{"a": 1.0}] * 4) == [0.0] * 4
    assert small().forecast(2, with_interval=True) == [conf.Interval(-INF, INF)] * 2


def test_features_of_the_next_step_are_asked():
    model, rng = SFMForecaster(horizon=1), np.random.default_rng(0)
    level = 0.0
    for _ in range(1200):
        step = float(rng.standard_normal())
        level += step
        model.learn_one(level, {"step": step})
    up, down = (model.forecast(1, [{"step": s}])[0] for s in (1.0, -1.0))
    assert up - down == pytest.approx(2.0, abs=0.4)


def test_as_many_rows_of_features_as_steps_are_wanted():
    model = taught(small(), wave(30))
    assert model.forecast(5, deque([{}] * 5)) == model.forecast(5)
    with pytest.raises(ShapeError, match=r"xs: expected shape \(5,\), was \(4,\)"):
        model.forecast(5, [{}] * 4)


@pytest.mark.parametrize("nothing", [None, NAN, INF])
def test_an_unknown_value_is_passed_over(nothing):
    model = taught(small(), wave(40))
    model.learn_one(nothing)
    assert model.n_seen == 41
    assert all(map(math.isfinite, model.forecast(5)))


@pytest.mark.parametrize("copied", [
    copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)),
    lambda m: m.clone(include_attributes=True),
])  # fmt: skip
def test_a_copy_goes_on_bit_for_bit(copied):
    model = taught(small(), wave(45))
    other = copied(model)
    for each in (model, other):
        taught(each, wave(30))
    assert model.forecast(6) == other.forecast(6)
    assert pickle.dumps(model) == pickle.dumps(other)


def test_river_evaluates_it_alone_and_in_a_pipeline():
    score = evaluate.evaluate(
        datasets.AirlinePassengers(), SFMForecaster(), metrics.MAE(), horizon=3
    )
    assert 0 < score.get()[0] < 60
    pipeline = preprocessing.StandardScaler() | small()
    data = [({"a": float(i)}, y) for i, y in enumerate(wave(60))]
    found = evaluate.evaluate(data, pipeline, metrics.MAE(), horizon=2)
    assert all(map(math.isfinite, found.get()))


def test_a_horizon_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"^horizon: "):
        small(horizon=0)


def test_passengers_are_forecast_far_better_than_by_the_last_value():
    model, errors = SFMForecaster(), []
    for x, y in datasets.AirlinePassengers():
        errors.append(abs(model.forecast(1, [x])[0] - y))
        model.learn_one(y, x)
    values = [y for _, y in datasets.AirlinePassengers()]
    naive = np.abs(np.diff(values))[15:].mean()
    assert np.mean(errors[16:]) < 0.63 * naive


@pytest.mark.parametrize("horizon", [-1, 2.5, "3", None])
def test_a_number_of_steps_that_is_none_is_named(horizon):
    with pytest.raises(ConfigError, match=r"horizon: expected a whole number of steps"):
        small().forecast(horizon)
