from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sfm_stream.cell import parameters, sfm
from sfm_stream.cell.step import step
from sfm_stream.evaluate.pace import bench
from sfm_stream.evaluate.pace.eager_torch import Eager

SIZES = parameters.Sizes(inputs=3, states=5, frequencies=4, outputs=6, phase=False)


def reference(sizes, x):
    """Give the cell's definition with the weights that `Eager` is born with."""
    born = parameters.birth(sizes, np.random.default_rng(0))
    weights = parameters.Weights(*(torch.tensor(w, dtype=torch.float32) for w in born))
    cell = sfm.SFMCell(3, 6, states=5, frequencies=4, readout="amplitude")
    state, every = cell.initial_state(), []
    for row in x:
        z, state, _ = step(weights, cell.omega, None, row, state)
        every.append(z)
    return torch.stack(every)


def ticks(count, seed=0):
    random = np.random.default_rng(seed).standard_normal((count, SIZES.inputs))
    return torch.tensor(random, dtype=torch.float32)


def test_the_eager_cell_computes_what_the_cell_is_defined_to():
    eager, x = Eager(SIZES), ticks(50)
    projected = torch.addmm(eager.bias, x, eager.w_x)
    every = torch.stack([eager.step(row).detach() for row in projected])
    assert_close(every, reference(SIZES, x), rtol=1e-4, atol=1e-4)


def test_the_eager_cell_learns_every_window():
    eager = Eager(SIZES, window=16, lr=1e-2)
    x = ticks(640)
    y = x[:, 0]
    first = eager.learn(x[:16], y[:16])
    assert eager.learn(x, y) < first / 2
    assert all(p.grad is not None for p in eager.parameters)


def test_learning_goes_on_after_predicting():
    eager, x = Eager(SIZES, window=8), ticks(16)
    assert eager.predict(x).shape == (16,)
    assert np.isfinite(eager.learn(x, x[:, 0]))


def test_the_benchmark_prints_the_published_shape(monkeypatch):
    monkeypatch.setattr(bench, "_compile", lambda: 1.0)
    said = []
    size = bench.Size(
        repeats=2,
        ticks=64,
        eager_ticks=64,
        live_ticks=20,
        file_ticks=50,
        sequence_ticks=3,
    )
    found = bench.measure(said.append, size)
    assert list(found) == [
        "config", "predict_us", "learn_us", "sequence_us", "full_tick_us",
        "replay_ticks_per_s", "observe_learn_us", "striped_us", "river_us",
        "compile_s", "warm_start_s",
    ]  # fmt: skip
    assert set(found["sequence_us"]) == {"sfm", "a-sfm", "lstm"}
    assert min(found["sequence_us"].values()) > 0
    assert set(found["river_us"]) == {"sfm", "linear", "linear_to_sfm"}
    assert min(found["river_us"].values()) > 0
    assert set(found["predict_us"]) == set(found["learn_us"]) == {"numba", "torch"}
    assert {"p50", "p99"} <= set(found["observe_learn_us"])
    numbers = [v for v in found.values() if isinstance(v, float)]
    assert all(number > 0 for number in numbers)
    for schedule in ("observe_learn_us", "striped_us"):
        assert 0 < found[schedule]["p50"] <= found[schedule]["p99"]
    assert json.loads(json.dumps(found)) == found
    assert said


def test_the_measured_cell_has_the_published_size():
    eager = Eager(parameters.Sizes(8, 32, 8, 32, phase=False))
    assert sum(p.numel() for p in eager.parameters) == 31_433
    engine = bench._cell_engine(learns=True)
    assert engine.view("weights").shape[1] == 31_433


def test_the_first_repeat_is_left_out():
    times = iter([100.0, 1.0, 3.0, 2.0])
    assert bench._medians(4, {"a": lambda: next(times)}) == {"a": 2.0}


def test_a_measured_process_leaves_bytecode_for_the_next(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    child, seen = bench._child, []
    monkeypatch.setattr(bench, "_child", lambda *given: seen.append(given))
    bench._replayed(tmp_path, tmp_path / "quotes.toml")
    [(_, environment)] = seen
    said = child(["-c", "import sys; print(sys.dont_write_bytecode)"], environment)
    assert said.strip() == "False"


def test_a_child_that_fails_is_an_error_with_its_last_words():
    with pytest.raises(RuntimeError, match="no such luck"):
        bench._child(["-c", "raise SystemExit('no such luck')"], {})
