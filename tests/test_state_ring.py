"""The ring of stored ticks grows with what waits, and nothing that is said depends on it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine, handover
from sfm_stream.events import Block, Gap, Heartbeat, Label, Tick
from sfm_stream.state import ring
from sfm_stream.state.places import TICKS

START = 1_700_000_000 * 10**9
MS = 10**6
SMALL = {
    "model": {"states": 4, "frequencies": 3, "outputs": 5},
    "target": {"horizons": [1, "300ms", "1s"]},
    "features": {"lags": 3},
    "learn": {"window": 8, "every": 5, "max_pending": 60},
}
WAITS = 6
"""Forecasts that may wait before the ring grows."""


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(ring, "FIRST_WAIT", WAITS)


def engine_of(*, whole=False, **tree):
    made = Engine(from_tree({**SMALL, **tree}), ["x"])
    if whole:
        made._bank.have_whole_ring()
    return made


def slots(engine):
    return engine._bank.layout.sizes.ring


def ticks(pauses, stream="a", seed=0):
    """Ticks with so many milliseconds before each."""
    values = np.random.default_rng(seed).standard_normal(len(pauses)).cumsum()
    times = START + np.cumsum(pauses) * MS
    return [
        Tick(stream, int(at), (value,))
        for at, value in zip(times, values.tolist(), strict=True)
    ]


def said(records):
    return list(map(repr, records))


def stepped(engine, events):
    """Have an engine take events one by one; give what it said."""
    found = []
    for event in events:
        found += engine.observe(event)
        found += engine.learn()
    return said(found)


def run(engine, events, cuts=()):
    """Have an engine take events in blocks."""
    found = []
    for begin, end in pairwise([0, *sorted(cuts), len(events)]):
        if end > begin:
            found += said(engine.run(Block.of(events[begin:end], 1)).rows())
    return found


def in_use(arrays):
    """Leave of a snapshot's ring what an update may look at.

    What is older depends on when the ring grew, which rows that share it see at other
    ticks where blocks are taken row by row.
    """
    ticks, heads = arrays["counters"][:, TICKS], arrays["head_tick"].min(1)
    last = ring.of(arrays) - 1
    for row, (count, head) in enumerate(zip(ticks, heads, strict=True)):
        kept = np.arange(max(head - 8 - 5, 0), count) % last
        old = np.setdiff1d(np.arange(last), kept)
        for name in filter(ring.is_stored, arrays):
            arrays[name][row, old] = 0
    return arrays


def expect_equal(one, other):
    (arrays, meta), (expected, expected_meta) = one.snapshot(), other.snapshot()
    assert meta == expected_meta
    expected = in_use(expected)
    for name, array in in_use(arrays).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def expect_same(found, expected):
    """Expect the same records; pytest would compare so many for minutes."""
    differing = [pair for pair in zip(found, expected, strict=True) if len({*pair}) > 1]
    assert differing[:1] == []


PAUSES = st.lists(st.sampled_from([5, 20, 40, 100, 2_000]), min_size=60, max_size=160)


@st.composite
def streams_of_events(draw):
    """Ticks of two streams, in bursts, with gaps and heartbeats between."""
    events = []
    time = START
    for pause in draw(PAUSES):
        time += pause * MS
        kind = draw(st.integers(0, 40))
        if kind == 0:
            events.append(Gap(draw(st.sampled_from(["", "a"])), time, "lost"))
        elif kind == 1:
            events.append(Heartbeat("a", time))
        else:
            value = float(draw(st.integers(-5, 5)))
            events.append(Tick("ab"[kind % 5 == 0], time, (value,)))
    return events


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(streams_of_events(), st.sampled_from(["staggered", "striped"]), st.data())
def test_blocks_ticks_a_whole_ring_and_a_resumed_run_say_the_same(
    events, schedule, data
):
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=4))
    learn = {**SMALL["learn"], "schedule": schedule}
    grown, one_by_one = engine_of(learn=learn), engine_of(learn=learn)
    expected = run(grown, events, cuts)
    expect_same(stepped(one_by_one, events), expected)
    expect_equal(one_by_one, grown)
    expect_same(run(engine_of(whole=True, learn=learn), events), expected)
    place = data.draw(st.integers(0, len(events)))
    first = engine_of(learn=learn)
    found = run(first, events[:place])
    second = engine_of(learn=learn)
    second.restore(*first.snapshot())
    expect_same(found + run(second, events[place:]), expected)
    expect_equal(second, grown)


def test_it_is_as_long_as_what_waits_needs_and_no_longer_than_may_wait():
    slow, quick, quickest = (engine_of() for _ in range(3))
    run(slow, ticks([400] * 200))
    run(quick, ticks([50] * 200))
    run(quickest, ticks([5] * 200))
    config = slow.config
    assert slots(slow) == ring.first(config) == WAITS + 8 + 5 + 2
    assert slots(quick) == 2 * slots(slow)
    assert slots(quickest) == ring.whole(config) == 60 + 8 + 2
    assert quick.nbytes < quickest.nbytes


def test_horizons_in_ticks_have_a_whole_ring_from_the_first_tick_on():
    config = from_tree({**SMALL, "target": {"horizons": [1, 12]}})
    assert ring.first(config) == ring.whole(config) == 12 + 8 + 2


def test_a_snapshot_with_a_whole_ring_is_gone_on_with():
    events = ticks([30] * 150)
    fixed, growing = engine_of(whole=True), engine_of()
    run(fixed, events[:100])
    growing.restore(*fixed.snapshot())
    assert slots(growing) == slots(fixed)
    expect_same(run(growing, events[100:]), run(fixed, events[100:]))


def test_cores_that_share_the_streams_wait_while_it_grows():
    names = "abcdef"
    parts = [ticks([7 + 40 * i] * 120, name, i) for i, name in enumerate(names)]
    events = sorted((t for part in parts for t in part), key=lambda t: t.time)
    alone, shared = (engine_of(run={"threads": n}) for n in (1, 3))
    expected = run(alone, events)
    expect_same(run(shared, events[:40]) + run(shared, events[40:]), expected)
    expect_equal(shared, alone)
    assert slots(alone) > ring.first(alone.config)


def test_a_peek_changes_nothing_and_is_kept_while_the_ring_grows():
    events = ticks([20] * 120)
    plain, peeking = engine_of(), engine_of()
    for event in events:
        label = Label("a", event.time, (event.values[0] + 1,))
        scores = plain.observe_labelled(event, label).copy()
        peeking.peek(event)
        found = peeking.observe_labelled(event, label).copy()
        np.testing.assert_array_equal(found, scores)
    assert slots(peeking) == slots(plain) > ring.first(plain.config)


def test_streams_move_between_engines_whose_rings_differ():
    quick, slow = engine_of(), engine_of()
    first, second = ticks([20] * 200, "quick"), ticks([500] * 200, "slow")
    run(quick, first[:100])
    run(slow, second[:100])
    assert slots(quick) > slots(slow)
    handover.take_in(slow, ["quick"], handover.release(quick, ["quick"]))
    apart = engine_of()
    run(apart, first[:100])
    expected = [line.partition("stream=")[2] for line in run(apart, first[100:])]
    found = [line.partition("stream=")[2] for line in run(slow, first[100:])]
    expect_same(found, expected)


def test_a_tuned_rate_outlives_the_growth():
    tuned, other = engine_of(), engine_of(learn={**SMALL["learn"], "lr": 0.02})
    run(tuned, ticks([400] * 20))
    tuned.tune(0.02)
    run(tuned, ticks([10] * 100))
    assert slots(tuned) > ring.first(tuned.config)
    assert tuned._bank.layout.settings["lr"].tolist() == [0.02] * 2
    assert other.config.learn.lr == tuned.config.learn.lr


def test_the_reference_grows_too():
    events = ticks([20] * 90)
    growing, whole = (engine_of(whole=w, run={"backend": "torch"}) for w in (0, 1))
    expect_same(run(growing, events), run(whole, events))
    assert ring.first(growing.config) < slots(growing)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 200), st.integers(0, 12), st.integers(4, 20), st.data())
def test_every_stored_tick_is_found_in_the_longer_ring(first, more, old, data):
    new = data.draw(st.integers(old, 60))
    counts = np.array([first, first + more])
    counters = np.zeros((2, TICKS + 1), np.int64)
    counters[:, TICKS] = counts
    stored = np.full((2, old), -99)
    for row, count in enumerate(counts):
        for tick in range(count - old + 1, count):  # before the first one too
            stored[row, tick % (old - 1)] = tick
    stored[:, -1] = 777
    arrays = {"counters": counters, "tape_z": stored, "theta": stored.copy(),
              "labels": stored[..., None].astype(float)}  # fmt: skip
    moved = ring.longer(arrays, new)
    assert moved["theta"] is arrays["theta"]
    assert ring.of(moved) == new
    for row, count in enumerate(counts):
        for tick in range(count - old + 1, count):
            assert moved["tape_z"][row, tick % (new - 1)] == tick
        kept = np.isfinite(moved["labels"][row, :, 0]).sum()
        assert kept == old
    assert (moved["tape_z"][:, -1] == 777).all()
