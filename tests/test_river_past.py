from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sfm_stream.errors import ConfigError
from sfm_stream.river import SFMForecaster, SFMMultiTargetRegressor, SFMRegressor
from sfm_stream.river.past import Past

SMALL = {"n_states": 4, "n_frequencies": 3, "n_outputs": 5, "seed": 1}
ROWS = [({"a": float(np.sin(i))}, float(np.sin(i / 3) + i % 5)) for i in range(120)]


def test_what_was_said_stands_beside_what_came():
    model, said = SFMRegressor(**SMALL, remember=1_000), []
    for x, y in ROWS:
        interval = model.predict_one(x, with_interval=True)
        said.append((model.predict_one(x), interval.lower, interval.upper))
        model.learn_one(x, y)
    found = model.history()
    rows = found["row"].to_list()
    assert rows == list(range(rows[0], 120))
    assert rows[0] <= 1
    assert found["truth"].to_list() == [y for _, y in ROWS[rows[0] :]]
    late = found.tail(60)
    for name, at in (("mean", 0), ("lower", 1), ("upper", 2)):
        told = [one[at] for one in said[60:]]
        np.testing.assert_allclose(late[name].to_numpy(), told, rtol=1e-5, atol=1e-6)
    errors = late["truth"] - late["mean"]
    assert late["error"].to_list() == errors.to_list()


def test_only_as_many_rows_are_kept_as_are_to_be_remembered():
    model = SFMRegressor(**SMALL, remember=30)
    for x, y in ROWS:
        model.learn_one(x, y)
    assert model.history()["row"].to_list() == list(range(90, 120))
    assert model.history(5)["row"].to_list() == list(range(115, 120))


def test_a_frame_of_rows_leaves_the_same_history_as_row_by_row():
    one, many = (SFMRegressor(**SMALL, remember=50) for _ in range(2))
    for x, y in ROWS:
        one.learn_one(x, y)
    X = pd.DataFrame([x for x, _ in ROWS])
    many.learn_many(X, pd.Series([y for _, y in ROWS]))
    assert_frame_equal(one.history(), many.history())


def test_steps_ahead_have_lines_of_their_own():
    model = SFMForecaster(horizon=3, **SMALL, remember=40)
    for _, y in ROWS:
        model.learn_one(y)
    found = model.history()
    assert found["ahead"].unique().sort().to_list() == [1, 2, 3]
    ahead = found.filter(pl.col("ahead") == 3)
    truths = dict(enumerate(y for _, y in ROWS))
    assert ahead["row"].to_list() == list(range(82, 122))
    assert ahead["truth"].to_list() == [truths.get(row) for row in ahead["row"]]


def test_each_target_is_named():
    model = SFMMultiTargetRegressor(**SMALL, remember=20)
    for x, y in ROWS:
        model.learn_one(x, {"u": y, "v": -y})
    found = model.history()
    assert found["target"].unique().sort().to_list() == ["u", "v"]
    u = found.filter(pl.col("target") == "u")
    assert u["truth"].to_list() == [y for _, y in ROWS[100:]]


def test_a_copy_remembers_as_much_and_knows_nothing():
    model = SFMRegressor(**SMALL, remember=20)
    for x, y in ROWS:
        model.learn_one(x, y)
    copy = model.clone()
    assert copy.remember == 20
    assert len(copy.history()) == 0


def test_a_model_that_remembers_nothing_says_how_to():
    with pytest.raises(ConfigError, match="remember=1000"):
        SFMRegressor(**SMALL).history()
    for wrong in (-1, 2.5):
        with pytest.raises(ConfigError, match="expected a whole number from 0 on"):
            SFMRegressor(**SMALL, remember=wrong)
        with pytest.raises(ConfigError, match="n: expected a whole number from 0 on"):
            SFMRegressor(**SMALL, remember=50).history(wrong)


def test_a_model_kept_by_an_earlier_version_goes_on():
    model = SFMRegressor(**SMALL)
    for x, y in ROWS[:40]:
        model.learn_one(x, y)
    del model.__dict__["remember"], model._learner.__dict__["past"]
    other = pickle.loads(pickle.dumps(model))
    other.learn_one(*ROWS[40])
    assert other.n_seen == 41


def test_what_is_kept_is_bounded():
    past = Past(10)
    for first in range(0, 100, 7):
        past.add(first, np.zeros((7, 1, 1, 3)), np.zeros((7, 1)))
        assert len(past._rows) < 2 * 10
