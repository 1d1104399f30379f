from __future__ import annotations

import math

import numpy as np
import pytest

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.events import Tick
from sfm_stream.state import inputs as features
from sfm_stream.state import layout
from sfm_stream.state.inputs import (
    CHANGE,
    ELAPSED,
    FIELD,
    HALF_DAY_COS,
    HALF_DAY_SIN,
    HOUR_COS,
    HOUR_SIN,
    IMBALANCE,
    LEVEL,
    LOG_RETURN,
    MICROPRICE,
    MID,
    NOTHING,
    SPREAD,
    WEEKDAY_COS,
    WEEKDAY_SIN,
)

BOOK = ("bid", "ask", "bid_qty", "ask_qty")
SMALL = {"states": 3, "frequencies": 2, "outputs": 4}
START = 1_700_000_000 * 10**9


def plan(fields, values=(), inputs=("change",)):
    tree = {"target": {"values": list(values)}, "features": {"inputs": list(inputs)}}
    return features.plan(from_tree(tree), fields)


def refusal(fields, values=(), inputs=("change",)):
    with pytest.raises(ConfigError) as caught:
        plan(fields, values, inputs)
    return str(caught.value)


def test_without_a_target_the_first_field_is_forecast():
    made = plan(["x", "y"])
    assert made.targets == ("x",)
    assert made.fields == ("x", "y")
    assert made.target.tolist() == [0]


def test_every_field_is_a_signal_and_derived_ones_follow_once_each():
    made = plan(BOOK, ["mid", "ask"], ["mid", "spread", "mid"])
    assert made.signals.tolist() == [
        [FIELD, 0, 0, 0, 0], [FIELD, 1, 0, 0, 0],
        [FIELD, 2, 0, 0, 0], [FIELD, 3, 0, 0, 0],
        [MID, 0, 1, 0, 0], [SPREAD, 0, 1, 0, 0],
    ]  # fmt: skip
    assert made.target.tolist() == [4, 1]


def test_derived_values_find_their_operands_wherever_they_stand():
    fields = ["ask_qty", "ask", "bid_qty", "bid"]
    made = plan(fields, ["mid", "spread", "imbalance", "microprice"])
    assert made.signals[4:].tolist() == [
        [MID, 3, 1, 0, 0],
        [SPREAD, 3, 1, 0, 0],
        [IMBALANCE, 2, 0, 0, 0],
        [MICROPRICE, 3, 1, 2, 0],
    ]


def test_a_field_may_bear_the_name_of_a_derived_value():
    made = plan(["mid"], ["mid"])
    assert made.signals.tolist() == [[FIELD, 0, 0, 0, 0]]


def test_a_bare_transform_is_that_of_the_target():
    made = plan(["x", "y"], ["y", "x"], ["change", "level", "log-return"])
    codes = [CHANGE, LEVEL, LOG_RETURN]
    assert made.inputs[0].tolist() == [[code, 1] for code in codes]
    assert made.inputs[1].tolist() == [[code, 0] for code in codes]
    assert made.names == (("change", "level", "log-return"),) * 2


def test_a_transform_of_all_is_that_of_every_field():
    made = plan(["x", "y"], ["x"], ["log-return( * )"])
    assert made.inputs[0].tolist() == [[LOG_RETURN, 0], [LOG_RETURN, 1]]
    assert made.names == (("log-return(x)", "log-return(y)"),)


def test_a_bare_value_is_its_level():
    made = plan(BOOK, ["mid"], ["spread", "bid_qty"])
    assert made.inputs[0].tolist() == [[LEVEL, 5], [LEVEL, 2]]
    assert made.names == (("spread", "bid_qty"),)


def test_readings_of_the_clock_need_no_field():
    made = plan(["x"], ["x"], ["elapsed", "hour", "weekday"])
    hands = [HOUR_SIN, HOUR_COS, HALF_DAY_SIN, HALF_DAY_COS]
    codes = [ELAPSED, *hands, WEEKDAY_SIN, WEEKDAY_COS]
    assert made.inputs[0, :, 0].tolist() == codes


def test_an_input_that_is_there_already_is_not_added_again():
    made = plan(
        ["x", "y"], ["x"], ["change", "change(x)", "change(*)", "level(x)", "x"]
    )
    assert made.names == (("change", "change(y)", "level(x)"),)  # fmt: skip


