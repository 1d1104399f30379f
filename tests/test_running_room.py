from __future__ import annotations

import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.evaluate import contest
from sfm_stream.evaluate.sweep import part
from sfm_stream.running import precompile, replay, room

SETTINGS = from_tree({"feed": {"options": {"ticks": 200}}})


def test_what_fits_is_told_in_mib_for_every_stream_named():
    one = room.expect(SETTINGS, ["value"])
    many = from_tree({"stream": {"symbols": ["a", "b", "c"]}})
    assert room.streams(many) == 3
    # what all streams share is there once
    assert 2 * one < room.expect(many, ["value"]) < 3 * one


@pytest.fixture
def full(monkeypatch):
    """Leave no memory, and fail whoever makes an engine nevertheless."""
    monkeypatch.setattr(room, "available_mib", lambda: 0.01)
    for place in (replay, part):
        monkeypatch.setattr(place, "Engine", None)


@pytest.mark.usefixtures("full")
def test_what_does_not_fit_is_refused_before_memory_is_touched(tmp_path):
    feed = open_feed(SETTINGS)
    with pytest.raises(ConfigError, match="MiB of memory that are free, was"):
        replay.replay(SETTINGS, feed, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="lower model"):
        part.measure([SETTINGS], open_feed)
    with pytest.raises(ConfigError, match="lower model"):
        contest.measure(SETTINGS, open_feed, "sfm", tmp_path / "sfm", contest.KEPT)


def test_where_the_system_does_not_say_all_fits(monkeypatch):
    monkeypatch.setattr(room, "available_mib", lambda: None)
    assert room.expect(SETTINGS, ["value"]) > 0


def test_a_tick_is_timed_only_where_nothing_must_be_compiled_first(monkeypatch):
    precompile.call(SETTINGS, ["value"])
    assert 0 < room.tick_us(SETTINGS, ["value"]) < 1e5
    backend = type(Engine(SETTINGS, ["value"]).backend)
    monkeypatch.setattr(backend, "is_ready", lambda _: False)
    assert room.tick_us(SETTINGS, ["value"]) is None


def test_a_slow_model_is_timed_by_fewer_ticks(monkeypatch):
    precompile.call(SETTINGS, ["value"])
    run, ticks = Engine.run, []

    def counted(engine, block):
        ticks.append(len(block))
        return run(engine, block)

    monkeypatch.setattr(Engine, "run", counted)
    monkeypatch.setattr(room, "PATIENCE_S", 0.0)
    assert room.tick_us(SETTINGS, ["value"]) > 0
    assert ticks == [1]
