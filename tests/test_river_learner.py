from __future__ import annotations

import math
import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.config import from_tree
from sfm_stream.river.learner import Learner

SETTINGS = from_tree({
    "model": {"states": 2, "frequencies": 2, "outputs": 2},
    "stream": {"missing": "mean"},
    "target": {"values": ["y0"]},
    "features": {"lags": 2},
    "learn": {"window": 4, "every": 4},
})  # fmt: skip
NUMBERS = st.one_of(st.floats(-9, 9), st.just(math.nan), st.just(math.inf))


@settings(max_examples=15)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12), st.integers(0, 12))
def test_rows_together_and_one_by_one_teach_the_same(rows, cut):
    one, many = Learner(SETTINGS), Learner(SETTINGS)
    for a, y in rows:
        one.learn({"a": a}, {"y": y})
    table = np.array(rows, float).reshape(-1, 2)
    for part in (table[:cut], table[cut:]):
        many.learn_many(["a"], part[:, :1], part[:, 1])
    assert pickle.dumps(one) == pickle.dumps(many)


ROWS = st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.5, 2.0, math.nan]))


@settings(max_examples=25)
@given(st.lists(st.tuples(ROWS, st.lists(ROWS, max_size=2), st.booleans()), max_size=9))
def test_what_was_peeked_at_before_decides_nothing(steps):
    one, other = Learner(SETTINGS), Learner(SETTINGS)
    for number, (x, peeked, same) in enumerate(steps):
        for row in [*peeked, *([dict(x)] if same else [])]:
            other.peek(row)
        for learner in (one, other):
            learner.learn(x, {"y": math.sin(number)})
    assert pickle.dumps(one) == pickle.dumps(other)


def test_a_row_that_is_changed_after_the_peek_is_learned_as_it_is():
    one, other = Learner(SETTINGS), Learner(SETTINGS)
    for i in range(9):
        x = {"a": float(i)}
        other.peek(x)
        x["a"] = 0.25 * i
        for learner in (one, other):
            learner.learn(x, {"y": math.sin(i)})
    assert pickle.dumps(one) == pickle.dumps(other)


def test_a_tick_is_the_row_and_the_last_known_target_and_its_label_the_next():
    learner = Learner(SETTINGS)
    assert learner.peek({"a": 1.0}) is None
    assert learner.learn({"a": 1.0}, {"y": 5.0}).tolist() == []
    mean, *bounds = learner.peek({"a": 2.0})[0, 0].tolist()
    assert mean == 5.0
    assert all(map(math.isnan, bounds))
    (score,) = learner.learn({"a": 2.0}, {"y": 7.0}).tolist()
    assert (score[0], score[2]) == (7.0, 5.0)
    said = learner.peek({"a": 2.0})[0, 0, 0]
    assert learner.learn({"a": 2.0}, {"y": None}).tolist() == []
    (score,) = learner.learn({"a": 2.0}, {"y": 8.0}).tolist()
    assert (score[0], score[2]) == (8.0, said)
    assert learner.seen == 4


def test_an_unknown_target_costs_the_forecasts_after_it_little():
    def missed(is_known):
        learner, errors = Learner(SETTINGS), []
        for i in range(800):
            y = math.sin(i / 5)
            if i > 400:
                errors.append(abs(learner.peek({})[0, 0, 0] - y))
            learner.learn({}, {"y": y if is_known(i) else None})
        return sum(errors) / len(errors)

    assert missed(lambda i: i % 20) < 1.5 * missed(lambda _: True)


def test_what_is_supposed_moves_the_memory_and_teaches_nothing():
    learner = Learner(SETTINGS)
    for i in range(20):
        learner.learn({}, {"y": math.sin(i)})
    theta = learner.engine.view("theta").copy()
    learner.suppose([{}, {}], np.array([4.0, 5.0]))
    np.testing.assert_array_equal(learner.engine.view("theta"), theta)
    assert learner.known == [5.0]


def test_nothing_to_adapt_is_no_error():
    learner = Learner(SETTINGS)
    learner.adapt()
    assert learner.seen == 0
