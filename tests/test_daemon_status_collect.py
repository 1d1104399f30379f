from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from msgspec.structs import replace

from sfm_stream.daemon.status import model
from sfm_stream.daemon.status.collect import Birth, complete, outline
from sfm_stream.events import Control, Gap, Tick
from sfm_stream.feeds import Connection
from sfm_stream.sinks import Status
from tests.daemon_rig import block, tick, ticks
from tests.test_daemon_worker import Rig


class Feed:
    waiting = 3
    counters: ClassVar = {"garbage": 2}

    def status(self):
        return [Connection("ws://venue", "live", 2.0, 0.5, "", {"a": ("live", 0.5)})]


BIRTH = Birth(Path("runs/live"))


@pytest.fixture
def rig(tmp_path):
    with_one = Rig(tmp_path, daemon={"quarantine_after": 2, "catch_up_after": "100d"})
    yield with_one
    with_one.worker.close()


def test_before_the_model_is_there_the_feed_is_told_of():
    said = complete(outline(BIRTH, "recovering", Feed()), None)
    assert (said.state, said.seq, said.sinks, said.latency_us) == (
        "recovering", 0, (), None,
    )  # fmt: skip
    assert said.feeds == (
        model.Connection("ws://venue", "live", 2.0, 0.5, "", {"a": ("live", 0.5)}),
    )
    assert (said.run, said.waiting) == ("runs/live", 3)
    assert said.counters == {"garbage": 2}
    assert 0 < said.memory_mib < 1e5
    assert abs(said.since / 1e9 - time.time()) < 1e4


def test_what_is_wrong_with_a_connection_is_an_alarm():
    class Silent(Feed):
        def status(self):
            return [replace(one, alarm="given up") for one in super().status()]

    said = outline(BIRTH, "live", Silent(), alarms=("", "lost"))
    assert said.alarms == ("lost", "connection ws://venue: given up")


def test_the_status_counts_events_ticks_and_gaps(rig):
    rig.worker.take(
        block([*ticks(0, 5), Gap("a", 1, "cut off"), Control("", 1, "freeze")])
    )
    said = complete(outline(BIRTH, "live", Feed()), rig.worker)
    assert (said.seq, said.ticks, said.gaps, said.learning) == (7, 5, 1, False)
    assert said.streams["a"].ticks == 5
    assert said.streams["a"].quarantined_s is None
    assert said.latency_us.count == 5
    assert said.journal == model.Journal(7)
    assert (said.finite, said.alarms) == (True, ())
    (records,) = said.sinks
    assert (records.name, records.kind, records.error) == ("records", "parquet", "")


def test_a_stream_that_is_shut_out_is_an_alarm(rig):
    first = ticks(0, 1)[0]
    garbage = [Tick("bad", first.time, (float("nan"),), first.received)] * 2
    rig.worker.take(block(garbage))
    rig.worker.take(block(ticks(0, 1)))
    rig.worker.take(block(garbage))
    said = complete(outline(BIRTH, "live", Feed()), rig.worker)
    assert (said.ticks, said.rejected) == (5, 4)
    assert said.streams["bad"].rejected == said.streams["bad"].ticks == 4
    one, other = said.rejections.values()
    assert one.count == 2
    assert one.first.startswith("stream 'bad' event")
    assert other == model.Refused(2, "stream 'bad'")
    assert 59 < said.streams["bad"].quarantined_s <= 60
    assert said.alarms == ("stream bad is shut out for 60 more seconds",)


def test_streams_that_have_not_ticked_since_a_restart_are_there_with_their_age(
    tmp_path,
):
    before = Rig(tmp_path)
    before.worker.take(block([*ticks(0, 5), *ticks(5, 9, stream="b")]))
    before.worker.close()
    rig = Rig(tmp_path)
    rig.worker.take(block(ticks(20, 21)))
    rig.worker.take(block([Tick("c", 0, (1.0,), time.time_ns())]))
    said = complete(outline(BIRTH, "live", Feed()), rig.worker)
    rig.worker.close()
    assert {name: one.ticks for name, one in said.streams.items()} == {
        "a": 1, "b": 0, "c": 1,
    }  # fmt: skip
    old = time.time() - tick(8).time / 1e9
    assert said.streams["b"].age_s == pytest.approx(old, abs=60)
    assert said.streams["c"].age_s < 60
    assert said.ticks == 2


def test_catching_up_is_a_state_of_its_own(rig):
    rig.worker.take(block(ticks(0, 1)))
    rig.worker.stepper.catching_up = True
    assert complete(outline(BIRTH, "live", Feed()), rig.worker).state == "catching up"
    assert complete(outline(BIRTH, "stopping", Feed()), rig.worker).state == "stopping"


def test_troubles_are_alarms(rig, monkeypatch):
    rig.worker.stepper.problem = "journal: the disk is full"
    rig.worker.saver.problem = "checkpoints: the disk is full"
    rig.worker.problem = "old segments stay"
    rig.worker.journal.problem = "a full segment stays as it is"
    (delivery,) = rig.worker.deliveries.values()
    lost = replace(delivery.state(), dropped=7)
    monkeypatch.setattr(delivery, "state", lambda: lost)
    said = complete(outline(BIRTH, "live", Feed()), rig.worker)
    assert said.alarms == (
        "journal: the disk is full",
        "checkpoints: the disk is full",
        "old segments stay",
        "a full segment stays as it is",
        "sink records: 7 records were lost",
    )
    assert not said.journal.journalled


def test_what_a_client_missed_is_told_and_no_alarm(rig):
    missed = Status("websocket", "websocket", 0, 0, 7, 0, 0.0, "")
    said = complete(outline(BIRTH, "live", Feed(), (missed,)), rig.worker)
    assert said.alarms == ()
    assert said.sinks[-1] == missed


def test_a_state_that_is_no_longer_finite_is_told(rig):
    rig.worker.take(block(ticks(0, 5)))
    rig.engine.view("theta")[...] = np.nan
    rig.worker.saver.begin(rig.worker.deliveries).result(10)
    assert not complete(outline(BIRTH, "live", Feed()), rig.worker).finite
