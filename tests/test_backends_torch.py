"""The compiled tick and torch say the same records, to stated tolerances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfm_stream.backends.torch import Torch
from sfm_stream.errors import ConfigError
from sfm_stream.kernels.learning import adam
from tests.kernels_rig import (
    LEARN,
    OBSERVE,
    PEEK,
    SECOND,
    Rig,
    control,
    gap,
    heartbeat,
    irregular,
    join,
    ticks,
    tones,
)

torch.set_num_threads(1)
# In deviations of the target: float32 and the rational tanh against float64 and libm.
RECORDS = 2e-5
WEIGHTS = 1e-3
# Root mean square of a gradient.
NOISE = 1e-7
# The mean and the bounds of three intervals.
BOUNDS = 7
# Of a score: truth, mean, naive; then the interval's, whose slope is 2 / (1 - level).
PLAIN, STEEPEST = 3, 20.0

VARIANTS = {
    "sfm per tick": {},
    "a-sfm in time, amplitude": {
        "model": {"cell": "a-sfm", "readout": "amplitude"},
        "stream": {"clock": "time"},
        "target": {"horizons": [1, 3, 10]},
    },
    "levels, every 8 of 24": {
        "target": {"predict": "level", "horizons": [2, "5s"]},
        "learn": {"window": 24, "every": 8, "gap": "reset"},
        "features": {"inputs": ["change", "elapsed", "hour"]},
    },
}
variants = pytest.mark.parametrize("tree", VARIANTS.values(), ids=VARIANTS.keys())


def story(count=400):
    """Give ticks at odd times with a gap, a heartbeat, a freeze and a thaw inside."""
    y, at = tones(count), irregular(count)
    cut = (3 * count // 10, count // 2, 3 * count // 4)
    one, two, three, four = (
        ticks(part, when)
        for part, when in zip(np.split(y, cut), np.split(at, cut), strict=True)
    )
    return join(
        one, gap(one.time[-1] + 1), two, heartbeat(two.time[-1] + SECOND),
        control(two.time[-1], 1), three, control(three.time[-1], 0), four,
    )  # fmt: skip


def expect_same(said, reference, size):
    for records, others in ((said.forecasts, reference.forecasts),
                            (said.scores[:, :5], reference.scores[:, :5]),
                            (said.notices, reference.notices)):  # fmt: skip
        np.testing.assert_array_equal(records, others)
    for records, others in ((said.forecast_numbers[:, :BOUNDS],
                             reference.forecast_numbers[:, :BOUNDS]),
                            (said.score_numbers[:, :PLAIN],
                             reference.score_numbers[:, :PLAIN])):  # fmt: skip
        np.testing.assert_allclose(records, others, rtol=0, atol=RECORDS * size)
    np.testing.assert_allclose(
        said.score_numbers[:, PLAIN:], reference.score_numbers[:, PLAIN:],
        rtol=0, atol=STEEPEST * RECORDS * size,
    )  # fmt: skip
    np.testing.assert_allclose(
        said.forecast_numbers[:, BOUNDS:], reference.forecast_numbers[:, BOUNDS:],
        rtol=WEIGHTS, atol=WEIGHTS,
    )  # fmt: skip
    np.testing.assert_allclose(
        said.notice_numbers, reference.notice_numbers, rtol=1e-3, atol=1e-6
    )


@variants
def test_float32_of_both_backends_says_what_torch_float64_says(tree):
    events = story()
    exact = Rig(tree, backend="torch", real=np.float64)
    reference = exact.run(events)
    assert exact.view("weights").dtype == np.float64
    updates = reference.notices[:, 0] == 0
    assert updates.sum() > 8
    for backend in ("numba", "torch"):
        r = Rig(tree, backend=backend)
        expect_same(r.run(events), reference, size=np.std(tones(400)))
        # At half a turn per tick Im R is rounding alone, which Adam magnifies.
        real = np.sqrt(exact.view("moment2")) > NOISE
        moved = exact.view("weights") - Rig(tree, real=np.float64).view("weights")
        distance = r.view("weights") - exact.view("weights")
        assert real.mean() > 0.7
        assert np.linalg.norm(distance[real]) < WEIGHTS * np.linalg.norm(moved)


@variants
def test_memory_and_tape_after_some_ticks_are_those_of_the_reference(tree):
    events = ticks(tones(40), irregular(40))
    exact = Rig(tree, backend="torch", real=np.float64)
    exact.run(events)
    r = Rig(tree)
    r.run(events)
    for name in ("tape_u", "tape_gates", "tape_turned", "tape_read", "tape_out",
                 "tape_turn", "tape_tau", "tape_z"):  # fmt: skip
        np.testing.assert_allclose(
            r.view(name)[:40], exact.view(name)[:40], rtol=2e-5, atol=2e-5, err_msg=name
        )


def test_torch_ticks_one_by_one_say_the_bits_of_a_block():
    events, block, single = story(150), Rig(backend="torch"), Rig(backend="torch")
    whole = block.run(events)
    parts = []
    for i in range(len(events.kind)):
        parts.append(single.run(events, OBSERVE, i, i + 1).forecast_numbers)
        single.run(events, LEARN, i, i + 1)
    np.testing.assert_array_equal(np.concatenate(parts), whole.forecast_numbers)
    for name, array in block.bank.snapshot().items():
        np.testing.assert_array_equal(array, single.bank.snapshot()[name], name)


def test_torch_peeks_as_it_observes():
    r = Rig({"target": {"horizons": [50]}}, backend="torch")
    events = ticks(tones(40))
    r.run(events, stop=39)
    peeked = r.run(events, PEEK, 39).forecast_numbers
    np.testing.assert_array_equal(peeked, r.run(events, OBSERVE, 39).forecast_numbers)


def test_torch_serves_rows_of_several_streams_and_targets():
    tree = {"target": {"values": ["a", "b"]}}
    y = np.stack([tones(60), tones(60, seed=1)], 1)
    events = ticks(y)
    events.row[1::2] = 2
    said = [Rig(tree, ("a", "b"), rows=2, backend=name).run(events)
            for name in ("numba", "torch")]  # fmt: skip
    expect_same(*said, size=1.0)
    assert set(said[0].forecasts[:, 1]) == {0, 1, 2, 3}


def test_adam_takes_the_steps_of_torchs_own():
    rng = np.random.default_rng(0)
    start = rng.standard_normal(50).astype(np.float32)
    weights, moment, moment2 = start.copy(), np.zeros_like(start), np.zeros_like(start)
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Adam([parameter], lr=1e-2)
    for count in range(1, 60):
        gradient = (rng.standard_normal(50) * 10.0 ** (count % 5 - 3)).astype("f4")
        parameter.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        optimizer.step()
        size = adam.norm(gradient)
        assert size == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
        adam.step(weights, moment, moment2, gradient, size, 1.0, 1e-2, count)
    distance = np.linalg.norm(weights - parameter.detach().numpy())
    assert distance < 1e-5 * np.linalg.norm(weights - start)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_update_is_skipped_where_a_gradient_is_not_finite(backend):
    r = Rig(backend=backend)
    events = ticks(tones(64))
    r.run(events, OBSERVE, 0, 32)
    before = r.view("weights").copy()
    r.view("tape_read")[5] = np.inf
    said = r.run(events, LEARN, 31, 32)
    assert said.notices[0].tolist()[3:] == [0, 29, 2]
    np.testing.assert_array_equal(r.view("weights"), before)


def test_a_device_that_is_not_there_is_told_in_one_sentence(monkeypatch):
    def absent(*_, **__):
        raise RuntimeError("no driver is installed.\nSee the manual.")

    monkeypatch.setattr("torch.zeros", absent)
    with pytest.raises(ConfigError, match="no driver is installed; use cpu"):
        Torch("cuda")
