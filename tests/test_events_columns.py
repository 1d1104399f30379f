from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.errors import FeatureError, ShapeError
from sfm_stream.events import (
    ALL_STREAMS,
    CLOSED,
    CONTROL,
    CONTROLS,
    GAP,
    HEARTBEAT,
    LABEL,
    NO_TIME,
    TICK,
    Block,
    Closed,
    Control,
    Event,
    Gap,
    Heartbeat,
    Label,
    Tick,
)
from sfm_stream.events.blocks import concatenate
from sfm_stream.events.columns import Growing

NAN = float("nan")
EVENTS = [
    Tick("a", 10, (1.0, 2.0), 11),
    Heartbeat("", 12),
    Tick("b", 13, (3.0, NAN), 14),
    Gap("b", 15, "cut off", 7),
    Gap("", 16, "restarted"),
    Control("a", 17, "freeze"),
    Control("", 18, "learn"),
    Closed(19, "the end"),
    Label("b", 20, (NAN, 5.0)),
]

times = st.integers(-(2**63), 2**63 - 1)
names = st.sampled_from(["a", "b", "BTC-USD", "ü"])
anyone = st.sampled_from(["", "a", "b", "ü"])
numbers = st.floats(width=64)
notes = st.text(max_size=5)
events = st.one_of(
    st.builds(Tick, names, times, st.tuples(numbers, numbers), times),
    st.builds(Gap, anyone, times, notes, st.none() | st.integers(0, 2**62)),
    st.builds(Heartbeat, anyone, times),
    st.builds(Control, anyone, times, st.sampled_from(CONTROLS)),
    st.builds(Closed, times, notes),
    st.builds(Label, names, times, st.tuples(numbers, numbers)),
)


def said(events):
    """Give what can be compared: NaN equals itself, and 0.0 is not -0.0."""
    return list(map(repr, events))


def test_events_become_columns():
    block = Block.of(EVENTS, 2)
    assert block.streams == ("a", "b")
    kinds = [TICK, HEARTBEAT, TICK, GAP, GAP, CONTROL, CONTROL, CLOSED, LABEL]
    assert block.kind.tolist() == kinds
    every = ALL_STREAMS
    assert block.stream.tolist() == [0, every, 1, 1, every, 0, every, every, 1]
    assert block.time.tolist() == [10, 12, 13, 15, 16, 17, 18, 19, 20]
    assert block.received.tolist() == [11, 0, 14, 0, 0, 0, 0, 0, 0]
    assert block.code.tolist() == [0, 0, 0, 7, -1, 1, 0, 0, 0]
    assert block.notes == {3: "cut off", 4: "restarted", 7: "the end"}
    np.testing.assert_array_equal(block.values[0], [1.0, 2.0])
    np.testing.assert_array_equal(block.values[2], [3.0, NAN])
    np.testing.assert_array_equal(block.values[8], [NAN, 5.0])
    assert np.isnan(block.values[[1, 3, 4, 5, 6, 7]]).all()


@settings(max_examples=100)
@given(st.lists(events, max_size=8))
def test_columns_become_the_same_events_again(events):
    assert said(Block.of(events, 2).events()) == said(events)


@settings(max_examples=50)
@given(st.lists(events, max_size=8))
def test_events_survive_being_written_as_messages(events):
    coded = msgspec.msgpack.encode(events)
    assert said(msgspec.msgpack.decode(coded, type=list[Event])) == said(events)


