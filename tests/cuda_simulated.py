"""Stories run by the backend `cuda` without a GPU, beside the CPU's records.

Started as a process of its own, since numba decides when it is imported whether it
compiles or simulates: its kernels run as Python, `cell.cu` over fibers.
"""

from __future__ import annotations

import json
import sys
import tomllib
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import cuda
from numba.cuda import simulator

from sfm_stream import config
from sfm_stream.backends.cuda import chain, running
from sfm_stream.backends.cuda.stages import team
from sfm_stream.backends.cuda.twins import Twins
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Control, Gap, Heartbeat, Label, Tick
from sfm_stream.kernels.experts import least_squares
from sfm_stream.state import places, ring
from tests import cuda_rig

PANEL = Path(__file__).parents[1] / "configs" / "panel.toml"
START, SECOND = 1_700_000_000 * 10**9, 10**9


class Memory:
    """The GPU's memory: numpy's. What is not written first is NaN, or far out."""

    @staticmethod
    def send(array):
        if array.dtype.names:
            array = array.view(np.recarray)
        return array.copy()

    @staticmethod
    def room(shape, kind):
        return np.full(shape, np.nan if np.dtype(kind).kind == "f" else -(2**40), kind)

    @staticmethod
    def write(there, array):
        there[...] = array

    @staticmethod
    def read(there, into=None):
        if into is None:
            return there.copy()
        into[...] = there
        return into


class Threads:
    """`numba.cuda` as functions see it that a simulated kernel calls.

    The simulator puts it in the place of the module in the kernel's own names alone.
    """

    def __getattr__(self, name):
        return getattr(simulator.kernel._get_kernel_context(), name)


class NoGpu(NamedTuple):
    """What `running.find` gives where there is no GPU."""

    folder: Path

    def load(self, layout, tape):
        return cuda_rig.kernels(layout, self.folder, tape=tape)

    def is_ready(self):
        return True


team.cuda, chain.memory = Threads(), Memory
# Python's threads are slow to wait for each other.
chain.THREADS, chain.TEAM, chain.TEAM_ROWS = 2, 2, 2


def engines(tree, fields, folder):
    running.find = lambda _: NoGpu(folder)
    made = []
    for device in ("cpu", "cuda"):
        tree = {**tree, "run": {"device": device}}
        made.append(Engine(config.from_tree(tree), fields))
    return made


TREE = {
    "model": {"states": 3, "frequencies": 2, "outputs": 3, "longest_period": 16.0,
              "longest_memory": 16.0},
    "features": {"lags": 2, "errors": 1},
    "learn": {"window": 4, "every": 3, "replay": 12},
    "target": {"values": ["x", "y"], "horizons": [1, 3]},
    "stream": {"max_gap": "1m"},
}  # fmt: skip
FIELDS = ("x", "y")


