from __future__ import annotations

import numpy as np

from sfm_stream import config
from sfm_stream.engine import Engine, buffers
from sfm_stream.events import Block, Label, Tick
from sfm_stream.kernels import rows

START = 1_700_000_000 * 10**9
SETTINGS = config.from_tree({
    "model": {"states": 2, "frequencies": 2, "outputs": 2},
    "target": {"horizons": ["1..4"]},
})  # fmt: skip


def block(count):
    values = np.random.default_rng(0).standard_normal((count, 1))
    return Block.ticks(START + np.arange(count) * 10**9, values, streams=("a",))


def test_records_that_find_no_room_are_said_all_the_same(monkeypatch):
    expected = list(Engine(SETTINGS, ["x"]).run(block(60)).rows())
    monkeypatch.setattr(buffers, "PORTION", 1)
    cramped = Engine(SETTINGS, ["x"])
    assert list(map(repr, cramped.run(block(60)).rows())) == list(map(repr, expected))
    assert len(cramped._call.out.forecast_int) > 4


def test_room_doubles_whatever_the_number_of_horizons(monkeypatch):
    asked = []

    def room(sizes, records):
        asked.append(records)
        return rows.room(sizes, records)

    monkeypatch.setattr(buffers, "PORTION", 1)
    monkeypatch.setattr(buffers, "room", room)
    Engine(SETTINGS, ["x"]).run(block(60))
    assert asked == [1, 2, 4]


def test_single_events_find_room_too(monkeypatch):
    monkeypatch.setattr(buffers, "PORTION", 1)
    engine = Engine(SETTINGS, ["x"])
    for event in block(12).events():
        engine.observe(event)
        engine.learn()
    monkeypatch.setattr(buffers, "PORTION", 1024)
    other = Engine(SETTINGS, ["x"])
    for event in block(12).events():
        other.observe(event)
        other.learn()
    engine._call.out = buffers.room(engine._sizes, 1)
    last = Tick("a", START + 12 * 10**9, (1.0,))
    label = Label("a", last.time, (2.0,))
    scores, expected = (one.observe_labelled(last, label) for one in (engine, other))
    np.testing.assert_array_equal(scores[-1], expected[-1])


def test_no_events_give_empty_columns():
    records = Engine(SETTINGS, ["x"]).run(block(0))
    assert len(records) == 0
    assert set(records.columns) == {
        "forecasts", "scores", "updates", "voided", "rejected",
    }  # fmt: skip
