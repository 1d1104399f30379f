"""Old windows are kept evenly, run again as they were, and learned from once more."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.kernels.learning import reservoir
from sfm_stream.kernels.memory import cell
from sfm_stream.state import arena, places
from tests.kernels_rig import Rig, gap, join, ticks, tones

WINDOW = 8
LEARN = {"window": WINDOW, "every": WINDOW}


def rig(kept, **learn):
    return Rig({"learn": LEARN | {"replay": kept * WINDOW} | learn})


def watched(r, events):
    """Take events one by one; give the inputs and the outputs of the cell [T, ...]."""
    u, z, slots = [], [], r.sizes.ring - 1
    for t in range(len(events.kind)):
        r.run(events, start=t, stop=t + 1)
        u.append(r.view("tape_u")[t % slots, : r.sizes.inputs].copy())
        z.append(r.view("tape_z")[t % slots].copy())
    return np.array(u), np.array(z)


def beginnings(r, u):
    """Find the ticks at which the kept windows begin, by what they saw."""
    count = min(int(r.view("counters")[places.OFFERED]), r.sizes.kept)
    kept = r.view("kept_u")[:count]
    windows = np.lib.stride_tricks.sliding_window_view(u, WINDOW, axis=0)
    found = [np.flatnonzero((windows == w.T).all((1, 2))) for w in kept]
    assert all(len(places) == 1 for places in found)
    return [int(places[0]) for places in found]


def test_windows_follow_one_another_while_there_is_room():
    r = rig(50)
    u, _ = watched(r, ticks(tones(120)))
    starts = beginnings(r, u)
    assert starts[0] > 0
    assert (np.diff(starts) == WINDOW).all()
    assert 120 - 2 * WINDOW <= starts[-1] < 120 - WINDOW


def test_full_reservoir_holds_all_the_past_evenly():
    r, count = rig(30), 4_000
    u, _ = watched(r, ticks(tones(count)))
    starts = np.array(beginnings(r, u))
    assert len(set(starts.tolist())) == 30
    assert abs(starts.mean() - count / 2) < 4 * count / np.sqrt(12 * 30)
    assert starts.min() < count / 4 < 3 * count / 4 < starts.max()


def test_no_window_crosses_a_gap():
    r = rig(50)
    first, second = ticks(tones(60)), ticks(tones(60), ticks(tones(130)).time[70:])
    events = join(first, gap(second.time[0] - 1), second)
    for t in range(len(events.kind)):
        r.run(events, start=t, stop=t + 1)
    offered = int(r.view("counters")[places.OFFERED])
    # Of each half the first tick, the last ones and a part of a window are left out.
    assert 8 <= offered <= 12
    assert np.isfinite(r.view("kept_labels")[:offered, -1]).all()


def test_window_run_again_with_the_same_weights_says_the_same():
    r = rig(1, lr=1e-30)
    events = ticks(tones(2 * WINDOW + 2))
    u, z = watched(r, events)
    (start,) = beginnings(r, u)
    settings = r.bank.layout.settings
    again, s = settings[1], r.sizes
    row, work, table = (
        arena.Arena(*(flat[0] for flat in rows))
        for rows in (r.bank.rows, r.bank.work, r.bank.layout.tables)
    )
    assert reservoir.fetch(settings[0], again, row, work) == WINDOW
    at_now, at_then = settings["at_weights"]
    now = row.f32[at_now : at_now + s.weights]
    work.f32[at_then : at_then + s.weights] = now
    old = arena.Arena(work.f32, row.f64, row.i64)
    for t in range(1, WINDOW + 1):
        cell.step(again, table, old, work, t - 1, t)
    there = places.work_places(s)
    said = arena.view(r.bank.work, there, "again_tape_z")[0, 1 : WINDOW + 1]
    np.testing.assert_array_equal(said, z[start : start + WINDOW])


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_adapting_forgets_the_past(backend):
    from sfm_stream.events.kinds import ADAPT
    from tests.kernels_rig import control

    r = Rig({"learn": LEARN | {"replay": 80}}, backend=backend)
    events = ticks(tones(60))
    r.run(join(events, control(events.time[-1], ADAPT)))
    assert r.view("counters")[places.OFFERED] == 0
