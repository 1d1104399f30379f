from __future__ import annotations

from sfm_stream.daemon.hearing import heard
from sfm_stream.events import Control
from tests.daemon_rig import START, block, engine_of, tick


def test_a_stream_was_heard_by_its_latest_tick_and_none_later_than_now():
    engine, now = engine_of(), START + 5 * 10**6
    never = Control("never", START, "freeze")
    engine.run(block([tick(1, "old"), tick(2, "old"), tick(9, "ahead"), never]))
    assert heard(engine, now) == {
        "old": START + 2 * 10**6, "ahead": now, "never": now,
    }  # fmt: skip
