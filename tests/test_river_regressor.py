"""River's regressor: its checks, its order, its exactness, its place among others."""

from __future__ import annotations

import copy
import datetime as dt
import doctest
import importlib
import math
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import river
from msgspec.structs import replace
from river import (
    checks,
    conf,
    datasets,
    drift,
    ensemble,
    evaluate,
    linear_model,
    metrics,
    model_selection,
    preprocessing,
)

from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError, FeatureError, ShapeError
from sfm_stream.river import SFMRegressor, learner
from sfm_stream.river.base import DEFAULT

NAN, INF = float("nan"), float("inf")
COPIES = {
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "deepcopy": copy.deepcopy,
    "clone": lambda m: m.clone(include_attributes=True),
}


def small(**parameters):
    given = {"n_states": 4, "n_frequencies": 3, "n_outputs": 4, "window_size": 8}
    return SFMRegressor(**{**given, **parameters})


def rows(count, width=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, width))
    y = (0.3 * x[:, 0]).cumsum() + 0.1 * rng.standard_normal(count)
    named = [dict(zip("abcdefgh", row, strict=False)) for row in x.tolist()]
    return list(zip(named, y.tolist(), strict=True))


def taught(model, data):
    said = []
    for x, y in data:
        said.append(model.predict_one(x))
        model.learn_one(x, y)
    return said


CHECKS = list(checks.yield_checks(SFMRegressor()))


def test_river_checks_all_there_are():
    # 25 of any regressor, seed, debug_one, two of mini-batches, a mutable attribute
    # River 0.25 has two fewer
    assert len(CHECKS) == (28 if river.__version__.startswith("0.25") else 30)
    assert SFMRegressor()._unit_test_skips() == set()


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_a_check_of_river_passes(check):
    check(SFMRegressor())


def test_defaults_are_those_of_the_one_shared_model_but_for_clock_and_regressors():
    assert SFMRegressor()._settings(1).model == DEFAULT.model
    assert SFMRegressor()._settings(1).learn == DEFAULT.learn
    assert SFMRegressor()._settings(1).forecast == replace(
        DEFAULT.forecast, levels=(0.9,)
    )
    inputs = ("change", "level", "change(*)", "level(*)")
    fewer = replace(
        DEFAULT.features, lags=16, errors=0, seasons=False, inputs=inputs,
        widest=None, most=None,
    )  # fmt: skip
    assert SFMRegressor()._settings(1).features == fewer


def test_to_predict_changes_nothing_however_often():
    model, other, data = small(), small(), rows(60)
    for x, y in data:
        before = pickle.dumps(model)
        assert model.predict_one(x) == model.predict_one(x)
        model.predict_one({"a": 9.0, "stranger": 1.0})
        assert pickle.dumps(model) == before
        model.learn_one(x, y)
        other.learn_one(x, y)
    assert pickle.dumps(model) == pickle.dumps(other)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("at", [0, 1, 2, 33, 61])
def test_a_copy_goes_on_bit_for_bit(copied, at):
    model, data = small(drift_detector=drift.ADWIN()), rows(100)
    taught(model, data[:at])
    model.predict_one(data[at][0])
    other = copied(model)
    assert taught(model, data[at:]) == taught(other, data[at:])
    assert pickle.dumps(model._learner) == pickle.dumps(other._learner)


def test_a_clone_is_born_anew():
    model, data = small(), rows(40)
    said = taught(model, data)
    clone = model.clone()
    assert clone.n_seen == 0
    assert taught(clone, data) == said


def test_random_numbers_and_threads_of_others_are_left_alone():
    import torch

    threads = torch.get_num_threads()
    numpy = pickle.dumps(np.random.get_state())  # noqa: NPY002 the global one is meant
    state = torch.get_rng_state()
    taught(small(), rows(30))
    assert pickle.dumps(np.random.get_state()) == numpy  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_label_teaches_the_model_at_once_and_before_the_next_prediction():
    model = SFMRegressor()
    for i in range(200):
        model.learn_one({}, float(i))
    assert model.predict_one({}) == pytest.approx(200.0, abs=0.1)


def test_with_late_labels_the_last_row_learned_from_is_what_is_known():
    data, delay = rows(60), 3
    model, behind = small(), small()
    expected = []
    for i, (x, _) in enumerate(data):
        if i >= delay:
            behind.learn_one(*data[i - delay])
        expected.append(behind.predict_one(x))
    steps = evaluate.iter_progressive_val_score(
        data, model, metrics.MAE(), delay=delay, yield_predictions=True
    )
    assert [step["Prediction"] for step in steps] == expected


