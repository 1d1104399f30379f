from __future__ import annotations

from random import Random

import pytest

from connectors.capture.faults import CONNECTIONS, MESSAGES, SORTS, Fault, Faults, parse
from sfm_stream.errors import ConfigError

FRAMES = [b"%d" % i for i in range(1, 101)]


def sent(*specs, seed=0):
    """Give what is sent in place of 100 messages."""
    faults = Faults([parse(s) for s in specs], seed)
    said = []
    for number, frame in enumerate(FRAMES, 1):
        said += faults.frames(frame, faults.struck(number, MESSAGES))
    return said


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop@100", Fault("drop", 0, number=100)),
        ("close:1008@5", Fault("close", 1008, number=5)),
        ("garbage%0.01", Fault("garbage", 64, chance=0.01)),
        ("http:503", Fault("http", 503)),
        ("mute-after-ack@1", Fault("mute-after-ack", 0, number=1)),
        ("slow:0.5@3", Fault("slow", 0.5, number=3)),
    ],
)
def test_faults_are_read(text, fault):
    assert parse(text) == fault


@pytest.mark.parametrize("text", ["drop@x", "drop%often", "close:soon", "drop@"])
def test_invalid_numbers_are_refused(text):
    with pytest.raises(ConfigError, match="drop@100"):
        parse(text)


def test_an_unknown_fault_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'garbage'"):
        parse("garbge")


def test_without_faults_all_is_sent_as_it_is():
    assert sent() == FRAMES


@pytest.mark.parametrize(
    ("spec", "changed"),
    [
        ("missing:3@10", FRAMES[:9] + FRAMES[12:]),
        ("duplicate:2@10", [*FRAMES[:10], b"10", b"10", *FRAMES[10:]]),
        ("reorder:2@10", [*FRAMES[:9], b"11", b"12", b"10", *FRAMES[12:]]),
        ("snapshot:3@10", FRAMES[:9] + FRAMES[6:9] + FRAMES[9:]),
        ("oversize:1@10", [*FRAMES[:9], b" " * 2**20, *FRAMES[9:]]),
    ],
)
def test_a_fault_changes_the_frame_of_its_number(spec, changed):
    assert sent(spec) == changed


def test_garbage_is_random_bytes_in_front():
    said = sent("garbage:5@10")
    assert said[:9] + said[10:] == FRAMES
    assert len(said[9]) == 5
    assert said == sent("garbage:5@10")
    assert said != sent("garbage:5@10", seed=1)


def test_chance_is_seeded_and_strikes_about_as_often_as_asked():
    fault, random = Fault("drop", 0, chance=0.1), Random(3)
    struck = [fault.strikes(i, random) for i in range(10_000)]
    assert 900 < sum(struck) < 1100
    assert sent("missing%0.2") == sent("missing%0.2")
    assert sent("missing%0.2") != sent("missing%0.2", seed=1)


def test_messages_and_connections_have_faults_of_their_own():
    assert set(MESSAGES) | set(CONNECTIONS) == set(SORTS)
    assert not set(MESSAGES) & set(CONNECTIONS)
    faults = Faults([parse("http@2"), parse("drop@2")], 0)
    assert faults.struck(2, CONNECTIONS) == {"http": 429}
    assert faults.struck(2, MESSAGES) == {"drop": 0}
    assert faults.struck(1, MESSAGES) == {}
