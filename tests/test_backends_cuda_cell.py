"""`cell.cu` run on the CPU by fibers, against float64 autograd through the cell."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfm_stream import config
from sfm_stream.backends.cuda import prelude
from sfm_stream.cell.parameters import Weights
from sfm_stream.cell.step import SFMState, step
from sfm_stream.kernels.learning import adam
from sfm_stream.state import arena, bank, inputs, layout, places
from tests import cuda_rig

pytestmark = cuda_rig.NEEDS_COMPILER
torch.set_num_threads(1)
TOLERANCE = 1e-5
ROWS = 2


class Case(NamedTuple):
    """A cell, its window, how its ticks fall into rounds, and where its tape lies."""

    tree: dict
    fields: int
    rounds: tuple[tuple[int, ...], ...]  # ticks of each row in each round
    tape: int = prelude.ROW


@st.composite
def cases(draw):
    states, outputs = draw(st.integers(1, 34)), draw(st.integers(1, 34))
    count = draw(st.integers(2, 4))
    each = st.tuples(*[st.integers(0, 14)] * ROWS)
    horizons = draw(st.sampled_from([[1], [1, 3], [2, 5, 9]]))
    return Case(
        tree={
            "model": {
                "cell": draw(st.sampled_from(["sfm", "a-sfm"])),
                "readout": draw(st.sampled_from(["amplitude", "amplitude+phase"])),
                "states": states, "outputs": outputs,
                "frequencies": draw(st.integers(1, 9)),
                "shared": draw(st.booleans()),
            },
            "stream": {"clock": draw(st.sampled_from(["tick", "time"]))},
            "target": {"horizons": horizons},
            "features": {"lags": 2, "errors": 0},
            "learn": {"window": 40, "every": 40, "replay": 80},
        },
        fields=draw(st.integers(1, 3)),
        rounds=tuple(draw(each) for _ in range(count)),
        tape=draw(st.sampled_from([prelude.ROW, prelude.AGAIN])),
    )  # fmt: skip


class Story:
    """Rows with a past, their inputs, and what was said of them in float64."""

    def __init__(self, case):
        settings = config.from_tree(case.tree)
        plan = inputs.plan(settings, [f"x{i}" for i in range(case.fields)])
        self.bank = bank.Bank(settings, plan)
        self.bank.grow(ROWS)
        self.layout, self.sizes = self.bank.layout, self.bank.layout.sizes
        self.rng = rng = np.random.default_rng(7)
        s, self.kind = self.sizes, case.tape
        self.ring = int(self.layout.settings[self.kind]["ring"])
        self.first = self.ring - 5  # the tape's end is passed
        there = prelude.room_places(s)
        self.work = arena.arena(ROWS, there)
        self.turns = np.zeros((s.targets, prelude.TURNS), np.int64)
        self.joins = np.full(ROWS, -1, np.int32)
        weights = self.bank.view("weights")
        weights += 0.3 * rng.standard_normal(weights.shape) / np.sqrt(s.gates)
        self.ticks = [sum(each) for each in zip(*case.rounds, strict=True)]
        self.tape("tape_u")[:, :, : s.inputs] = rng.standard_normal(
            (ROWS, self.ring, s.inputs)
        )
        self.tape("tape_tau")[...] = (
            rng.uniform(0.2, 3, (ROWS, self.ring)) if s.clocked else 1
        )
        past = self.slot(self.first - 1)
        self.tape("tape_read")[:, past] = rng.standard_normal(
            (ROWS, s.frequencies, 3 * s.states)
        )
        self.tape("tape_z")[:, past] = rng.standard_normal((ROWS, s.outputs))
        labels = rng.standard_normal((ROWS, self.ring, s.horizons))
        labels[rng.random(labels.shape) < 0.3] = np.nan
        self.tape("labels")[...] = labels
        self.blocks = [self.tensors(row) for row in range(ROWS)]
        self.past = [self.state(row, past) for row in range(ROWS)]

    def tape(self, name):
        """Give an array of the tape, where it lies."""
        if self.kind == prelude.ROW:
            return self.bank.view(name)
        there = prelude.room_places(self.sizes)
        return arena.view(self.work, there, f"again_{name}")

    @property
    def tapes(self):
        """The arena that the tape lies in."""
        rows = self.bank.rows if self.kind == prelude.ROW else self.work
        return rows.f32

    def slot(self, tick):
        return tick % (self.ring - 1)

    def tensors(self, row):
        home = 0 if self.sizes.shared else row
        return {
            name: torch.tensor(block, dtype=torch.float64, requires_grad=True)
            for name, block in self.bank.weights(home).items()
        }

    def state(self, row, slot):
        d = self.sizes.states
        read = torch.tensor(self.tape("tape_read")[row, slot]).double()
        z = torch.tensor(self.tape("tape_z")[row, slot]).double()
        return SFMState(read[:, d : 2 * d], read[:, 2 * d :], z)

    def table(self, name):
        there = places.table_places(self.sizes)
        return torch.tensor(arena.view(self.layout.tables, there, name)[0]).double()

    def reference(self, row, oldest):
        """Give z [T, M] and the last state in float64; gradients end at `oldest`."""
        s, blocks, state = self.sizes, self.blocks[row], self.past[row]
        weights = Weights(blocks["w_in"], blocks["w_heads"], blocks["b_z"])
        omega, reach, every = self.table("turn")[2], self.table("reach"), []
        for i in range(self.ticks[row]):
            slot = self.slot(self.first + i)
            if self.first + i == oldest:
                state = SFMState(*(part.detach() for part in state))
            x = torch.tensor(self.tape("tape_u")[row, slot, : s.inputs]).double()
            tau = torch.tensor(float(self.tape("tape_tau")[row, slot]))
            z, state, _ = step(
                weights, omega, reach if s.adaptive else None, x, state,
                elapsed=tau.double() if s.clocked else None,
            )  # fmt: skip
            every.append(z)
        return every, state

    def go_forward(self, kernels, rounds):
        """Step the rows of each round that have something new, the last one first."""
        at = [self.first] * ROWS
        for counts in rounds:
            steps = np.zeros((ROWS, 3), np.int32)
            for row, count in enumerate(counts):
                steps[row] = self.slot(at[row] - 1), self.slot(at[row]), count
                at[row] += count
            there = np.flatnonzero(steps[:, 2])[::-1]
            active = np.array([len(there), *there], np.int32)
            # A block more than there are rows does nothing.
            kernels.forward(
                len(active), self.bank.rows.f32, self.tapes,
                self.layout.tables.f32, active, steps,
            )  # fmt: skip

    def spans(self):
        """Give windows [B, Q, 3] of which the last is the longest, and label counts."""
        there = prelude.room_places(self.sizes)
        spans = arena.view(self.work, there, "spans")
        counts = np.zeros(ROWS, np.int32)
        for row, ticks in enumerate(self.ticks):
            last = self.first + ticks - 1
            for q in range(self.sizes.horizons):
                newest = max(last - 2 * q, self.first - 1)
                first = max(self.first, newest - 11 - q)
                news = min(first + 3, newest)
                spans[row, q] = first, news, newest
                if newest < self.first:
                    spans[row, q] = 0, 0, -1
                for tick in self.news(row, q):
                    known = not np.isnan(self.label(row, tick, q))
                    counts[row] += known
        return spans, counts

    def news(self, row, q):
        there = prelude.room_places(self.sizes)
        _, first, last = arena.view(self.work, there, "spans")[row, q].tolist()
        return range(first, last + 1)

    def label(self, row, tick, q):
        return float(self.tape("labels")[row, self.slot(tick), q])

    def gradients(self, row, z, counts):
        """Give the sum of squared errors, and the mean's gradients by autograd."""
        blocks = self.blocks[row]
        errors = [
            blocks["v"][q] @ z[tick - self.first] + blocks["c"][q] - label
            for q in range(self.sizes.horizons)
            for tick in self.news(row, q)
            if not np.isnan(label := self.label(row, tick, q))
        ]
        total = torch.stack(errors).square().sum()
        (total / int(counts[row])).backward()
        return float(total.detach())