def test_targets_with_fewer_inputs_are_filled_up_with_nothing():
    made = plan(["x", "y"], ["x", "y"], ["change", "change(x)"])
    assert made.names == (("change", "nothing"), ("change", "change(x)"))
    assert made.inputs[0].tolist() == [[CHANGE, 0], [NOTHING, 0]]
    assert made.inputs[1].tolist() == [[CHANGE, 1], [CHANGE, 0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "stream.fields: the feed has no numeric field; name one"),
        (
            (["x", "x"],),
            "stream.fields[1]: expected each name once, was 'x' twice; leave one out",
        ),
        (
            (["x"], ["x", "x"]),
            "target.values[1]: expected each name once, was 'x' twice; leave one out",
        ),
        (
            (["bid"], ["bit"]),
            (
                "target.values[0]: expected a field or derived value, was 'bit'; "
                "did you mean 'bid'?"
            ),
        ),
        (
            (["x"], ["x", "volume"]),
            (
                "target.values[1]: expected a field or derived value, was 'volume'; "
                "there are: x, mid, spread, imbalance, microprice"
            ),
        ),
        (
            (["bid", "x"], ["mid"]),
            (
                "target.values[0]: 'mid' needs the fields bid, ask; ask absent; "
                "name them with feed.columns"
            ),
        ),
        (
            (["x"], ["x"], ["change", "imbalance"]),
            (
                "features.inputs[1]: 'imbalance' needs the fields bid_qty, ask_qty; "
                "bid_qty, ask_qty absent; name them with feed.columns"
            ),
        ),
        (
            (["x"], ["x"], ["chnge(x)"]),
            "features.inputs[0]: expected a transform, was 'chnge'; did you mean 'change'?",
        ),
        (
            (["x"], ["x"], ["sqrt(x)"]),
            (
                "features.inputs[0]: expected a transform, was 'sqrt'; "
                "there are: level, change, log-return"
            ),
        ),
        (
            (["price"], ["price"], ["change(prize)"]),
            (
                "features.inputs[0]: expected a field or derived value, was 'prize'; "
                "did you mean 'price'?"
            ),
        ),
        ((["x"], ["x"], []), "features.inputs: expected at least one, was []"),
    ],
)
def test_what_is_not_there_is_named_with_a_way_out(arguments, message):
    assert refusal(*arguments) == message


@pytest.mark.parametrize(
    ("target", "values", "expected"),
    [
        ("mid", (10.0, 11.0, 1.0, 3.0), 10.5),
        ("spread", (10.0, 11.0, 1.0, 3.0), 1.0),
        ("imbalance", (10.0, 11.0, 1.0, 3.0), -0.5),
        ("imbalance", (10.0, 11.0, 0.0, 0.0), 0.0),
        ("microprice", (10.0, 11.0, 1.0, 3.0), 10.25),
        ("microprice", (10.0, 11.0, 0.0, 0.0), 10.5),
        ("ask_qty", (10.0, 11.0, 1.0, 3.0), 3.0),
    ],
)
def test_a_target_is_computed_from_the_fields_of_its_tick(target, values, expected):
    tree = {"model": SMALL, "target": {"values": [target]}}
    engine = Engine(from_tree(tree), BOOK)
    assert engine.observe(Tick("a", START, values))[0].mean == expected


def inputs_of(engine, event):
    """Give the scaled inputs of a tick."""
    engine.observe(event)
    engine.learn()
    names = engine.inputs[engine.targets[0]]
    slot = engine.ticks[event.stream] - 1
    return dict(zip(names, engine.view("tape_u")[0, slot].tolist(), strict=False))