@pytest.mark.parametrize("nothing", [None, NAN, INF])
def test_an_unknown_target_moves_the_memory_and_teaches_nothing(nothing):
    model, data = small(), rows(40)
    taught(model, data)
    memory = model.coefficients
    theta = model._learner.engine.view("theta").copy()
    said = model.predict_one(data[0][0])
    model.learn_one(data[0][0], nothing)
    assert not np.array_equal(model.coefficients, memory)
    np.testing.assert_array_equal(model._learner.engine.view("theta"), theta)
    assert model._learner.known == [said]


def test_absent_none_nan_and_infinite_features_are_alike():
    data, said = rows(50), []
    for nothing in ({}, {"b": None}, {"b": NAN}, {"b": INF}, {"b": np.float32("nan")}):
        model = small()
        taught(model, data)
        said.append(model.predict_one({"a": 1.0, "c": 2.0, **nothing}))
    assert len(set(said)) == 1


def test_any_name_in_any_order_and_any_number_will_do():
    model, other, data = small(), small(), rows(40)
    for x, y in data:
        model.learn_one({1: x["a"], ("t", 2): x["b"], None: True, "z": np.int8(3)}, y)
        other.learn_one({"z": 3, None: 1.0, ("t", 2): x["b"], 1: x["a"]}, np.float64(y))
    assert pickle.dumps(model._learner.engine) == pickle.dumps(other._learner.engine)


def test_features_that_appear_later_leave_the_old_ones_what_they_were():
    model, data = small(), rows(80)
    taught(model, [({"b": x["b"]}, y) for x, y in data])
    before = model.predict_one({"b": 0.7})
    model._learner.features.admit({"a": 1.0, "c": 2.0})
    learner = model._learner
    learner.engine = learner.engine.widen(learner._fields())
    learner._columns = 3
    assert model._learner.features.names == ("b", "a", "c")
    assert model.predict_one({"b": 0.7}) == pytest.approx(before, rel=1e-4)
    taught(model, data)
    assert math.isfinite(model.predict_one({}))