def distance(got, wanted):
    return float(np.linalg.norm(got - wanted) / max(np.linalg.norm(wanted), 1e-12))


def read_back(story, row):
    last = story.slot(story.first + story.ticks[row] - 1)
    return story.state(row, last)


def expect_forward(story, row, z, state):
    got = read_back(story, row)
    assert distance(got.z.numpy(), z[-1].detach().numpy()) <= TOLERANCE
    for mine, wanted in ((got.re, state.re), (got.im, state.im)):
        assert distance(mine.numpy(), wanted.detach().numpy()) <= TOLERANCE


def learn(story, kernels, lr=1e-30, clip=1.0):
    s, there = story.sizes, prelude.room_places(story.sizes)
    spans, counts = story.spans()
    told = arena.view(story.work, there, "product")
    told[...] = np.nan
    active = np.array([ROWS, *range(ROWS)], np.int32)
    rows = story.bank.rows
    kernels.learn(
        ROWS, rows.f32, rows.i64, story.tapes, story.layout.tables.f32, *story.work,
        active, counts, story.turns, story.joins, np.array([clip, lr]),
    )  # fmt: skip
    gradient = arena.view(story.work, there, "gradient")
    return told, counts, [layout.split(s, gradient[row]) for row in range(ROWS)], spans


def check(case, folder, source=None):
    for backwards in (False, True):
        story = Story(case)
        kernels = cuda_rig.kernels(story.layout, folder, source, case.tape)
        kernels.order(backwards=backwards)
        story.go_forward(kernels, case.rounds)
        told, counts, gradients, spans = learn(story, kernels)
        for row in range(ROWS):
            z, state = story.reference(row, spans[row, :, 0].min())
            if not z:
                continue
            expect_forward(story, row, z, state)
            assert story.joins[row] == (counts[row] > 0)
            if counts[row] == 0:
                assert np.isnan(told[row]).all()
                continue
            loss = story.gradients(row, z, counts)
            assert told[row, 0] == pytest.approx(loss, rel=TOLERANCE)
            every = {k: block.grad.numpy() for k, block in story.blocks[row].items()}
            for name, got in gradients[row].items():
                assert distance(got, every[name]) <= TOLERANCE, name
            norm = np.sqrt(sum((block**2).sum() for block in every.values()))
            assert told[row, 1] == pytest.approx(norm, rel=TOLERANCE)


