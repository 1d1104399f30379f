from __future__ import annotations

import numpy as np
import pytest

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.engine.streams import FURTHER, StreamTable
from sfm_stream.errors import FeatureError, InvalidState
from sfm_stream.events import ALL_STREAMS, Block, Control, Gap, Heartbeat, Label, Tick
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROW
from sfm_stream.records import Rejected
from sfm_stream.settings import Stream

ANY = Stream()
SECOND = 10**9
T0 = 1_700_000_000 * SECOND
EVENTS = [
    Gap("never", 1, "cut off"), Tick("b", 1, (1.0,)), Tick("a", 1, (1.0,)),
    Control("c", 1, "freeze"), Tick("b", 1, (1.0,)), Heartbeat("", 1),
]  # fmt: skip


def test_streams_are_new_once_in_the_order_of_ticks_and_controls():
    table, block = StreamTable(ANY), Block.of(EVENTS, 1)
    assert table.newcomers(block) == ["b", "a", "c"]
    table.add("a", 0)
    assert table.newcomers(block) == ["b", "c"]


def test_events_find_their_rows():
    table = StreamTable(ANY)
    for name, row in (("a", 0), ("b", NO_ROW), ("c", 2)):
        table.add(name, row)
    numbers = table.of(Block.of(EVENTS, 1))
    assert numbers.tolist() == [NO_ROW, 1, 0, 2, 1, ALL_STREAMS]
    rows = table.rows(numbers).tolist()
    assert rows == [NO_ROW, NO_ROW, 0, 2, NO_ROW, ALL_ROWS]


def test_the_row_of_a_stream_without_a_number_is_none():
    table = StreamTable(ANY)
    assert table.row("a") == NO_ROW
    for name in "abc":
        table.add(name, len(table.numbers))
    assert table.row("d") == NO_ROW
    assert table.find("d") == (NO_ROW, NO_ROW)


def test_a_roster_comes_back_from_plain_values():
    table = StreamTable(ANY)
    table.add("a", 0)
    table.add("b", NO_ROW)
    again = StreamTable(ANY)
    again.restore(list(table.numbers), table.first_row.tolist())
    assert again.numbers == table.numbers
    np.testing.assert_array_equal(again.first_row, table.first_row)


# Streams too many.

CROWDED = "more streams than stream.max_streams"


def engine(**stream):
    tree = {"stream": {"max_streams": 2, **stream}}
    tree["model"] = {"states": 4, "frequencies": 3, "outputs": 5}
    return Engine(config.from_tree(tree), ("x",))


def ticks(*names):
    return [Tick(name, T0 + i * SECOND, (float(i),)) for i, name in enumerate(names)]


def rejections(records):
    return [(r.stream, r.reason) for r in records if isinstance(r, Rejected)]


def test_ticks_of_streams_too_many_are_rejected_and_take_no_memory():
    model = engine()
    block = Block.of(ticks(*"abcabdab"), 1)
    found = rejections(model.run(block).rows())
    assert found == [("c", CROWDED), ("d", CROWDED)]
    assert model.ticks == {"a": 3, "b": 3}
    before = model.nbytes
    model.run(Block.of(ticks("e"), 1))
    assert model.nbytes == before


@pytest.mark.parametrize("name", ["c", "unwanted", "unknown"])
def test_the_memory_of_a_stream_that_is_not_held_is_refused(name):
    model = engine(symbols=[*"abc"])
    with pytest.raises(InvalidState, match="; observe a tick of it first"):
        model.memory("a")
    model.run(Block.of(ticks("a", "b", "c", "unwanted"), 1))
    assert model.memory("b").shape == (1, 3, 4)
    told = (
        f"memory: expected a stream that the engine holds, was '{name}'; there are: a"
    )
    with pytest.raises(InvalidState, match=told):
        model.memory(name)


@pytest.mark.parametrize("event", ["tick", None, 3.5])
def test_what_is_no_event_is_refused(event):
    with pytest.raises(
        FeatureError, match=f"'event': expected an event, was {event!r}"
    ):
        engine().observe(event)


@pytest.mark.parametrize("every", ["", "1s"])
def test_streams_too_many_are_rejected_alike_one_by_one_and_in_a_block(every):
    events = ticks(*"abcdefgabccggh")
    one, many = engine(every=every), engine(every=every)
    found = []
    for event in events:
        found += one.observe(event)
        found += one.learn()
    whole = list(many.run(Block.of(events, 1)).rows())
    assert sorted(map(repr, found)) == sorted(map(repr, whole))
    assert {reason for _, reason in rejections(found)} == {CROWDED}


def test_ever_new_names_take_no_more_memory_than_those_there_is_room_for():
    model = engine()
    found = []
    for number in range(0, 100, 10):
        names = [f"s{number + i}" for i in range(10)]
        found += rejections(model.run(Block.of(ticks(*names), 1)).rows())
    assert len(found) == 98
    assert model.streams == ("s0", "s1", "s2", "s3", FURTHER)
    assert [name for name, _ in found[:4]] == ["s2", "s3", FURTHER, FURTHER]


def test_a_stream_that_is_not_wanted_takes_no_room_from_those_that_are():
    model = engine(symbols=["b", "c"])
    found = rejections(model.run(Block.of(ticks(*"abcab"), 1)).rows())
    assert found == [("a", "stream not in stream.symbols")] * 2
    assert model.ticks == {"b": 2, "c": 1}


def test_streams_too_many_stay_so_in_a_snapshot():
    model, again = engine(), engine()
    model.run(Block.of(ticks(*"abcdefg"), 1))
    again.restore(*model.snapshot())
    later = Block.of(ticks(*"ghcab"), 1)
    assert list(map(repr, again.run(later).rows())) == list(
        map(repr, model.run(later).rows())
    )


def test_a_labelled_tick_of_a_stream_too_many_scores_nothing():
    model = engine()
    model.run(Block.of(ticks(*"abcdefg"), 1))
    (tick,) = ticks("h")
    assert not len(model.observe_labelled(tick, Label("h", tick.time, (1.0,))))