def story(seed=0):
    """Give events with gaps, silences, labels, freezes, voids and refused ticks."""
    rng = np.random.default_rng(seed)
    events, time = [], START
    for i in range(34):
        time += SECOND
        name = "ab"[i % 5 // 3] if i > 3 else "a"
        values = tuple((rng.standard_normal(2) + np.sin(i / 3)).tolist())
        if i == 9:
            values = (np.nan, values[1])
        if i == 12:
            values = (np.inf, 0.0)
        events.append(Tick(name, time - (90 * SECOND if i == 15 else 0), values))
        if i == 17:
            events.append(Gap("", time, "lost"))
        if i == 21:
            events.append(Control("a", time, "freeze"))
        if i == 25:
            events += [Control("a", time, "learn"), Control("", time, "adapt")]
        if i == 28:
            time += 200 * SECOND
            events.append(Heartbeat("", time))
        if i > 29:
            events.append(Label(name, time, (values[0] + 0.1, values[1])))
    return events


def expect_same(said, wanted, where):
    """Compare records as columns: whole numbers equal, real ones nearly."""
    assert set(said.columns) == set(wanted.columns), where
    for kind, columns in wanted.columns.items():
        for name in columns:
            mine, column = (np.asarray(r.columns[kind][name]) for r in (said, wanted))
            assert mine.shape == column.shape, (where, kind, name)
            if column.dtype.kind == "f":
                np.testing.assert_allclose(
                    mine, column, rtol=2e-4, atol=2e-5, err_msg=f"{where} {kind} {name}"
                )
            else:
                assert (mine == column).all(), (where, kind, name)


def expect_same_state(gpu, cpu):
    (mine, meta), (wanted, other) = gpu.snapshot(), cpu.snapshot()
    assert meta == other
    wanted = ring.longer(wanted, ring.of(mine))  # the GPU has all of it from the start
    for name, array in wanted.items():
        np.testing.assert_allclose(
            mine[name], array, rtol=2e-4, atol=2e-5, err_msg=name
        )


def run_both(folder, tree, events, size):
    """Run events in blocks by both; give the kinds of records and the GPU's engine."""
    cpu, gpu = engines(merged(tree), FIELDS, folder)
    kinds = set()
    for begin in range(0, len(events), size):
        block = Block.of(events[begin : begin + size], len(FIELDS))
        wanted = cpu.run(block)
        expect_same(gpu.run(block), wanted, f"block from {begin}")
        kinds |= {kind for kind, found in wanted.columns.items() if len(found["seq"])}
    assert not gpu._bank.is_home, "the rows stay on the GPU between blocks"
    expect_same_state(gpu, cpu)
    return kinds, gpu


def merged(tree):
    return {key: TREE.get(key, {}) | tree.get(key, {}) for key in {*TREE, *tree}}


def a_story_of_everything(folder):
    kinds, gpu = run_both(folder, {}, story(), 14)
    counters = gpu.view("counters")
    assert (counters[:2, places.ADAM_STEP] >= 1).all(), counters[
        :, [places.ADAM_STEP, places.VERSION, places.OFFERED]
    ]
    assert kinds == {
        "forecasts",
        "scores",
        "updates",
        "voided",
        "rejected",
        "decisions",
    }


def adaptive_frequencies_on_the_clock(folder):
    tree = {
        "model": {"cell": "a-sfm", "readout": "amplitude"},
        "stream": {"clock": "time"},
        "learn": {"gap": "reset"},
        "target": {"predict": "level", "horizons": ["1500ms", 2]},
    }
    run_both(folder, tree, story(1), 40)


def more_records_than_there_is_room_for(folder):
    chain.EVENTS_KEPT = 1
    try:
        run_both(folder, {"target": {"horizons": [1, "5s"]}}, story(2), 40)
    finally:
        chain.EVENTS_KEPT = 32


def strangers_and_folded_ticks(folder):
    tree = {"stream": {"symbols": ["a"], "every": "3s"}, "learn": {"gap": "keep"}}
    kinds, _ = run_both(folder, tree, [e for e in story(3) if type(e) is not Label], 10)
    assert "rejected" in kinds


def a_clock_that_was_set_back(folder):
    events = story(8)[:8]
    start = START - 10**6 * SECOND
    events += [Tick("a", start + i * SECOND, (float(i), 1.0)) for i in range(20)]
    kinds, _ = run_both(folder, {}, events, 13)
    assert "rejected" in kinds


def without_a_cell(folder):
    run_both(folder, {"forecast": {"experts": ["last", "rls"]}}, story(4), 20)


def one_event_at_a_time(folder):
    cpu, gpu = engines(merged({}), FIELDS, folder)
    for i, event in enumerate(story(5)[:26]):
        if type(event) is Tick and i % 3 == 0:
            close(gpu.peek(event), cpu.peek(event))
        close(gpu.observe(event), cpu.observe(event))
        close(gpu.learn(), cpu.learn())
        if i == 20:
            np.testing.assert_allclose(gpu.memory("a"), cpu.memory("a"), atol=1e-5)
            gpu.tune(1e-2)
            cpu.tune(1e-2)
    expect_same_state(gpu, cpu)


def close(said, wanted):
    """Compare records one by one."""
    assert len(said) == len(wanted)
    for mine, other in zip(said, wanted, strict=True):
        assert type(mine) is type(other)
        for name in other.__struct_fields__:
            near(getattr(mine, name), getattr(other, name))


def near(mine, other):
    first = other[0] if isinstance(other, tuple) and other else other
    if isinstance(first, float):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-5)
    else:
        assert mine == other


