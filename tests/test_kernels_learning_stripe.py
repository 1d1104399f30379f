"""An update in pieces does what a whole one does, a few ticks later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block
from sfm_stream.events.kinds import FREEZE, UNFREEZE
from sfm_stream.state.places import ADAM_STEP, STAGE
from tests.kernels_rig import (
    SECOND,
    SMALL,
    START,
    Rig,
    control,
    gap,
    join,
    ticks,
    tones,
)

# So small that an update changes no float32 weight: they stay frozen.
STILL = 1e-30
UPDATED = 0
SEQ, LABELS = 1, 4
BEGUN = 128  # ticks after which the fourth update is due


def rig(schedule="striped", *, horizons=(1,), model=None, **learn):
    tree = {
        "model": model or {},
        "target": {"horizons": list(horizons)},
        "learn": {"replay": 400, **learn, "schedule": schedule},
    }
    return Rig(tree).stir()


def both(**tree):
    return rig("striped", **tree), rig("staggered", **tree)


def updates(said):
    """Give sequence number, labels, and loss and norm of each update."""
    chosen = said.notices[:, 0] == UPDATED
    notices = said.notices[chosen]
    return notices[:, SEQ], notices[:, LABELS], said.notice_numbers[chosen]


def is_under_way(r):
    return r.view("stripe")[STAGE] != 0


def finish(r, events, begun):
    """Take single ticks until no update is under way; give how many."""
    taken = 0
    while is_under_way(r):
        r.run(events, start=begun + taken, stop=begun + taken + 1)
        taken += 1
    return taken


@pytest.mark.parametrize("cell", ["sfm", "a-sfm"])
@pytest.mark.parametrize("readout", ["amplitude", "amplitude+phase"])
@pytest.mark.parametrize("horizons", [(1,), (1, 3, 10), (1, 70)])
@pytest.mark.parametrize("replay", [0, 400])
def test_gradient_of_pieces_is_that_of_a_whole_sweep_to_the_bit(
    cell, readout, horizons, replay
):
    model = {"cell": cell, "readout": readout}
    tree = {"horizons": horizons, "model": model, "replay": replay, "lr": STILL}
    striped, whole = both(**tree)
    events = ticks(tones(BEGUN + 32))
    for r in (striped, whole):
        r.run(events, stop=BEGUN)
    assert is_under_way(striped)
    assert 4 < finish(striped, events, BEGUN) < 24
    found, expected = striped.gradient(), whole.gradient()
    for name, block in expected.items():
        assert np.abs(block).sum() > 0, name
        np.testing.assert_array_equal(found[name], block, name)


@settings(max_examples=40)
@given(
    every=st.integers(1, 40), window=st.integers(1, 40), replay=st.integers(0, 200),
    horizons=st.sets(st.integers(1, 60), min_size=1, max_size=4),
)  # fmt: skip
def test_updates_have_the_labels_of_whole_ones_and_end_before_the_next_begins(
    every, window, replay, horizons
):
    tree = {"every": min(every, window), "window": window, "replay": replay,
            "horizons": sorted(horizons), "lr": STILL}  # fmt: skip
    striped, whole = both(**tree)
    events = ticks(tones(200))
    seq, labels, numbers = updates(striped.run(events))
    begun, all_labels, expected = updates(whole.run(events))
    count = len(seq)
    assert len(begun) - count <= 1
    np.testing.assert_array_equal(labels, all_labels[:count])
    np.testing.assert_allclose(numbers, expected[:count], rtol=1e-9)
    assert (seq >= begun[:count]).all()
    assert (seq[: len(begun) - 1] <= begun[1 : count + 1]).all()


@settings(max_examples=15)
@given(
    every=st.integers(1, 32), window=st.integers(1, 32),
    horizons=st.sets(st.integers(1, 40), min_size=1, max_size=3),
)  # fmt: skip
def test_no_tick_is_overwritten_before_it_is_swept(every, window, horizons):
    tree = {"every": min(every, window), "window": window,
            "horizons": sorted(horizons)}  # fmt: skip
    plain, roomy = rig(**tree), rig(**tree)
    roomy.bank._have_ring(plain.sizes.ring + 97)
    roomy.sizes = roomy.bank.layout.sizes
    events = ticks(tones(200))
    for found, expected in zip(plain.run(events), roomy.run(events), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_no_tick_takes_two_steps():
    striped, whole = both()
    events = ticks(tones(BEGUN + 64))
    most = []
    for r in (striped, whole):
        steps = []
        for i in range(len(events.kind)):
            r.run(events, start=i, stop=i + 1)
            steps.append(r.view("counters")[ADAM_STEP])
        most.append(np.diff(steps).max())
    assert most == [1, 2]


def test_the_median_tick_has_no_piece():
    r, busy = rig(), 0
    events = ticks(tones(BEGUN + 64))
    r.run(events, stop=BEGUN)
    for i in range(BEGUN, len(events.kind)):
        busy += is_under_way(r)
        r.run(events, start=i, stop=i + 1)
    assert 0 < busy < 32


def begun_at(events):
    """Give a rig a few ticks after an update has begun."""
    r = rig()
    r.run(events, stop=BEGUN + 3)
    assert is_under_way(r)
    return r


def test_a_pause_drops_what_is_under_way_and_no_weight_changes():
    y = tones(BEGUN + 100)
    r = begun_at(ticks(y))
    before, steps = r.view("weights").copy(), r.view("counters")[ADAM_STEP]
    now = BEGUN + 3
    time = START + SECOND * np.arange(len(y))
    said = r.run(join(control(time[now], FREEZE), ticks(y[now:], time[now:])))
    assert not is_under_way(r)
    assert len(updates(said)[0]) == 0
    assert r.view("counters")[ADAM_STEP] == steps
    np.testing.assert_array_equal(r.view("weights"), before)
    later = ticks(tones(64, seed=1), time[-1] + SECOND * np.arange(1, 65))
    said = r.run(join(control(time[-1], UNFREEZE), later))
    assert len(updates(said)[0]) >= 1
    assert updates(said)[1].max() == 32
    assert not np.array_equal(r.view("weights"), before)


def test_a_gap_ends_what_is_under_way_and_begins_what_matured_since():
    y = tones(BEGUN + 43)
    now = BEGUN + 3
    late = START + SECOND * (now + 10 + np.arange(40))
    r = begun_at(ticks(y))
    said = r.run(join(gap(START + SECOND * (now + 5)), ticks(y[now:], late)))
    seq, labels, _ = updates(said)
    assert (seq[0], labels[0]) == (0, 32)
    assert labels[1] == 3
    assert seq[1] < 16


@pytest.mark.parametrize("cut", range(96, 132))
def test_a_run_goes_on_from_each_tick_of_an_update_as_if_it_had_not_stopped(cut):
    settings = from_tree({**SMALL, "learn": {"schedule": "striped"}})
    time = START + SECOND * np.arange(170)
    events = Block.ticks(time, tones(170)[:, None], streams=("a",))
    stopped, resumed = Engine(settings, ["x"]), Engine(settings, ["x"])
    stopped.run(events[:cut])
    resumed.restore(*stopped.snapshot())
    expected, found = (e.run(events[cut:]).columns for e in (stopped, resumed))
    assert len(expected["updates"]["loss"]) >= 1
    for kind, columns in expected.items():
        for name, column in columns.items():
            np.testing.assert_array_equal(found[kind][name], column, f"{kind} {name}")
    for one, other in zip(stopped.snapshot()[0].values(),
                          resumed.snapshot()[0].values(), strict=True):  # fmt: skip
        np.testing.assert_array_equal(one, other)


def test_another_run_that_takes_over_drops_what_is_under_way():
    settings = from_tree({**SMALL, "learn": {"schedule": "striped"}})
    time = START + SECOND * np.arange(100)
    events = Block.ticks(time, tones(100)[:, None], streams=("a",))
    first, second = Engine(settings, ["x"]), Engine(settings, ["x"])
    first.run(events)
    assert first.view("stripe")[0, STAGE] != 0
    second.adopt(*first.snapshot())
    assert second.view("stripe")[0, STAGE] == 0
    assert len(second.run(events).columns["updates"]["loss"]) == 3
