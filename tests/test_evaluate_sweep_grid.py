from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.errors import ConfigError
from sfm_stream.evaluate.sweep import grid

KEYS = st.lists(st.sampled_from("abcdef"), unique=True, max_size=4)
VALUES = st.lists(st.integers(0, 99).map(str), unique=True, min_size=1, max_size=4)


def test_the_last_setting_turns_fastest():
    found = grid.read(["learn.lr=1e-3,3e-3", "run.seed=4", "model.cell=sfm, a-sfm"])
    points = found.points()
    assert points == [
        ("1e-3", "sfm"), ("1e-3", "a-sfm"), ("3e-3", "sfm"), ("3e-3", "a-sfm")
    ]  # fmt: skip
    assert found.overrides(points[1]) == [
        "run.seed=4", "learn.lr=1e-3", "model.cell=a-sfm"
    ]  # fmt: skip


def test_a_comma_in_brackets_or_quotes_belongs_to_the_value():
    found = grid.read(["target.values=['a,b', 'c'],['d']", 'stream.name="x,y"'])
    assert found.varied == {"target.values": ("['a,b', 'c']", "['d']")}
    assert found.fixed == ('stream.name="x,y"',)


def test_a_value_that_stands_twice_is_tried_once_and_alone_is_fixed():
    found = grid.read(["model.states=4,4", "learn.lr=1e-3, 1e-2,1e-3"])
    assert found.fixed == ("model.states=4",)
    assert found.varied == {"learn.lr": ("1e-3", "1e-2")}


def test_nothing_to_vary_is_one_point():
    assert grid.read([]).points() == [()]


@pytest.mark.parametrize(
    ("given", "blamed"),
    [
        (["a.b=1", "a.b=2,3"], "a.b stands twice"),
        (["a.b=1,"], "'a.b=1,'"),
        (["a.b"], "'a.b'"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, blamed):
    with pytest.raises(ConfigError, match=blamed):
        grid.read(given)


@given(keys=KEYS, data=st.data())
def test_every_combination_is_there_once(keys, data):
    values = {f"t.{key}": data.draw(VALUES) for key in keys}
    found = grid.read([f"{key}={','.join(each)}" for key, each in values.items()])
    made = [tuple(sorted(found.overrides(point))) for point in found.points()]
    count = 1
    for each in values.values():
        count *= len(each)
    assert len(made) == len(set(made)) == count


def test_values_are_numbers_where_toml_reads_numbers():
    assert [grid.plain(text) for text in ("3", "1e-3", "sfm")] == [3, 1e-3, "sfm"]
