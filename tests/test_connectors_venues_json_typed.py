"""What types read is what is read value by value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.venues.json.protocol import DECODER
from connectors.venues.protocol import open_venue
from sfm_stream.config import from_tree
from tests.venue_frames import NOW, SENSOR, dumps, sensor

ODD = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 10**30, "1", "1.5", "x", "", "nan", "open", "hall-3",
     "reading", "beat", [], [1], {}, {"celsius": 1}, "2024-08-08T23:54:15.313000Z"]
)  # fmt: skip
# Each: a description, and a frame of it.
DESCRIBED = [
    (SENSOR["feed"], sensor(0)),
    ({"columns": {"v": "v"}}, {"v": 1.5}),
    ({"columns": {"v": "of.0", "w": "of.1"}, "time": "t"}, {"of": [1, 2.5], "t": 1_723_161_255}),
    ({"columns": {"v": "v", "q": "$.q"}, "symbol": "$.s", "options": {"records": "data"}},
     {"q": 5, "s": "a", "data": [{"v": 1}, {"v": 2}]}),
    ({"columns": {"v": "v"}, "symbol": "s", "time": "t", "time_unit": "ms", "options": {
        "records": "data.x", "match": {"kind": "a", "data": "*"}, "id": "n", "repeats": True,
        "name": "^(.)", "history": {"old": "true"}, "alive": {"beat": "*"},
        "acknowledged": {"kind": ["b", "c"]}, "contiguous": True}},
     {"kind": "a", "data": {"x": [{"v": 1, "s": "ab", "t": 1_723_161_255_000, "n": 5}]},
      "old": False}),
    ({"columns": {"side": "m", "v": "v"}, "options": {
        "codes": {"side": {"true": -1, "false": 1}}}}, {"m": True, "v": 1}),
    ({"columns": {"side": "m"}, "options": {"codes": {"side": {"0": 1, "1": -1}}}}, {"m": 0}),
]  # fmt: skip


def opened(feed):
    """Open two protocols of one description: with types, and without."""
    both = [open_venue(from_tree({"feed": feed}), "json") for _ in range(2)]
    by_value = both[1]
    by_value._compile = lambda: None
    by_value._typed, by_value._decode = None, DECODER.decode
    return both


def places(tree, path=()):
    """Give the path of every value in a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(tree, path, value):
    copy = json.loads(json.dumps(tree))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy


@pytest.mark.parametrize("number", range(len(DESCRIBED)))
def test_each_of_these_descriptions_is_compiled_and_reads_its_frame(number):
    feed, frame = DESCRIBED[number]
    protocol = opened(feed)[0]
    assert protocol._typed is not None
    said = protocol._ticks(protocol._decode(dumps(frame)), NOW)
    assert said


@pytest.mark.parametrize("number", range(len(DESCRIBED)))
@settings(max_examples=40)
@given(data=st.data())
def test_types_say_what_is_said_value_by_value(number, data):
    feed, frame = DESCRIBED[number]
    typed, by_value = opened(feed)
    for _ in range(6):
        path = data.draw(st.sampled_from(list(places(frame))))
        text = dumps(changed(frame, path, data.draw(ODD)))
        mine, theirs = typed.receive(text, NOW), by_value.receive(text, NOW)
        assert list(map(str, mine)) == list(map(str, theirs)), text
        assert typed.counters == by_value.counters, text


@pytest.mark.parametrize("feed", [
    {"columns": {"v": ""}, "options": {"records": "x"}},
    {"columns": {"v": "a", "w": "a.b"}},
    {"columns": {"v": "$.x.v"}, "options": {"records": "x"}},
    {"columns": {"v": "a.0", "w": "a.b"}},
])  # fmt: skip
def test_what_types_cannot_say_is_read_value_by_value(feed):
    assert opened(feed)[0]._typed is None