PLAIN = Case(
    {"target": {"horizons": [1, 4]}, "learn": {"window": 40, "every": 40}},
    fields=1,
    rounds=((5, 1), (11, 0), (3, 15)),
)


OLD = PLAIN._replace(
    tree=PLAIN.tree | {"learn": {"window": 40, "every": 40, "replay": 80}},
    tape=prelude.AGAIN,
)


def with_model(**model):
    return PLAIN._replace(tree=PLAIN.tree | {"model": model})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fibers")


@settings(
    max_examples=5,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(case=cases())
def test_any_cell_in_uneven_rounds_meets_autograd(folder, case):
    check(case, folder)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"states": 32, "frequencies": 8, "outputs": 32, "readout": "amplitude"},
        {"states": 70, "frequencies": 6, "outputs": 3},
    ],
    ids=["default", "C0", "many items a thread"],
)
def test_known_cells_meet_autograd(folder, model):
    check(with_model(**model), folder)


@pytest.mark.parametrize("cell", ["sfm", "a-sfm"])
def test_a_window_of_the_past_meets_autograd(folder, cell):
    check(OLD._replace(tree=OLD.tree | {"model": {"cell": cell}}), folder)


def shared_story(folder, case):
    """Give two rows that share a cell, and whose gradients are there."""
    tree = case.tree | {"model": {"states": 5, "frequencies": 3, "outputs": 4,
                                  "shared": True}}  # fmt: skip
    story = Story(case._replace(tree=tree))
    kernels = cuda_rig.kernels(story.layout, folder, tape=case.tape)
    story.go_forward(kernels, case.rounds)
    before = story.bank.rows.f32.copy()
    _, _, blocks, _ = learn(story, kernels, lr=1e-2)
    assert (story.bank.view("weights") == before[:, : story.sizes.weights]).all()
    whole = [np.concatenate([b.ravel() for b in row.values()]) for row in blocks]
    return story, kernels, np.array(whole, np.float64)


@pytest.mark.parametrize("case", [PLAIN, OLD], ids=["new labels", "old labels"])
def test_gradients_of_a_shared_cell_add_up_where_they_are_finite(folder, case):
    story, kernels, gradients = shared_story(folder, case)
    rows, s = story.bank.rows, story.sizes
    pool = story.bank.view("pool")
    pool[0] = 1.0
    active = np.array([ROWS, *range(ROWS)], np.int32)
    for joins, wanted in (([1, 1], gradients.sum(axis=0)), ([0, 1], gradients[1])):
        before = pool[0].astype(np.float64)
        joined = np.array(joins, np.int32)
        kernels.join(prelude.PARTS, rows.f32, rows.i64, story.work.f32, active, joined)
        mine = slice(case.tape * s.weights, (case.tape + 1) * s.weights)
        before[mine] += wanted
        assert distance(pool[0], before) <= TOLERANCE
    sharing = story.bank.view("sharing")[0]
    assert sharing[places.NEW + case.tape] == 3
    assert sharing.sum() == 3
    assert not pool[1].any()


