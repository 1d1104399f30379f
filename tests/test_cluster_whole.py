from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm_stream.cluster.whole import STATES, ask_all, whole
from sfm_stream.daemon.http.client import Answer
from sfm_stream.daemon.status.model import (
    Checkpoint,
    Journal,
    Percentiles,
    State,
    Stream,
)
from sfm_stream.errors import AddressError
from tests.daemon_web import served_apart
from tests.vitals_rig import WELL, vitals

OTHER = vitals(
    run="runs/other",
    state="catching up",
    streams={"solusdt": Stream(50, 1, 0.3)},
    ticks=50,
    rejected=1,
    lag_s=7.0,
    counters={"garbage": 1, "dropped": 2},
    checkpoint=Checkpoint(90, 20.0, 0.1, "the disk is full"),
    journal=Journal(100, journalled=False, problem="the disk is full"),
    latency_us=Percentiles(100.0, 9_000.0, 9_100.0, 9_200.0, 10),
    learning=False,
    alarms=("the disk is full",),
)


def answers(*told, reasons=()):
    return {f"h:{i}": Answer(one, list(reasons)) for i, one in enumerate(told)}


def test_what_counts_is_summed_and_what_lasts_is_the_worst():
    one = whole(answers(WELL, OTHER)).vitals
    assert set(one.streams) == {"btcusdt", "ethusdt", "solusdt"}
    assert (one.ticks, one.rejected, one.seq) == (1_050, 3, 3_000)
    assert one.pid == 0
    assert one.counters == {"garbage": 4, "connecting": 2, "dropped": 2}
    assert (one.state, one.lag_s, one.learning) == ("catching up", 7.0, False)
    assert (one.checkpoint.age_s, one.checkpoint.problem) == (20.0, "the disk is full")
    assert one.journal == Journal(1_600, journalled=False, problem="the disk is full")
    assert one.latency_us == Percentiles(210.0, 9_000.0, 9_100.0, 9_200.0, 1_010)
    assert one.alarms == ("h:1: the disk is full",)
    assert one.rejections["value is missing"].count == 4
    assert (len(one.feeds), one.memory_mib) == (2, 641.0)


def test_a_single_daemon_is_told_as_it_is():
    alone = answers(WELL, reasons=["lag: expected less"])
    assert whole(alone) == alone["h:0"]


def test_what_makes_a_shard_unready_is_said_with_its_address():
    told = whole(answers(WELL, OTHER, reasons=["lag"]))
    assert told.reasons == ["h:0: lag", "h:1: lag"]


def test_a_shard_that_does_not_answer_makes_the_whole_unready():
    away = AddressError("h:9", "no daemon answers")
    told = whole({**answers(WELL, OTHER), "h:9": away})
    assert told.reasons == ["h:9: no daemon answers"]
    assert told.vitals.state == "stopped"
    with pytest.raises(AddressError, match="h:9"):
        whole({"h:9": away})


def test_a_stream_in_two_shards_is_an_alarm():
    told = whole(answers(WELL, WELL)).vitals
    assert told.alarms == (
        "stream btcusdt is at home in several shards",
        "stream ethusdt is at home in several shards",
    )


@given(st.lists(st.sampled_from(STATES), min_size=2, max_size=5))
def test_the_whole_is_as_its_worst_part(states):
    told = whole(answers(*(vitals(state=state) for state in states))).vitals
    assert STATES.index(told.state) == min(map(STATES.index, states))


def test_every_state_has_its_rank():
    assert set(STATES) == set(State)


def test_all_are_asked_and_an_absent_one_is_said():
    with served_apart() as url:
        found = ask_all([url, "127.0.0.1:1"])
    assert found[url].vitals.run == WELL.run
    assert isinstance(found["127.0.0.1:1"], AddressError)