def a_label_right_after_its_peek(folder):
    cpu, gpu = engines(merged({}), FIELDS, folder)
    rng = np.random.default_rng(6)
    for i in range(14):
        x, y = rng.standard_normal(2).tolist()
        ahead = Tick("a", START + i * SECOND, (x, y))
        label = Label("a", START + i * SECOND, (y, x))
        for call in ("peek_array", "observe_labelled"):
            given = (ahead,) if call == "peek_array" else (ahead, label)
            mine, wanted = (getattr(e, call)(*given) for e in (gpu, cpu))
            np.testing.assert_allclose(mine, wanted, rtol=2e-4, atol=2e-5)
    expect_same_state(gpu, cpu)


def a_run_moves_between_the_devices(folder):
    cpu, gpu = engines(merged({}), FIELDS, folder)
    blocks = [Block.of(story(7)[begin : begin + 10], 2) for begin in (0, 10, 20, 30)]
    for i, block in enumerate(blocks):
        wanted = cpu.run(block)
        expect_same(gpu.run(block), wanted, f"block {i}")
        _, other = engines(merged({}), FIELDS, folder)
        other.restore(*cpu.snapshot())
        gpu = other


def panel(streams, ticks, seed):
    """Give ticks of streams that come as often as each other, but for a few."""
    rng = np.random.default_rng(seed)
    return [
        Tick(f"s{j}", START + i * SECOND, tuple(rng.standard_normal(2).tolist()))
        for i in range(ticks)
        for j in range(streams)
        if rng.random() < 0.9
    ]


def uneven(seed, ticks=44):
    """Give events of streams that tick, pause, freeze and have gaps as they like."""
    rng = np.random.default_rng(seed)
    events = []
    for i in range(ticks):
        # Not on the second: where times tie, their median hangs on a last bit.
        time = START + i * SECOND + int(rng.integers(10**8))
        name = f"s{int(3 * rng.random() ** 2)}"
        events.append(Tick(name, time, tuple(rng.standard_normal(2).tolist())))
        if rng.random() < 0.08:
            events.append(Gap(rng.choice([name, ""]), time, "lost"))
        if i in {18, 30}:
            events.append(Control("s1", time, "freeze" if i == 18 else "learn"))
        if i == 34:
            events.append(Heartbeat("", time))
    return events


def shares(**model):
    return {"model": {"shared": True} | model}


def one_cell_for_a_panel(folder):
    """In blocks of more threads than rows."""
    chain.TEAM, chain.TEAM_ROWS = 5, 3
    _, gpu = run_both(folder, shares(), panel(4, 14, 9), 23)
    chain.TEAM, chain.TEAM_ROWS = 2, 2
    counters = gpu.view("counters")
    assert (counters[:, places.VERSION] > 2).all(), "steps were taken together"
    assert (counters[2:, places.ADAM_STEP] == 0).all(), "by the first stream's rows"
    assert (counters[:2, places.ADAM_STEP] >= 1).all(), counters[
        :, [places.ADAM_STEP, places.VERSION, places.OFFERED]
    ]


def one_cell_for_streams_that_come_as_they_like(folder):
    for seed in (10, 11, 12):
        run_both(folder, shares(), uneven(seed), 37)


def one_cell_with_little_room_for_records(folder):
    chain.EVENTS_KEPT = 1
    try:
        run_both(folder, shares(cell="a-sfm"), uneven(13), 60)
    finally:
        chain.EVENTS_KEPT = 32


def one_cell_and_an_update_at_every_tick(folder):
    tree = shares() | {"learn": {"every": 1}, "target": {"values": ["x"]}}
    run_both(folder, tree, uneven(14)[:26], 13)


def one_cell_one_event_at_a_time(folder):
    cpu, gpu = engines(merged(shares()), FIELDS, folder)
    for event in uneven(15)[:26]:
        close(gpu.observe(event), cpu.observe(event))
        close(gpu.learn(), cpu.learn())
    expect_same_state(gpu, cpu)


