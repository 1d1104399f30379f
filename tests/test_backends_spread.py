from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.backends import spread
from sfm_stream.config import from_tree
from sfm_stream.engine import Engine, buffers
from sfm_stream.events import Block, Control, Gap, Heartbeat, Label, Tick
from sfm_stream.events.blocks import concatenate
from sfm_stream.kernels.rows import ALL_ROWS, NO_ROOM, NO_ROW, Events

START, SECOND = 1_700_000_000 * 10**9, 10**9
FIELDS = ("x", "y")
TREE = {
    "model": {"states": 4, "frequencies": 2, "outputs": 4},
    "features": {"lags": 3, "errors": 1},
    "learn": {"window": 8, "every": 4},
    "target": {"values": ["x", "y"], "horizons": [1, "3s"]},
    "stream": {"max_gap": "1m"},
}
ODD = ("gap", "all-gap", "beat", "freeze", "learn", "label", "void", "back", "silence")


def story(seed, count=600, streams=7):
    """Give events of uneven streams with all that can happen to them."""
    rng = np.random.default_rng(seed)
    events, time = [], START
    for i in range(count):
        time += int(rng.integers(0, 2)) * SECOND
        name = f"s{int(streams * rng.random() ** 2)}"
        values = tuple((rng.standard_normal(2) + np.sin(i / 9)).tolist())
        event = Tick(name, time, values)
        odd = ODD[int(rng.integers(len(ODD)))] if rng.random() < 0.1 else ""
        if odd == "silence":
            time += 100 * SECOND
        other = {
            "gap": Gap(name, time, "lost"),
            "all-gap": Gap("", time, "lost"),
            "beat": Heartbeat("", time),
            "freeze": Control(name, time, "freeze"),
            "learn": Control("", time, "learn"),
            "label": Label(name, time, values),
            "void": Tick(name, time, (np.nan, values[1])),
            "back": Tick(name, time - 50 * SECOND, values),
        }.get(odd)
        events += [event] if other is None else [event, other]
    return events


def engine(cores, tree=TREE):
    return Engine(from_tree({**tree, "run": {"threads": cores}}), FIELDS)


def told(one, blocks):
    said = [one.run(block).columns for block in blocks]
    kinds = dict.fromkeys(kind for columns in said for kind in columns)
    return {
        (kind, name): np.concatenate([c[kind][name] for c in said if kind in c])
        for kind in kinds
        for name in next(c[kind] for c in said if kind in c)
    }


def expect_same(mine, wanted):
    assert mine.keys() == wanted.keys()
    for name, column in wanted.items():
        np.testing.assert_array_equal(mine[name], column, err_msg=str(name))


def blocks(events, size):
    return [Block.of(events[i : i + size], 2) for i in range(0, len(events), size)]


@pytest.mark.parametrize("cores", [1, 2, 3, 16])
@pytest.mark.parametrize(
    "tree",
    [
        TREE,
        TREE | {"stream": {"symbols": ["s0", "s1", "s4"]}},
        TREE | {"stream": {"max_streams": 3, "every": "2s"}},
        TREE | {"forecast": {"experts": ["last", "rls"]}},
        TREE | {"learn": {"window": 12, "every": 12, "schedule": "striped"}},
    ],
    ids=["all", "strangers", "folded and crowded", "without a cell", "striped"],
)
def test_many_cores_say_to_the_bit_what_one_says(cores, tree, monkeypatch):
    events = story(cores)
    if "every" in tree["stream"]:
        events = [event for event in events if not isinstance(event, Label)]
    many = engine(cores, tree)
    mine = told(many, blocks(events, 150))
    monkeypatch.setattr(spread, "LEAST_EVENTS", 10**9)  # as they come
    one = engine(1, tree)
    wanted = told(one, blocks(events, 150))
    kinds = {kind for (kind, _), column in wanted.items() if len(column)}
    assert kinds >= {"forecasts", "scores", "voided", "rejected"}
    expect_same(mine, wanted)
    (arrays, meta), (others, other) = many.snapshot(), one.snapshot()
    assert meta == other
    for name, array in others.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


def test_records_that_find_no_room_are_said_all_the_same(monkeypatch):
    events = story(5)
    wanted = told(engine(2), blocks(events, 400))
    monkeypatch.setattr(spread, "PORTION", 1)
    monkeypatch.setattr(buffers, "PORTION", 3)
    expect_same(told(engine(2), blocks(events, 400)), wanted)


def test_single_events_and_blocks_of_any_size_say_the_same():
    events = story(6, count=200)
    whole = told(engine(2), blocks(events, 1000))
    for size in (1, 70):
        expect_same(told(engine(2), blocks(events, size)), whole)
    halves = told(engine(2), [concatenate(blocks(events, 64))])
    expect_same(halves, whole)


def events_of(row):
    """Give events of these rows; each value is the event's number."""
    numbers = np.arange(len(row))
    return Events(
        kind=np.zeros(len(row), np.int8), stream=numbers + 1, row=row,
        time=numbers + 2, values=numbers[:, None] + [0.25, 0.5], code=numbers + 3,
        seq=numbers + 4,
    )  # fmt: skip


@settings(max_examples=60)
@given(
    row=st.lists(st.sampled_from([ALL_ROWS, NO_ROW, NO_ROOM, 0, 2, 4, 6]), max_size=40),
    parts=st.integers(1, 5),
)
def test_each_row_takes_its_events_once_and_in_their_order(row, parts):
    row = np.array(row, np.int64)
    shares, taken = spread.divide(events_of(row), 8, 2, parts)
    assert shares[0].first == shares[0].start == 0
    for before, share in pairwise(shares):
        assert (share.first, share.start) == (before.last, before.stop)
    assert (shares[-1].last, shares[-1].stop) == (8, len(taken.row))
    for share in shares:
        there = taken.row[share.start : share.stop]
        absolute = np.where(there == ALL_ROWS, ALL_ROWS, there + share.first)
        numbers = taken.seq[share.start : share.stop]
        assert absolute.tolist() == row[numbers].tolist()
        assert set(absolute) <= {ALL_ROWS, *range(share.first, share.last)}
        for first in range(share.first, share.last, 2):
            mine = [i for i in numbers if row[i] in {first, ALL_ROWS}]
            assert mine == [i for i in range(len(row)) if row[i] in {first, ALL_ROWS}]


def test_events_are_dealt_with_all_that_they_hold():
    row = np.array([2, 0, ALL_ROWS, 2, 0, NO_ROW])
    shares, taken = spread.divide(events_of(row), 4, 2, 1)
    assert shares == [spread.Share(0, 4, 0, 5)]
    numbers = np.array([1, 0, 2, 4, 3])
    np.testing.assert_array_equal(taken.seq, numbers)
    np.testing.assert_array_equal(taken.stream, numbers + 1)
    np.testing.assert_array_equal(taken.time, numbers + 2)
    np.testing.assert_array_equal(taken.code, numbers + 3)
    np.testing.assert_array_equal(taken.values, numbers[:, None] + [0.25, 0.5])


@pytest.mark.parametrize(
    ("cores", "lengths"),
    [(1, [640]), (2, [260, 260, 50, 50, 10, 10]), (4, [130] * 4 + [30] * 4)],
)
def test_shares_grow_smaller_so_that_no_core_waits_long_for_the_last(cores, lengths):
    row = np.repeat(np.arange(64), 10)
    shares, _ = spread.divide(events_of(row), 64, 1, cores)
    assert [share.stop - share.start for share in shares] == lengths


def test_at_least_one_core_is_counted():
    assert spread.cores() >= 1