def one_by_one(names, every=1):
    """Give rows of which each brings a new feature, after a row of one."""
    rng = np.random.default_rng(5)
    for i in range(names * every):
        values = rng.standard_normal(1 + i // every)
        yield {f"f{j:03}": v for j, v in enumerate(values.tolist())}, float(values[0])


@pytest.mark.parametrize("names", [33, 65, 129])
def test_features_that_come_one_by_one_copy_the_engine_a_few_times(names, monkeypatch):
    copies, widen = [], Engine.widen
    monkeypatch.setattr(
        Engine, "widen", lambda self, fields: copies.append(1) or widen(self, fields)
    )
    taught(small(lags=1), one_by_one(names))
    assert len(copies) <= 2 + math.log(names, 1.5)


def test_room_for_features_to_come_changes_no_forecast(monkeypatch):
    data = list(one_by_one(20, every=7))
    roomy = taught(small(lags=2), data)
    monkeypatch.setattr(learner, "GROWTH", 1)
    copied = taught(small(lags=2), data)
    np.testing.assert_allclose(roomy, copied, rtol=1e-9, atol=1e-12)


def test_one_late_feature_takes_no_room_for_others():
    model = small()
    taught(model, rows(9, 3) + rows(9, 4))
    assert len(model._learner.engine.fields) == 1 + 4


def test_columns_that_wait_are_named_nowhere_and_survive_a_copy():
    model, data = small(), list(one_by_one(12, every=3))
    taught(model, data[:23])
    assert len(model._learner.engine.fields) > 1 + len(model._learner.features)
    named = model._learner.inputs(0)
    assert {name for name in named if "f" in name} == {
        f"{how}(f{i:03})" for how in ("change", "level") for i in range(8)
    }
    twin = copy.deepcopy(model)
    assert taught(twin, data[23:]) == taught(model, data[23:])


def test_what_is_no_number_is_named():
    model = small()
    taught(model, rows(5))
    with pytest.raises(FeatureError, match="'a': expected a number or a date, was 'x'"):
        model.predict_one({"a": "x"})
    with pytest.raises(FeatureError, match="'y'"):
        model.learn_one({"a": 1.0}, "high")
    day = dt.date(2024, 2, 1)
    with pytest.raises(
        FeatureError, match=r"'a': expected a number, was datetime\.date"
    ):
        model.predict_one({"a": day})
    for x in (None, [1.0], 5):
        for call in (model.predict_one, lambda x: model.learn_one(x, 1.0)):
            with pytest.raises(FeatureError, match="'x': expected a dict of features"):
                call(x)


def test_numbers_stay_finite_whatever_came_before():
    model, rng = small(), np.random.default_rng(0)
    for i in range(400):
        size = 10.0 ** rng.integers(-300, 300)
        x = {"a": size * rng.standard_normal(), "b": [None, NAN, -INF, 1e308][i % 4]}
        assert math.isfinite(model.predict_one(x))
        model.learn_one(x, [size, -1e300, NAN, 0.0][i % 4])
    taught(model, rows(50))
    assert math.isfinite(model.predict_one({}))


def test_intervals_hold_what_was_asked_for_and_have_no_end_before():
    model, data, held = SFMRegressor(confidence_level=0.8), rows(1500), []
    assert model.predict_one({}, with_interval=True) == conf.Interval(-INF, INF)
    for x, y in data:
        held.append(y in model.predict_one(x, with_interval=True))
        model.learn_one(x, y)
    assert np.mean(held[100:]) == pytest.approx(0.8, abs=0.03)


def test_the_memory_names_the_period_that_is_there():
    model = SFMRegressor()
    period = 1 / model.frequencies[3]
    for t in range(600):
        model.learn_one({}, math.sin(2 * math.pi * t / period))
    assert model.dominant_period == pytest.approx(period)
    assert list(model.amplitudes) == model.frequencies
    found = np.sqrt(np.mean(np.abs(model.coefficients) ** 2, axis=1))
    np.testing.assert_allclose(found, list(model.amplitudes.values()), rtol=1e-5)


def test_before_anything_is_known_all_can_be_read():
    model = small()
    assert set(model.amplitudes.values()) == {0.0}
    assert model.coefficients.shape == (3, 4)
    assert (model.n_seen, model.n_drifts, model.predict_one({"a": 1.0})) == (0, 0, 0.0)
    assert "Nothing is learned" in model.debug_one({})


def test_to_debug_says_experts_inputs_and_frequencies_and_changes_nothing():
    model, data = small(), rows(40)
    taught(model, data)
    before = pickle.dumps(model)
    text = model.debug_one(data[0][0])
    assert pickle.dumps(model) == before
    for part in ("40 rows", "sfm-rls: ", "strongest inputs", "amplitude"):
        assert part in text


def test_the_rate_reaches_the_optimiser():
    model, other, data = small(), small(lr=0.1), rows(40)
    model.mutate({"lr": 0.1})
    assert taught(model, data) == taught(other, data)
    assert model.clone().lr == 0.1
    with pytest.raises(ConfigError, match=r"^lr: expected"):
        model.mutate({"lr": -1.0})
    assert model.lr == 0.1


def test_a_drift_is_counted_and_adapted_to():
    class Always(drift.ADWIN):
        def update(self, _):
            self._drift_detected = True

    model, data = small(drift_detector=Always()), rows(30)
    taught(model, data)
    assert model.n_drifts == 29
    assert not model._learner.engine.view("moment").any()
    assert small().n_drifts == 0


def test_memory_counts_what_the_engine_holds():
    model, large = small(), small(n_outputs=64)
    empty = model._raw_memory_usage
    taught(model, rows(5))
    taught(large, rows(5))
    assert model._raw_memory_usage >= empty + model._learner.engine.nbytes
    assert large._raw_memory_usage > model._raw_memory_usage
    assert model._raw_memory_usage < 2**22


@pytest.mark.parametrize("parameters", [
    {"n_states": 0}, {"optimizer": "sgd"}, {"loss": "absolute"}, {"cell": "lstm"},
    {"confidence_level": 1.5}, {"seed": -1},
])  # fmt: skip
def test_what_cannot_be_is_refused_at_once(parameters):
    with pytest.raises(ConfigError):
        small(**parameters)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_frames_teach_what_rows_teach_to_the_last_bit(make):
    model, other, data = small(), small(), rows(90)
    frame = make([x for x, _ in data])
    y = (
        frame["a"] * 0 + [y for _, y in data]
        if make is pd.DataFrame
        else pl.Series([y for _, y in data])
    )
    model.learn_many(frame[:50], y[:50])
    model.learn_many(frame[50:], y[50:])
    taught(other, data)
    assert pickle.dumps(model) == pickle.dumps(other)
    many = model.predict_many(frame)
    assert type(many) is type(y)
    assert list(many) == [model.predict_one(x) for x, _ in data]


def test_frames_are_watched_for_drifts_row_by_row():
    model, other = (small(drift_detector=drift.PageHinkley(threshold=1)) for _ in "ab")
    data = rows(60)
    model.learn_many(
        pd.DataFrame([x for x, _ in data]), pd.Series([y for _, y in data])
    )
    taught(other, data)
    assert model.n_drifts == other.n_drifts
    assert pickle.dumps(model._learner) == pickle.dumps(other._learner)


def test_wrappers_and_pipelines_of_river_can_use_it():
    data = rows(60)
    alone = taught(small(), data)
    jackknife = conf.RegressionJackknife(small())
    assert taught(jackknife, data) == alone
    pipeline = preprocessing.StandardScaler() | small()
    assert np.isfinite(taught(pipeline, data)).all()
    assert isinstance(
        pipeline.predict_one(data[0][0], with_interval=True), conf.Interval
    )
    for judge in (
        model_selection.GreedyRegressor([small(), linear_model.LinearRegression()]),
        ensemble.EWARegressor([small(), linear_model.LinearRegression()]),
    ):
        score = evaluate.progressive_val_score(data, judge, metrics.MAE())
        assert math.isfinite(score.get())


def test_dates_are_read_as_calendars():
    model = small()
    for x, y in datasets.AirlinePassengers():
        model.learn_one(x, y)
    names = model._learner.features.names
    assert ("month", "year sin") in names
    assert len(names) == 6
    assert math.isfinite(model.predict_one({"month": dt.date(1961, 1, 1)}))


def test_water_is_forecast_as_well_as_the_readme_says():
    model, errors = SFMRegressor(), []
    for x, y in datasets.WaterFlow():
        errors.append(abs(model.predict_one(x) - y))
        model.learn_one(x, y)
    assert np.mean(errors[16:]) < 0.65


@pytest.mark.parametrize("name", ["regressor", "multi_target", "forecaster"])
def test_examples_in_docstrings_are_true(name):
    module = importlib.import_module(f"sfm_stream.river.{name}")
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried > 3


# Tables in all their makes.


def targets_of(y):
    return [
        pd.Series(y), pl.Series(list(y)), np.array(y), np.array(y)[:, None], list(y),
        tuple(y), pd.DataFrame({"y": y}), pl.DataFrame({"y": list(y)}),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", range(8))
def test_targets_may_come_as_anything_that_holds_one_column(kind):
    x, y = zip(*rows(30), strict=True)
    model, plain = small(), small()
    model.learn_many(pl.DataFrame(list(x)), targets_of(y)[kind])
    plain.learn_many(pl.DataFrame(list(x)), pl.Series(list(y)))
    assert model.predict_one(x[-1]) == plain.predict_one(x[-1])


@pytest.mark.parametrize("kind", range(8))
def test_targets_of_another_length_are_refused_before_anything_is_learned(kind):
    x, y = zip(*rows(30), strict=True)
    model = small()
    with pytest.raises(ShapeError, match=r"y: expected shape \(30,\), was \(29,\)"):
        model.learn_many(pl.DataFrame(list(x)), targets_of(y[:29])[kind])
    assert (model.n_seen, len(model._learner.features)) == (0, 0)


@pytest.mark.parametrize("nothing", [None, NAN, INF])
@pytest.mark.parametrize("first", [0, 1, 7, 30])
def test_a_column_that_is_empty_at_first_is_learned_as_row_by_row(nothing, first):
    x, y = zip(*rows(30), strict=True)
    late = [{**row, "a": 1.0 * i if i >= first else nothing} for i, row in enumerate(x)]
    model, one = small(), small()
    model.learn_many(pl.DataFrame(late, infer_schema_length=None), pl.Series(list(y)))
    for row, target in zip(late, y, strict=True):
        one.learn_one(row, target)
    assert model._learner.features.names == one._learner.features.names
    assert model.predict_one(x[0]) == one.predict_one(x[0])


def test_a_row_that_is_refused_changes_nothing():
    x, y = zip(*rows(20), strict=True)
    model, other = small(), small()
    for i, (row, target) in enumerate(zip(x, y, strict=True)):
        for bad in ({**row, "new": 1.0, "text": "?"}, {**row, "text": "?"}):
            with pytest.raises(FeatureError):
                model.learn_one(bad, target)
        with pytest.raises(FeatureError):
            model.learn_one({**row, f"new {i}": 1.0}, "?")
        model.learn_one(row, target)
        other.learn_one(row, target)
    assert model._learner.features.names == other._learner.features.names
    assert model.predict_one(x[0]) == other.predict_one(x[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_states", 0), ("n_frequencies", -1), ("n_outputs", 0.5), ("cell", "x"),
        ("grid", "x"), ("longest_period", 0.0), ("lags", 0), ("optimizer", "sgd"),
        ("lr", 0.0), ("clip_gradient", -1.0), ("window_size", 0),
        ("confidence_level", 1.0), ("seed", -1), ("loss", "x"),
    ],
)  # fmt: skip
def test_an_error_names_the_parameter_it_is_about(name, value):
    with pytest.raises(ConfigError) as refused:
        small(**{name: value})
    assert refused.value.at == name