@pytest.mark.parametrize("held", ["", "no step is due", "records need room"])
def test_a_shared_cell_takes_its_step_along_the_mean(folder, held):
    story, kernels, _ = shared_story(folder, PLAIN)
    rows, size = story.bank.rows, story.sizes.weights
    pool, sharing = story.bank.view("pool")[0], story.bank.view("sharing")[0]
    rng = np.random.default_rng(3)
    pool[...] = rng.standard_normal(2 * size)
    pool[size] = np.nan  # of what is old nothing is learned
    sharing[:] = 0, 3, 2
    before = story.bank.view("weights").astype(np.float64)
    mean = pool[:size].astype(np.float64) / 3
    story.turns[0, prelude.STATE] = 0 if held == "no step is due" else prelude.BEFORE
    flags = np.array([1, held == "records need room"], np.int32)
    kernels.together(1, rows.f32, rows.i64, story.turns, flags, np.array([1.0, 1e-2]))
    weights, counters = story.bank.view("weights"), story.bank.view("counters")[0]
    if held:
        assert (weights == before).all()
        assert sharing.tolist() == [0, 3, 2]
        return
    assert distance(before[0] - weights[0], adams_step(mean, 1.0, 1)) <= TOLERANCE
    assert (weights[1] == before[1]).all()
    assert not pool.any()
    assert sharing.tolist() == [0, 0, 0]
    assert (counters[places.ADAM_STEP], counters[places.VERSION]) == (1, 1)
    assert story.turns[0, prelude.STATE] == prelude.NONE


def adams_step(gradient, clip, count):
    """Give the step from moments of 0, at a first rate of .01, of a number `count`."""
    g = gradient * clip / np.linalg.norm(gradient)
    rest, rest2 = 1 - np.float32(0.9), 1 - np.float32(0.999)
    first, second = rest * g, rest2 * g * g
    unbias, unbias2 = 1 - 0.9**count, 1 - 0.999**count
    rate = adam.slowed(1e-2, count)
    return rate * first / unbias / (np.sqrt(second / unbias2) + 1e-8)


@pytest.mark.parametrize("taken", [0, 3, 19_999, 20_001])
def test_the_optimisers_step_is_adams_with_the_norm_clipped(folder, taken):
    story = Story(with_model(states=5, frequencies=3, outputs=4))
    kernels = cuda_rig.kernels(story.layout, folder)
    story.go_forward(kernels, PLAIN.rounds)
    story.bank.view("counters")[:, places.ADAM_STEP] = taken
    before = story.bank.view("weights").astype(np.float64)
    _, _, blocks, _ = learn(story, kernels, lr=1e-2, clip=0.05)
    for row in range(ROWS):
        g = np.concatenate([block.ravel() for block in blocks[row].values()])
        g = g.astype(np.float64) * 0.05 / np.linalg.norm(g)
        moved = before[row] - story.bank.view("weights")[row]
        assert distance(moved, adams_step(g, 0.05, taken + 1)) <= TOLERANCE
        first, second = (1 - np.float32(0.9)) * g, (1 - np.float32(0.999)) * g * g
        assert distance(story.bank.view("moment")[row], first) <= TOLERANCE
        assert distance(story.bank.view("moment2")[row], second) <= TOLERANCE
        counters = story.bank.view("counters")[row]
        assert counters[places.ADAM_STEP] == taken + 1


@pytest.mark.parametrize("what", ["labels", "tape_z"])
def test_what_is_not_finite_changes_no_weight(folder, what):
    story = Story(with_model(states=5, frequencies=3, outputs=4))
    kernels = cuda_rig.kernels(story.layout, folder)
    story.go_forward(kernels, PLAIN.rounds)
    last = story.slot(story.first + story.ticks[0] - 1)
    story.bank.view("labels")[0, last] = 1.0
    story.bank.view(what)[0, last] = np.inf
    before = story.bank.view("weights").copy()
    told, _, _, _ = learn(story, kernels, lr=1e-2)
    assert not np.isfinite(told[0]).all()
    assert (story.bank.view("weights")[0] == before[0]).all()
    assert (story.bank.view("weights")[1] != before[1]).any()


BARRIER = re.compile(
    r"^ +(__syncthreads|__syncwarp|meet_frequency)\(\);$", re.MULTILINE
)
SOURCE = prelude.SOURCE.read_text()
BARRIERS = [found.span() for found in BARRIER.finditer(SOURCE)]


# A few of them: each is compiled anew.
@pytest.mark.parametrize("number", [1, 2, 4, 7, 16])
def test_a_barrier_taken_out_is_noticed(folder, number):
    begin, end = BARRIERS[number]
    without = SOURCE[:begin] + ";" + SOURCE[end:]
    case = with_model(cell="a-sfm", states=11, frequencies=4, outputs=14)
    check(case, folder)
    with pytest.raises(AssertionError):
        check(case, folder, without)
