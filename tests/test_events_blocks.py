from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.events import (
    CONTROLS,
    Block,
    Closed,
    Control,
    Gap,
    Heartbeat,
    Label,
    Tick,
)
from sfm_stream.events.blocks import concatenate, pack, pieces, select, unpack
from sfm_stream.events.columns import Growing

NAMES = st.sampled_from(["", "a", "b", "\u00e9\u6f22"])
TIMES = st.integers(-(2**63), 2**63 - 1)
PAIRS = st.tuples(*[st.floats(width=64)] * 2)
EVENTS = st.lists(
    st.one_of(
        st.builds(Tick, NAMES, TIMES, PAIRS, TIMES),
        st.builds(
            Gap, NAMES, TIMES, st.text(max_size=3), st.none() | st.integers(0, 9)
        ),
        st.builds(Heartbeat, NAMES, TIMES),
        st.builds(Control, NAMES, TIMES, st.sampled_from(CONTROLS)),
        st.builds(Closed, TIMES, st.text(max_size=3)),
        st.builds(Label, NAMES, TIMES, PAIRS),
    ),
    max_size=8,
)


def said(events):
    """Give what can be compared: NaN equals itself, and 0.0 is not -0.0."""
    return list(map(repr, events))


@settings(max_examples=200)
@given(EVENTS, st.integers(0, 8))
def test_a_block_comes_back_from_its_bytes(events, names):
    growing = Growing(2)
    for number in range(names):  # of whom this block says nothing
        growing.add(Tick(f"s{number}", 1, (1.0, 1.0), 1))
    growing.take()
    for event in events:
        growing.add(event)
    block = unpack(pack(growing.take()))
    assert said(block.events()) == said(events)
    assert block.values.shape == (len(events), 2)
    assert len(block.streams) <= max(len(block), 1)


def test_columns_that_come_back_are_as_the_kernels_take_them():
    block = unpack(pack(Block.of([Tick("a", 1, (1.0,), 2), Gap("a", 3, "lost")], 1)))
    for name in ("kind", "stream", "time", "received", "values", "code"):
        assert getattr(block, name).flags.carray, name


def test_minus_zero_stays_what_it_is():
    block = unpack(pack(Block.of([Tick("a", 1, (-0.0,), 2)], 1)))
    assert math.copysign(1.0, block.values[0, 0]) == -1.0


@pytest.mark.parametrize(
    "data", [b"", b"\x90", pack(Block.of([Heartbeat("", 1)], 1))[:-3], b"\x81\xa1a\x01"]
)
def test_what_is_no_block_is_refused(data):
    with pytest.raises(msgspec.DecodeError):
        unpack(data)


def test_a_column_of_another_length_is_refused():
    packed = msgspec.msgpack.decode(pack(Block.of([Tick("a", 1, (1.0,), 2)], 1)))
    packed[3]["time"] = b"\0" * 7
    with pytest.raises(msgspec.DecodeError, match="column time: expected 1 numbers"):
        unpack(msgspec.msgpack.encode(packed))


@settings(max_examples=100)
@given(EVENTS, st.data())
def test_some_events_of_a_block_keep_their_notes(events, data):
    keep = data.draw(
        st.lists(st.booleans(), min_size=len(events), max_size=len(events))
    )
    part = select(Block.of(events, 2), np.array(keep, bool))
    expected = [event for event, kept in zip(events, keep, strict=True) if kept]
    assert said(part.events()) == said(expected)


@settings(max_examples=50)
@given(st.lists(EVENTS, min_size=1, max_size=4), st.booleans())
def test_joined_blocks_hold_all_events(parts, one_table):
    growing, blocks = Growing(2), []
    for part in parts:
        growing = growing if one_table else Growing(2)
        for event in part:
            growing.add(event)
        blocks.append(growing.take())
    joined = concatenate(blocks)
    assert said(joined.events()) == said([e for part in parts for e in part])


def test_joined_blocks_of_one_table_keep_it():
    growing = Growing(1)
    growing.add(Tick("a", 1, (1.0,), 1))
    growing.take()
    blocks = []
    for time in (2, 3):
        growing.add(Tick("a", time, (1.0,), time))
        blocks.append(growing.take())
    assert concatenate(blocks).streams is growing.streams


@pytest.mark.parametrize("width", [0, 1, 8])
@pytest.mark.parametrize("size", [1, 500, 4_096, 10**6])
def test_a_block_is_cut_into_as_few_pieces_as_the_size_allows(width, size):
    time = np.arange(700) + 2**40
    block = Block.ticks(time, np.ones((700, width)), streams=("a",))
    found = list(pieces(block, size))
    assert np.concatenate([piece.time for piece in found]).tolist() == time.tolist()
    for piece in found:
        assert len(piece) == 1 or len(pack(piece)) <= size
    # an event takes 64 bytes and its values at most
    assert len(found) <= max(-(-700 // max(size // (64 + 8 * width), 1)), 1)
