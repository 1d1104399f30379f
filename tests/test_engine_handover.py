from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.engine import Engine, handover
from sfm_stream.errors import CheckpointMismatch, InvalidState
from sfm_stream.events import Block, Control, Gap, Tick
from sfm_stream.state.places import ADAM_STEP, VERSION
from tests.daemon_rig import START, settings_of

TARGETS = {"target": {"values": ["x", "y"], "horizons": [1, 3]}}
BINS = {"stream": {"every": "4ms"}}
SHARED = {"model": {"shared": True}}
CELL = ("weights", "moment", "moment2", "pool")
STRIPED = {"learn": {"schedule": "striped"}}


def engine_of(**tree):
    return Engine(settings_of(**{**TARGETS, **tree}), ("x", "y"))


def ticks(start, stop, *streams):
    return [
        Tick(name, START + i * 10**6, (float(i % 7), float(i % 3) + ord(name[-1])))
        for i in range(start, stop)
        for name in streams
    ]


def said(engine, events):
    return list(engine.run(Block.of(events, 2)).rows())


def told(records, stream):
    """Give what was said of a stream, but for where it stands in a journal."""
    return [
        {k: v for k, v in vars_of(record).items() if k != "seq"}
        for record in records
        if record.stream == stream
    ]


def vars_of(record):
    return {name: repr(getattr(record, name)) for name in record.__struct_fields__}


def moved(names, origin, home):
    handover.take_in(home, names, handover.release(origin, names))


def expect_cell_of(before, after):
    """Expect that the first stream's rows hold a cell, and the second's a copy."""
    for name in CELL:
        np.testing.assert_array_equal(after[name][:2], before[name])
    np.testing.assert_array_equal(after["weights"][2:], before["weights"])


@pytest.mark.parametrize("tree", [{}, BINS, STRIPED], ids=["ticks", "bins", "striped"])
def test_a_stream_says_elsewhere_what_it_would_have_said_at_home(tree):
    stayed, origin, home = (engine_of(**tree) for _ in range(3))
    for one in (stayed, origin):
        said(one, ticks(0, 60, "a", "b", "c"))
    said(home, ticks(0, 20, "z"))
    moved(["b"], origin, home)
    later = ticks(60, 140, "b")
    at_home, elsewhere = said(stayed, later), said(home, later)
    assert told(elsewhere, "b") == told(at_home, "b")
    assert len(told(elsewhere, "b")) > 20


@settings(max_examples=15)
@given(st.sets(st.sampled_from("abcd"), min_size=1), st.permutations("abcd"))
def test_those_that_stay_go_on_as_if_nothing_had_happened(leave, order):
    stayed, origin, home = engine_of(), engine_of(), engine_of()
    for one in (stayed, origin):
        said(one, ticks(0, 40, *order))
    moved(sorted(leave), origin, home)
    later = ticks(40, 80, *order)
    expected, was, there = said(stayed, later), said(origin, later), said(home, later)
    for name in order:
        found = there if name in leave else was
        kinds = [r for r in found if type(r).__name__ != "Rejected"]
        assert told(kinds, name) == told(expected, name)
    strangers = [r for r in was if type(r).__name__ == "Rejected"]
    assert len(strangers) == 40 * len(leave)


def test_a_stream_that_comes_back_goes_on_where_it_was():
    stayed, origin, home = engine_of(), engine_of(), engine_of()
    for one in (stayed, origin):
        said(one, ticks(0, 40, "a", "b"))
    moved(["a"], origin, home)
    abroad = said(home, ticks(40, 60, "a"))
    moved(["a"], home, origin)
    expected = said(stayed, ticks(40, 90, "a"))
    assert told([*abroad, *said(origin, ticks(60, 90, "a"))], "a") == told(
        expected, "a"
    )
    assert home.ticks == {}
    assert origin.ticks == {"a": 90, "b": 40}


def test_snapshots_of_an_engine_without_streams_can_be_restored():
    engine = engine_of()
    said(engine, ticks(0, 10, "a"))
    handover.release(engine, ["a"])
    again = engine_of()
    again.restore(*engine.snapshot())
    assert again.ticks == {}
    assert [type(r).__name__ for r in said(again, ticks(10, 11, "b"))][:1] == [
        "Forecast"
    ]


def test_who_moves_learns_as_those_who_are_there():
    origin, home = engine_of(), engine_of()
    said(origin, ticks(0, 40, "a"))
    said(home, [Control("", START, "freeze")])
    moved(["a"], origin, home)
    records = said(home, [Gap("a", START, "moved"), *ticks(40, 90, "a")])
    assert not any(type(r).__name__ == "Update" for r in records)


def test_a_shared_cell_learns_on_when_its_first_stream_leaves():
    origin, home = engine_of(**SHARED), engine_of(**SHARED)
    said(origin, ticks(0, 80, "a", "b", "c"))
    before = origin.snapshot()[0]
    moved(["a"], origin, home)
    after = origin.snapshot()[0]
    for name in CELL:
        np.testing.assert_array_equal(after[name][:2], before[name][:2])
    assert after["counters"][0, ADAM_STEP] > 0
    steps = after["counters"][:, VERSION].tolist()
    said(origin, ticks(80, 160, "b", "c"))
    assert (origin.snapshot()[0]["counters"][:, VERSION] > steps).all()


def test_streams_that_come_read_the_shared_cell_they_find():
    origin, home = engine_of(**SHARED), engine_of(**SHARED)
    said(origin, ticks(0, 80, "a", "b"))
    said(home, ticks(0, 50, "z"))
    before = home.snapshot()[0]
    moved(["b"], origin, home)
    after = home.snapshot()[0]
    expect_cell_of(before, after)
    said(home, ticks(80, 160, "z", "b"))
    weights = home.snapshot()[0]["weights"]
    np.testing.assert_array_equal(weights[:2], weights[2:])
    assert not np.array_equal(weights[:2], before["weights"])


def test_a_first_stream_that_comes_back_finds_the_cell_of_those_that_stayed():
    origin, home = engine_of(**SHARED), engine_of(**SHARED)
    said(origin, ticks(0, 60, "a", "b"))
    moved(["a"], origin, home)
    said(origin, ticks(60, 120, "b"))
    before = origin.snapshot()[0]
    moved(["a"], home, origin)
    after = origin.snapshot()[0]
    expect_cell_of(before, after)


def test_what_is_not_there_cannot_leave_and_what_is_there_cannot_come():
    origin, home = engine_of(), engine_of()
    for one in (origin, home):
        said(one, ticks(0, 5, "a"))
    with pytest.raises(InvalidState, match="stream 'b': expected one of this run"):
        handover.release(origin, ["b"])
    given = handover.release(origin, ["a"])
    with pytest.raises(InvalidState, match="stream 'a': expected one of this run"):
        handover.release(origin, ["a"])
    before = home.snapshot()[0]
    with pytest.raises(InvalidState, match="expected none of this name"):
        handover.take_in(home, ["a"], given)
    assert all(np.array_equal(a, before[n], equal_nan=a.dtype.kind == "f")
               for n, a in home.snapshot()[0].items())  # fmt: skip


def test_the_rows_of_another_model_are_refused():
    origin = Engine(settings_of(model={"states": 2}), ("x", "y"))
    said(origin, ticks(0, 5, "a"))
    given = handover.release(origin, ["a"])
    with pytest.raises((CheckpointMismatch, ValueError)):
        handover.take_in(engine_of(), ["a"], given)
