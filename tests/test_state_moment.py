"""A moment is read as it was, whatever happens to the bank meanwhile."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.events import Control, Gap, Tick
from sfm_stream.state import moment as module
from sfm_stream.state.arena import view
from tests.daemon_rig import SECOND, SMALL, START, block, engine_of
from tests.kernels_rig import Rig, ticks, tones

SETTINGS = [
    {},
    {"model": SMALL["model"] | {"shared": True}},
    {"learn": {"window": 8, "every": 8, "schedule": "striped"}},
    {"target": {"horizons": [1, "3s"]}},
    {"stream": {"every": "2s"}},
]
STEPS = st.lists(st.sampled_from(["a", "b", "c", "new", "gap", "adapt", "read"]))


class Live:
    """An engine that lives on while a moment of it is read."""

    def __init__(self, tree):
        self.engine, self.count = engine_of(**tree), 0
        for step in "abc" * 12:
            self.do(step)

    def do(self, step):
        self.count += 1
        at = START + self.count * SECOND // 4
        told = {"gap": Gap("", at, "cut off"), "adapt": Control("", at, "adapt")}
        name = f"new {self.count}" if step == "new" else step
        tick = Tick(name, at, (float(self.count % 7),))
        self.engine.run(block([told.get(step, tick)]))


def read(moment):
    """Give the bytes of each array, part by part."""
    for name, array in moment.arrays().items():
        parts = array.parts() if isinstance(array, module.Past) else [array]
        for part in parts:
            yield name, part.tobytes()


def written(arrays):
    return {name: array.tobytes() for name, array in arrays.items()}


def joined(parts):
    found = {}
    for name, part in parts:
        found[name] = found.get(name, b"") + part
    return found


@pytest.mark.parametrize("tree", SETTINGS)
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_a_moment_read_between_events_is_the_snapshot_of_its_beginning(tree, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART", 1)
        live = Live(tree)
        (expected, meta), (moment, told) = live.engine.snapshot(), live.engine.hold()
        reading, found = read(moment), []
        for step in steps:
            if step == "read":
                found += islice(reading, 25)
            else:
                live.do(step)
        assert joined([*found, *reading]) == written(expected)
        assert told == meta
        shapes = {n: (a.dtype, a.shape) for n, a in moment.arrays().items()}
        assert shapes == {n: (a.dtype, a.shape) for n, a in expected.items()}


def test_moments_that_overlap_are_each_as_they_began():
    live, found = Live({}), []
    for _ in range(3):
        found.append((written(live.engine.snapshot()[0]), live.engine.hold()[0]))
        live.do("a")
    for expected, moment in found:
        assert joined(read(moment)) == expected


def test_a_moment_that_is_over_keeps_nothing_and_holds_nobody():
    live = Live({})
    moment, _ = live.engine.hold()
    live.do("a")
    moment.end()
    assert [len(part) for side in moment._sides for part in side] == [0] * 6
    moment.keep(np.arange(3))
    live.do("b")
    assert not live.engine._bank.is_held


def test_rows_are_kept_in_the_room_that_is_given():
    live = Live({})
    room = np.zeros(live.engine.nbytes, np.uint8)
    expected = written(live.engine.snapshot()[0])
    moment, _ = live.engine.hold(room)
    live.do("a")
    assert room.any()
    assert joined(read(moment)) == expected


def test_rows_that_live_elsewhere_are_kept_before_they_come_home():
    r = Rig(rows=2)
    r.run(ticks(tones(20)))
    expected, moment = written(r.bank.snapshot()), r.bank.hold({})

    def fetch(rows):
        for part in rows:
            part[...] = 1

    r.bank.leave(fetch)
    assert not r.bank.is_held
    r.bank.view("weights")
    assert joined(read(moment)) == expected


def test_a_step_of_trust_anew_leaves_a_moment_as_it_was():
    live = Live({})
    expected, (moment, _) = written(live.engine.snapshot()[0]), live.engine.hold()
    live.engine.trust_anew(["x"])
    assert joined(read(moment)) == expected


class Racing(np.ndarray):
    """An array in which another thread does something while it is copied from."""

    def copy(self):
        found = np.array(self)
        self.meanwhile()
        return found

    def __getitem__(self, at):
        found = super().__getitem__(at)
        found.meanwhile = self.meanwhile
        if isinstance(at, np.ndarray):
            self.meanwhile()
        return found


def test_rows_that_change_while_they_are_read_are_read_as_they_were(monkeypatch):
    r = Rig(rows=3)
    r.run(ticks(tones(20)))
    expected, moment = r.bank.snapshot(), r.bank.hold({})
    weights, left = r.bank.view("weights"), [0, 2]

    def change():
        if left:
            row = left.pop()
            r.bank.keep(np.array([row]))
            weights[row] += 1

    def racing(arena, places, name):
        found = view(arena, places, name).view(Racing)
        found.meanwhile = change
        return found

    monkeypatch.setattr(module, "view", racing)
    found = moment.read("weights", 0, 3)
    assert left == []
    np.testing.assert_array_equal(found, expected["weights"])