def the_settings_of_the_panel(folder):
    """The default model, and configs/panel.toml but for its feed."""
    tree = tomllib.loads(PANEL.read_text())
    rng = np.random.default_rng(16)
    events = [
        Tick(f"s{j}", START + i * SECOND, (float(np.sin(i / 5 + j) + rng.normal()),))
        for i in range(135)
        for j in range(2)
    ]
    cpu, gpu = engines({"target": tree["target"] | {"values": ["x"]}}, ["x"], folder)
    block = Block.of(events, 1)
    expect_same(gpu.run(block), cpu.run(block), "the panel")
    expect_same_state(gpu, cpu)
    counters = gpu.view("counters")
    steps, updates = counters[:, places.ADAM_STEP], counters[:, places.VERSION]
    assert (steps > updates).all(), "old windows are learned again"


def targets_that_choose_their_helpers(folder):
    """One column follows the other a tick later, and sees so."""
    steps = np.random.default_rng(17).standard_normal((48, 2))
    steps[1:, 1] = steps[:-1, 0] + 0.2 * steps[1:, 1]
    events = [
        Tick("a", START + i * SECOND, tuple(values))
        for i, values in enumerate(steps.cumsum(axis=0).tolist())
    ]
    tree = {"features": {"widest": 1, "screened": 30}}
    kinds, gpu = run_both(folder, tree, events, 19)
    assert "choices" in kinds
    assert gpu.view("helpers").tolist() == [[-1.0], [0.0]]


def least_squares_by_all_threads_of_a_block(folder):
    """Some regressors are silent, so variances come to their cap; one is broken."""
    del folder
    rng = np.random.default_rng(18)
    kernel = cuda.jit(Twins(chain.TOGETHER)._over_twins(team.update))
    for size, threads in ((1, 1), (3, 2), (6, 5), (11, 4), (9, 16)):
        theta, cov, widest = np.zeros(size), np.eye(size), 0.0
        mine, room = (theta.copy(), cov.copy()), np.full(size, np.nan)
        for i in range(40):
            x = rng.standard_normal(size) * (i % 20 > 9 or np.arange(size) % 2)
            if i == 30:
                cov[-1, -1] = mine[1][-1, -1] = -1.0
            given = x, float(rng.standard_normal()), 2.0, 0.8, 1.0
            least_squares.update(theta, cov, *given, np.zeros(size), size)
            kernel[1, threads](*mine, *given, room, size)
            np.testing.assert_allclose(mine[0], theta, atol=1e-12)
            np.testing.assert_allclose(
                np.tril(mine[1]), np.tril(cov), atol=1e-12, err_msg=f"{size} {i}"
            )
            widest = max(widest, np.diag(cov).max())
        assert size == 1 or widest > least_squares.CAP / 2, "a variance came to its cap"


STORIES = (
    a_story_of_everything, adaptive_frequencies_on_the_clock,
    more_records_than_there_is_room_for, strangers_and_folded_ticks, without_a_cell,
    a_clock_that_was_set_back,
    one_event_at_a_time, a_label_right_after_its_peek, a_run_moves_between_the_devices,
    one_cell_for_a_panel, one_cell_for_streams_that_come_as_they_like,
    one_cell_with_little_room_for_records, one_cell_and_an_update_at_every_tick,
    one_cell_one_event_at_a_time, the_settings_of_the_panel,
    targets_that_choose_their_helpers, least_squares_by_all_threads_of_a_block,
)  # fmt: skip


def main(folder):
    """Run every story; print one line for each: its name, and what went wrong."""
    # Threads wait for each other at every label, and each wait is a switch.
    sys.setswitchinterval(1e-4)
    for tale in STORIES:
        try:
            tale(folder)
        except Exception:  # noqa: BLE001 the test that reads the line fails
            sys.stdout.write(json.dumps([tale.__name__, traceback.format_exc()]) + "\n")
        else:
            sys.stdout.write(json.dumps([tale.__name__, ""]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
