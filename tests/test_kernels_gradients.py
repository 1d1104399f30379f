"""Gradients of the shipped entry against float64 autograd through the cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.cell.parameters import FORGET_CAP, Weights
from sfm_stream.cell.step import SFMState, step
from sfm_stream.events.kinds import FREEZE
from sfm_stream.state import arena, places
from sfm_stream.state.places import SEGMENT, UNIT_NS
from tests.kernels_rig import (
    LEARN,
    OBSERVE,
    SECOND,
    START,
    Rig,
    control,
    gap,
    irregular,
    join,
    ticks,
    tones,
)

torch.set_num_threads(1)
TOLERANCE = 1e-5
# So small that an update changes no float32 weight: they stay frozen.
STILL = 1e-30

both_cells = pytest.mark.parametrize("cell", ["sfm", "a-sfm"])
both_clocks = pytest.mark.parametrize("clock", ["tick", "time"])
both_readouts = pytest.mark.parametrize("readout", ["amplitude", "amplitude+phase"])
backends = pytest.mark.parametrize("backend", ["numba", "torch"])


def rig(backend="numba", *, cell="sfm", clock="tick", readout="amplitude+phase",
        horizons=(1,), window=64, every=32, after_gap="decay"):  # fmt: skip
    tree = {
        "model": {"cell": cell, "readout": readout},
        "stream": {"clock": clock},
        "target": {"horizons": list(horizons)},
        "learn": {
            "window": window,
            "every": every,
            "lr": STILL,
            "gap": after_gap,
            "replay": 0,
        },
    }
    return Rig(tree, backend=backend).stir()


def labels_of(count, horizon):
    """Say how many labels teach: two settle before there is a scale to learn in."""
    return count - 2 * horizon - 1


def blocks_of(rig):
    return {
        name: torch.tensor(block, dtype=torch.float64, requires_grad=True)
        for name, block in rig.bank.weights(0).items()
    }


def state_at(rig, tick):
    """Give the memory after a tick, from the tape; before the first one it is empty."""
    d, slot = rig.sizes.states, tick % (rig.sizes.ring - 1)
    read = torch.tensor(rig.view("tape_read")[slot], dtype=torch.float64)
    z = torch.tensor(rig.view("tape_z")[slot], dtype=torch.float64)
    return SFMState(read[:, d : 2 * d], read[:, 2 * d :], z)


def fold(rig, blocks, state, wanted):
    """Run the cell over the scaled inputs of the ticks; give z of each."""
    s, every = rig.sizes, []
    weights = Weights(blocks["w_in"], blocks["w_heads"], blocks["b_z"])
    omega = torch.tensor(table(rig, "turn")[2], dtype=torch.float64)
    reach = torch.tensor(table(rig, "reach"), dtype=torch.float64)
    for tick in wanted:
        slot = tick % (s.ring - 1)
        u = torch.tensor(rig.view("tape_u")[slot, : s.inputs], dtype=torch.float64)
        tau = torch.tensor(float(rig.view("tape_tau")[slot]), dtype=torch.float64)
        z, state, _ = step(
            weights, omega, reach if s.adaptive else None, u, state,
            elapsed=tau if s.clocked else None,
        )  # fmt: skip
        every.append(z)
    return torch.stack(every)


def table(rig, name):
    return arena.view(rig.bank.layout.tables, places.table_places(rig.sizes), name)[0]


def errors_of(rig, blocks, z, wanted, learned):
    """Give the errors of known labels whose origins are in `learned[q]`."""
    s, found = rig.sizes, []
    for i, tick in enumerate(wanted):
        labels = rig.view("labels")[tick % (s.ring - 1)]
        for q in range(s.horizons):
            if tick in learned[q] and not np.isnan(labels[q]):
                said = blocks["v"][q] @ z[i] + blocks["c"][q]
                found.append(said - float(labels[q]))
    return found


def expect_gradients(rig, blocks, errors, notice):
    loss = torch.stack(errors).square().mean()
    loss.backward()
    assert notice[0] == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, block in rig.gradient().items():
        expected = blocks[name].grad.numpy()
        distance = np.linalg.norm(block - expected) / np.linalg.norm(expected)
        assert np.linalg.norm(expected) > 0, name
        assert distance <= TOLERANCE, (name, distance)


@backends
@both_cells
@both_clocks
@both_readouts
@pytest.mark.parametrize("horizons", [(1,), (1, 3, 10)])
def test_gradient_of_a_whole_window_is_autograds(
    backend, cell, clock, readout, horizons
):
    r = rig(backend, cell=cell, clock=clock, readout=readout, horizons=horizons)
    events = ticks(tones(44), irregular(44))
    r.run(events, OBSERVE)
    said = r.run(events, LEARN, start=43)
    blocks, wanted = blocks_of(r), range(44)
    z = fold(r, blocks, state_at(r, r.sizes.ring - 2), wanted)
    errors = errors_of(r, blocks, z, wanted, [wanted] * len(horizons))
    assert len(errors) == sum(labels_of(44, h) for h in horizons) == said.notices[0, 4]
    expect_gradients(r, blocks, errors, said.notice_numbers[0])


@backends
@both_cells
def test_windows_of_far_horizons_are_swept_apart(backend, cell):
    # Every 8 ticks; the window of horizon 40 ends 39 ticks before that of horizon 1.
    r = rig(backend, cell=cell, horizons=(1, 40), window=12, every=8)
    events = ticks(tones(128))
    r.run(events, stop=127)
    before = r.view("weights").copy()
    said = r.run(events, start=127)
    assert np.array_equal(before, r.view("weights"))
    blocks = blocks_of(r)
    learned, errors = [range(119, 127), range(80, 88)], []
    for last in (126, 87):
        wanted = range(last - 11, last + 1)
        z = fold(r, blocks, state_at(r, wanted[0] - 1), wanted)
        errors += errors_of(r, blocks, z, wanted, learned)
    assert len(errors) == 16
    expect_gradients(r, blocks, errors, said.notice_numbers[-1])


def lost(rig, before, units):
    """Give the memory after `units` unseen ticks, from the activations before."""
    s, state = rig.sizes, state_at(rig, before)
    gates = rig.view("tape_gates")[before].astype(np.float64)
    forget = (
        FORGET_CAP
        * gates[None, : s.states]
        * (gates[s.states : s.states + s.frequencies, None])
    )
    omega = table(rig, "turn")[2].astype(np.float64)
    kept = (forget * np.exp(-1j * omega)[:, None]) ** units
    memory = (state.re.numpy() + 1j * state.im.numpy()) * kept
    return SFMState(
        torch.tensor(memory.real.copy()), torch.tensor(memory.imag.copy()), state.z
    )


def nothing(state):
    return SFMState(*(torch.zeros_like(part) for part in state))


@backends
@pytest.mark.parametrize("after_gap", ["decay", "reset", "keep"])
def test_gradient_ends_at_a_gap_and_both_sides_are_learned_from(backend, after_gap):
    r = rig(backend, cell="a-sfm", after_gap=after_gap, horizons=(1, 3))
    y, seen = tones(60), 25
    late = START + SECOND * (np.arange(35) + 31)
    events = join(ticks(y[:seen]), gap(START + 28 * SECOND), ticks(y[seen:], late))
    said = r.run(events, OBSERVE, stop=seen + 1)
    blocks, wanted = blocks_of(r), range(seen)
    z = fold(r, blocks, state_at(r, r.sizes.ring - 2), wanted)
    errors = errors_of(r, blocks, z, wanted, [wanted] * 2)
    assert len(errors) == labels_of(seen, 1) + labels_of(seen, 3)
    expect_gradients(r, blocks, errors, said.notice_numbers[said.notices[:, 0] == 0][0])

    assert r.view("counters")[SEGMENT] == seen
    assert r.view("gauges")[UNIT_NS] == SECOND
    r.run(events, OBSERVE, start=seen + 1)
    said = r.run(events, LEARN, start=60)
    start = {
        # Ticks 24 and 31 were seen; six between them were not.
        "decay": lost(r, seen - 1, 6.0),
        "reset": nothing(state_at(r, 0)),
        "keep": state_at(r, seen - 1),
    }[after_gap]
    blocks, wanted = blocks_of(r), range(seen, 60)
    z = fold(r, blocks, start, wanted)
    errors = errors_of(r, blocks, z, wanted, [wanted] * 2)
    assert len(errors) == 34 + 32
    expect_gradients(r, blocks, errors, said.notice_numbers[0])


def test_each_label_contributes_to_exactly_one_update():
    r = rig(horizons=(1, 5), window=16, every=4)
    said = r.run(ticks(tones(200)))
    updates = said.notices[said.notices[:, 0] == 0]
    # The 200th tick is the 50th multiple of 4: all that matured was learned from.
    assert updates[:, 4].sum() == labels_of(200, 1) + labels_of(200, 5)


def test_frozen_weights_forget_their_labels_instead_of_hoarding_them():
    r = rig(window=16, every=8)
    y = tones(48)
    later = ticks(y[16:], START + SECOND * np.arange(16, 48))
    said = r.run(join(ticks(y[:16]), control(START + 15 * SECOND, FREEZE), later))
    # Two updates before the control, none after.
    assert len(said.notices) == 2
    later = ticks(y[:8], START + SECOND * np.arange(49, 57))
    said = r.run(join(control(START + 48 * SECOND, 1 - FREEZE), later))
    assert said.notices[:, 4].tolist() == [8]


def test_window_never_reaches_ticks_that_the_tape_has_lost():
    # A burst crowds out all that wait but origin 60, whose window would begin at 29.
    # Ticks before it are apart, so that there is a scale to learn in.
    ms = 10**6
    learn = {"window": 32, "every": 32, "max_pending": 8, "lr": STILL, "replay": 0}
    tree = {"target": {"horizons": ["1s"]}, "learn": learn}
    r = Rig(tree).stir()
    apart = START - 980 * ms * np.arange(4, 0, -1)
    slow = START + 10 * ms * np.arange(64)
    burst = slow[56] + SECOND + 1 + ms // 10 * np.arange(28)
    said = r.run(ticks(tones(96), np.concatenate([apart, slow, burst])))
    assert said.scores[:, 3].tolist() == [0, 1, 2, 3, 60]
    assert said.notices[said.notices[:, 0] == 0][:, 4].tolist() == [1, 1]
    there = places.work_places(r.sizes)
    oldest = arena.view(r.bank.work, there, "spans")[0, 0, 0]
    assert 96 - (r.sizes.ring - 1) <= oldest <= 60
