from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.events import Block, Tick
from sfm_stream.state import widen

START = 1_700_000_000 * 10**9
NAN = float("nan")
COMMON = {
    "model": {"states": 4, "frequencies": 3, "outputs": 5},
    "stream": {"missing": "mean"},
    "features": {"lags": 3},
    "learn": {"window": 8, "every": 8},
}
BY_INPUT = ("input_mean", "input_var", "input_count")


def make(fields, targets=("y",), **tables):
    tree = {**COMMON, "target": {"values": list(targets), "horizons": [1, 3]}, **tables}
    return Engine(config.from_tree(tree), fields)


def ticks(values, start=0):
    time = START + (start + np.arange(len(values))) * 10**9
    return Block.ticks(time, np.asarray(values, float), streams=("a",))


def walk(count, width, seed=0):
    return np.random.default_rng(seed).standard_normal((count, width)).cumsum(0)


def means(engine, block):
    return engine.run(block).columns["forecasts"]["mean"]


def with_nothing_new(values, places, width):
    wide = np.full((len(values), width), NAN)
    wide[:, places] = values
    return wide


@pytest.mark.parametrize("targets", [("y",), ("y", "x")])
@pytest.mark.parametrize("fields", [("y", "x", "new"), ("new", "x", "other", "y")])
def test_a_wider_engine_says_what_the_narrow_one_says_until_something_new_comes(
    targets, fields
):
    narrow, wide = make(("y", "x"), targets), make(("y", "x"), targets)
    values = walk(120, 2)
    for engine in (narrow, wide):
        engine.run(ticks(values[:60]))
    wide = wide.widen(fields)
    assert wide.fields == fields
    places = [fields.index("y"), fields.index("x")]
    later = with_nothing_new(values[60:], places, len(fields))
    np.testing.assert_allclose(
        means(wide, ticks(later, 60)), means(narrow, ticks(values[60:], 60)), rtol=1e-3
    )


@pytest.mark.parametrize("begun", range(64, 72))
def test_an_update_that_is_under_way_is_widened_with_the_rest(begun):
    learn = {"window": 8, "every": 8, "schedule": "striped"}
    narrow, wide = make(("y", "x"), learn=learn), make(("y", "x"), learn=learn)
    values = walk(120, 2)
    for engine in (narrow, wide):
        engine.run(ticks(values[:begun]))
    wide = wide.widen(("new", "y", "x"))
    later = with_nothing_new(values[begun:], [1, 2], 3)
    np.testing.assert_allclose(
        means(wide, ticks(later, begun)),
        means(narrow, ticks(values[begun:], begun)),
        rtol=1e-3,
    )


def test_every_input_keeps_its_statistics_weights_and_moments_under_its_name():
    engine = make(("y", "x"))
    engine.run(ticks(walk(60, 2)))
    names, (before, _) = engine.inputs["y"], engine.snapshot()
    rows = engine._bank.weights(0)["w_in"].copy()
    engine = engine.widen(("w", "x", "y"))
    after, _ = engine.snapshot()
    seen = [engine.inputs["y"].index(name) for name in names]
    new = np.setdiff1d(np.arange(len(engine.inputs["y"])), seen)
    for name in BY_INPUT:
        np.testing.assert_array_equal(after[name][:, seen], before[name])
        assert not after[name][:, new].any()
    wide = engine._bank.weights(0)["w_in"]
    np.testing.assert_array_equal(wide[seen], rows[: len(names)])
    np.testing.assert_array_equal(wide[len(seen) + len(new) :], rows[len(names) :])
    assert not wide[new].any()
    for name in ("moment", "moment2", "weights"):
        assert np.count_nonzero(after[name]) == np.count_nonzero(before[name])


def test_least_squares_knows_nothing_of_what_is_new_and_is_unsure_of_it():
    engine = make(("y", "x"))
    engine.run(ticks(walk(60, 2)))
    before, _ = engine.snapshot()
    engine = engine.widen(("y", "x", "new"))
    after, _ = engine.snapshot()
    new = [i for i, name in enumerate(engine.inputs["y"]) if "new" in name]
    width = engine._bank.layout.sizes.regressors - engine._bank.layout.sizes.outputs
    old = np.setdiff1d(np.arange(width), new)
    # `rls` is the first of its kind and sees all but the cell
    theta = after["theta"][..., :width]
    cov = after["cov"][..., : width * width].reshape(1, 2, width, width)
    narrow = len(old)
    was = before["cov"][..., : narrow * narrow].reshape(1, 2, narrow, narrow)
    was = np.tril(was) + np.swapaxes(np.tril(was, -1), -1, -2)
    np.testing.assert_array_equal(theta[..., old], before["theta"][..., :narrow])
    np.testing.assert_array_equal(cov[..., old[:, None], old], was)
    assert not theta[..., new].any()
    # `sfm-rls` and `sfm-rls-wide` come behind it, and see all.
    whole = engine._bank.layout.sizes.regressors
    behind = np.array(new) + engine._bank.layout.sizes.z_seen
    parts = np.split(after["theta"][..., width:], 2, axis=-1)
    for part, had in zip(
        parts, np.split(before["theta"][..., narrow:], 2, axis=-1), strict=True
    ):
        assert part.shape[-1] == whole
        np.testing.assert_array_equal(np.delete(part, behind, axis=-1), had)
        assert not part[..., behind].any()
    assert not cov[..., new, :][..., old].any()
    assert (cov[..., new, new] == 1.0 / engine.config.forecast.ridge).all()