@settings(max_examples=50)
@given(st.lists(events, max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_a_part_of_a_block_holds_its_events_and_their_notes(events, start, length):
    block = Block.of(events, 2)
    part = block[start : start + length]
    expected = events[start : start + length]
    assert len(part) == len(expected)
    assert said(part.events()) == said(expected)


def test_a_part_of_a_block_shares_its_memory():
    block = Block.of(EVENTS, 2)
    assert np.shares_memory(block[2:5].values, block.values)


@settings(max_examples=50)
@given(st.lists(st.lists(events, max_size=5), min_size=1, max_size=4))
def test_joined_blocks_hold_all_events_though_their_tables_differ(parts):
    joined = concatenate([Block.of(part, 2) for part in parts])
    assert said(joined.events()) == said([e for part in parts for e in part])


def test_an_empty_block_has_no_events():
    block = Block.of([], 3)
    assert len(block) == 0
    assert list(block.events()) == []
    assert block.values.shape == (0, 3)


def test_a_tick_whose_stream_has_no_name_is_no_tick_of_all_streams():
    tick = Tick("", 1, (1.0,))
    block = Block.of([Tick("a", 0, (0.0,)), tick, Heartbeat("", 2)], 1)
    assert block.streams == ("a", "")
    assert block.stream.tolist() == [0, 1, ALL_STREAMS]
    assert list(block.events())[1] == tick


def test_a_label_with_the_wrong_number_of_values_is_named():
    with pytest.raises(ShapeError, match=r"label.values: expected shape \(2,\), was"):
        Block.of([Label("b", 1, (1.0,))], 2)


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_a_tick_with_the_wrong_number_of_values_is_named(values):
    with pytest.raises(
        ShapeError, match=r"tick.values: expected shape \(2,\), was"
    ) as e:
        Block.of([Tick("a", 0, (1.0, 2.0)), Tick("b", 1, values)], 2)  # fmt: skip
    assert "stream='b'" in str(e.value)


def test_ticks_alone_need_only_times_and_values():
    time, values = np.array([5, 6]), np.array([[1.0], [2.0]])
    block = Block.ticks(time, values, streams=("a",))
    assert list(block.events()) == [Tick("a", 5, (1.0,), 5), Tick("a", 6, (2.0,), 6)]


def test_ticks_alone_name_streams_and_arrivals_where_given():
    block = Block.ticks(
        np.array([5, 6]),
        np.array([[1.0], [2.0]]),
        streams=("a", "b"),
        stream=np.array([1, 0], np.int32),
        received=np.array([8, 9]),
    )
    assert list(block.events()) == [Tick("b", 5, (1.0,), 8), Tick("a", 6, (2.0,), 9)]


@pytest.mark.parametrize("shape", [(3, 1), (1, 1), (2,), (2, 1, 1)])
def test_ticks_whose_columns_differ_in_length_are_refused(shape):
    with pytest.raises(ShapeError, match=r"values: expected shape \(2, F\), was"):
        Block.ticks(np.array([5, 6]), np.zeros(shape), streams=("a",))


def test_ticks_of_whole_numbers_become_floats_in_rows():
    values = np.arange(6).reshape(2, 3).T
    block = Block.ticks(np.arange(3), values, streams=("a",))
    assert block.values.dtype == np.float64
    assert block.values.flags.c_contiguous
    assert math.isclose(block.values[2, 1], 5.0)


def test_an_event_cannot_be_changed():
    with pytest.raises(AttributeError):
        EVENTS[0].time = 0


@pytest.mark.parametrize("number", [2**63, 2**70, 10**40])
def test_numbers_beyond_64_bits_of_any_event_fit_a_block(number):
    events = [
        Tick("a", number, (1.0,), number), Gap("a", number, "lost", number),
        Heartbeat("a", -number), Label("a", number, (1.0,)), Control("a", number, "learn"),
        Closed(number, "over"),
    ]  # fmt: skip
    block = Block.of(events, 1)
    assert set(block.time.tolist()) == {NO_TIME}
    assert block.code[1] == 2**63 - 1


@pytest.mark.parametrize("times", [np.arange(3) * 1e9, [1.5, 2, 3], ["a", "b", "c"]])
def test_times_of_ticks_are_whole_numbers(times):
    with pytest.raises(FeatureError, match="'time': expected whole numbers of ns"):
        Block.ticks(times, np.ones((3, 1)), streams=("s",))


def test_dates_in_ns_are_times_of_ticks():
    times = np.arange(3) * 10**9
    block = Block.ticks(times.astype("M8[ns]"), np.ones((3, 1)), streams=("s",))
    assert block.time.tolist() == times.tolist()


def test_values_of_ticks_are_numbers():
    with pytest.raises(FeatureError, match="'values': expected floats, was 'str"):
        Block.ticks(np.arange(1), np.array([["a"]]), streams=("s",))


def test_a_block_that_grew_names_the_value_that_is_no_number():
    growing = Growing(2)
    growing.add(Tick("s", 1, (1.0, 2.0)))
    growing.add(Tick("s", 2, (1.0, "x")))
    with pytest.raises(FeatureError, match=r"values\[1\].*was 'x'"):
        growing.take()