def test_inputs_are_read_from_the_tick_and_the_one_before():
    inputs = ["level", "change", "log-return", "elapsed", "change(y)"]
    tree = {"model": SMALL, "features": {"inputs": inputs}}
    engine = Engine(from_tree(tree), ["x", "y"])
    nothing = dict.fromkeys(inputs, 0.0)
    # There is no scale yet: one value has no deviation, nor have changes of 0 and 1.
    assert inputs_of(engine, Tick("a", START, (2.0, 1.0))) == nothing
    assert inputs_of(engine, Tick("a", START + 10**9, (3.0, 5.0))) == nothing
    third = inputs_of(engine, Tick("a", START + 3 * 10**9, (6.0, 4.0)))
    # Mean and deviation of what was until then, of the elapsed time a constant.
    changes, ratios = np.array([0.0, 1.0]), np.array([0.0, math.log(1.5)])
    assert third["level"] == pytest.approx((6.0 - 2.5) / 0.5)
    assert third["change"] == pytest.approx((3.0 - changes.mean()) / changes.std())
    ratio = (math.log(2.0) - ratios.mean()) / ratios.std()
    assert third["log-return"] == pytest.approx(ratio)
    assert third["elapsed"] == 0.0
    assert third["change(y)"] == pytest.approx((-1.0 - 2.0) / 2.0)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, (0.0, 1.0, 0.0, 1.0)),
        (3 * 3600, (math.sqrt(0.5), math.sqrt(0.5), 1.0, 0.0)),
        (6 * 3600, (1.0, 0.0, 0.0, -1.0)),
        (12 * 3600, (0.0, -1.0, 0.0, 1.0)),
    ],
)
def test_the_hour_is_a_point_on_the_circles_of_day_and_half_day(seconds, expected):
    tree = {"model": SMALL, "features": {"inputs": ["hour", "weekday"]}}
    engine = Engine(from_tree(tree), ["x"])
    midnight = 1_700_006_400 * 10**9 // (86_400 * 10**9) * (86_400 * 10**9)
    inputs_of(engine, Tick("a", midnight, (1.0,)))
    inputs_of(engine, Tick("a", midnight + seconds * 10**9, (1.0,)))
    hour = engine.view("tape_u")[0, 1, :4] * math.sqrt(0.5) + (0.0, 1.0, 0.0, 1.0)
    assert hour.tolist() == pytest.approx(expected, abs=1e-6)


def test_the_week_turns_once_in_seven_days():
    engine = Engine(from_tree({"model": SMALL, "features": {"inputs": ["weekday"]}}),
                    ["x"])  # fmt: skip
    days = [0.0, 3.5]
    for day in days:
        inputs_of(engine, Tick("a", START + int(day * 86_400) * 10**9, (1.0,)))
    opposite = engine.view("tape_u")[0, 1, :2] * math.sqrt(0.5)
    assert math.hypot(*opposite) == pytest.approx(2.0)


MANY = [f"f{i}" for i in range(17)]
ALL = ("change", "level", "change(*)", "level(*)", "hour")


def test_of_many_fields_other_targets_are_left_out():
    made = plan(MANY, MANY, ALL)
    assert made.names[3][:2] == ("change", "level")
    assert not [name for name in made.names[3] if "(" in name]
    assert made.names[3][-3:] == ("helper 1", "helper 2", "helper 3")
    assert made.helpers == 3
    assert made.inputs.shape[1] == 6 + 3
    assert plan(MANY, MANY, ("change", "level(*)")).helpers == 0, "of levels none"


@pytest.mark.parametrize(("targets", "helpers"), [(MANY[:1], 0), (MANY[:3], 2)])
def test_no_more_helpers_wait_than_there_are_other_targets(targets, helpers):
    assert plan(MANY, targets, ALL).helpers == helpers


def test_of_many_fields_those_that_are_no_targets_stay():
    made = plan(MANY, ["f0", "f1"], ALL)
    seen = {name for name in made.names[0] if name.startswith("change(")}
    assert seen == {f"change(f{i})" for i in range(2, 17)}


def test_up_to_the_limit_and_without_one_all_fields_are_seen():
    for fields, tree in (
        (MANY[:16], {}),
        (MANY, {"widest": None}),
        (MANY, {"widest": 17}),
    ):
        config = from_tree({"target": {"values": fields}, "features": tree})
        made = features.plan(config, fields)
        assert len(
            [name for name in made.names[0] if name.startswith("change")]
        ) == len(fields)


def test_of_far_too_many_fields_a_target_sees_itself_and_those_it_will_choose():
    names = [f"f{i}" for i in range(129)]
    seen = plan(names, ["f0"], ALL)
    assert not [name for name in seen.names[0] if "(" in name]
    assert seen.helpers == 3
    every = features.plan(from_tree({"features": {"most": None}}), names)
    assert sum(name.startswith("change(") for name in every.names[0]) == 128
    assert every.helpers == 0


def test_hundreds_of_targets_fit_where_each_sees_itself():
    names = [f"f{i}" for i in range(862)]
    config = from_tree({"target": {"values": names}})
    laid = layout.lay_out(config, features.plan(config, names))
    assert layout.size(laid, len(names)) < 4 << 30


def test_a_text_in_place_of_the_fields_is_refused():
    with pytest.raises(ConfigError, match=r"was the text 'value'; write \['value'\]"):
        plan("value")