def covariances(engine):
    """Copy the halves that count of all experts' inverse covariances."""
    cov = engine.view("cov")
    return np.concatenate([
        np.tril(cov[..., begin : begin + size * size].reshape(-1, size, size)).ravel()
        for _, _, size, _, begin in widen._squares(engine._bank.layout)
    ])  # fmt: skip


@pytest.mark.parametrize("targets", [("y",), ("y", "x")])
def test_a_column_that_waited_for_values_begins_as_one_that_is_new(targets):
    values = with_nothing_new(walk(90, 2), [0, 1], 3)
    engine, fresh = make(("y", "x"), targets), make(("y", "x"), targets)
    engine.run(ticks(values[:30, :2]))
    engine = engine.widen(("y", "x", "late"))
    engine.run(ticks(values[30:], 30))
    grown, theta = covariances(engine), engine.view("theta").copy()
    engine.trust_anew(["late"])
    anew = covariances(engine)
    fresh.run(ticks(values[:, :2]))
    expected = covariances(fresh.widen(("y", "x", "late")))
    assert (grown != anew).any()
    np.testing.assert_allclose(anew, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(theta, engine.view("theta"))


def test_what_is_new_is_learned_from():
    # y moves tomorrow as w stands today
    rng = np.random.default_rng(1)
    w = rng.standard_normal(1_500)
    y = np.concatenate([[0.0], w[:-1]]).cumsum()
    engine = make(("y",))
    engine.run(ticks(y[:500, None]))
    engine = engine.widen(("y", "w"))
    scores = engine.run(ticks(np.stack([y, w], 1)[500:], 500)).columns["scores"]
    late = (scores["horizon"] == 0) & (scores["origin"] > 1_300)
    error = np.abs(scores["truth"] - scores["mean"])[late].mean()
    naive = np.abs(scores["truth"] - scores["naive"])[late].mean()
    assert error < 0.2 * naive


@pytest.mark.parametrize(
    "inputs", [("change", "spread", "level(bid)"), ("change", "level(*)")]
)
def test_derived_signals_find_their_fields_again(inputs):
    # the target `bid` has one input fewer than `mid` where all levels are seen
    made = ("bid", "ask"), ("mid", "bid")
    features = {"inputs": ["level", *inputs], "lags": 3}
    narrow, wide = (make(*made, features=features) for _ in range(2))
    values = walk(80, 2)
    for engine in (narrow, wide):
        engine.run(ticks(values[:40]))
    wide = wide.widen(("new", "ask", "bid"))
    later = with_nothing_new(values[40:], [2, 1], 3)
    found, expected = (
        means(wide, ticks(later, 40)),
        means(narrow, ticks(values[40:], 40)),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@settings(max_examples=10)
@given(st.permutations(["y", "a", "b", "c"]), st.integers(0, 30))
def test_two_steps_of_widening_are_one(fields, cut):
    at_once, in_steps = make(("y",)), make(("y",))
    values = walk(40, 1)
    for engine in (at_once, in_steps):
        engine.run(ticks(values[:cut]))
    in_steps = in_steps.widen(tuple(f for f in fields if f != "c"))
    at_once, in_steps = (each.widen(tuple(fields)) for each in (at_once, in_steps))
    (one, meta), (other, other_meta) = at_once.snapshot(), in_steps.snapshot()
    assert meta == other_meta
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], name)


def test_streams_counts_and_knobs_go_on():
    engine = make(("y",))
    engine.run(ticks(walk(10, 1)))
    engine.tune(0.5)
    engine = engine.widen(("y", "x"))
    assert engine.ticks == {"a": 10}
    assert engine.seq == 10
    assert engine.config.learn.lr == 0.5
    assert len(engine.peek(Tick("a", START + 10**11, (1.0, 2.0)))) == 2


def test_to_lose_a_field_is_refused_and_changes_nothing():
    engine = make(("y", "x"))
    with pytest.raises(ConfigError, match=r"\['x'\] absent"):
        engine.widen(("y", "z"))
    assert engine.fields == ("y", "x")


def test_without_a_cell_or_least_squares_there_is_less_to_move():
    for experts in (["last"], ["last", "rls"], ["last", "sfm"]):
        engine = make(("y",), forecast={"experts": experts})
        engine.run(ticks(walk(10, 1)))
        engine = engine.widen(("y", "x"))
        assert len(engine.run(ticks(walk(3, 2), 10)).columns["forecasts"]["mean"]) == 6


def test_fields_beyond_the_limit_of_all_are_refused_while_targets_see_each_other():
    engine = make(("y", "x"), ("y", "x"), features={"widest": 2})
    with pytest.raises(ConfigError, match=r"features\.widest: .*change\(x\).* absent"):
        engine.widen(("y", "x", "z"))
    assert engine.fields == ("y", "x")
