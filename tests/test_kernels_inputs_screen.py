"""Of more targets than are seen together, each sees those that tell of its next move."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Gap
from sfm_stream.records import Choice

START, SECOND = 1_700_000_000 * 10**9, 10**9
FIELDS = tuple(f"f{i}" for i in range(6))
TREE = {
    "model": {"states": 4, "frequencies": 2, "outputs": 4},
    "features": {"lags": 3, "errors": 1, "widest": 5, "screened": 200, "helpers": 2},
    "learn": {"window": 8, "every": 8},
    "target": {"values": list(FIELDS)},
}


def led(count=600, seed=0):
    """Give walks: f1 follows f0 a tick later, f2 follows f0 and, less, f3."""
    steps = np.random.default_rng(seed).standard_normal((count, 6))
    steps[1:, 1] = 0.9 * steps[:-1, 0] + 0.3 * steps[1:, 1]
    steps[1:, 2] = steps[:-1, 0] + 0.5 * steps[:-1, 3] + 0.3 * steps[1:, 2]
    return steps.cumsum(axis=0)


def engine(backend="numba", fields=FIELDS, **tables):
    tree = {**TREE, **{k: TREE.get(k, {}) | v for k, v in tables.items()}}
    return Engine(from_tree({**tree, "run": {"backend": backend}}), fields)


def block(values, first=0, stream="s"):
    times = START + (first + np.arange(len(values))) * SECOND
    return Block.ticks(times, values, streams=(stream,))


def run(one, values, size=100, first=0):
    """Run values in blocks; give all records."""
    return [
        record
        for begin in range(0, len(values), size)
        for record in one.run(block(values[begin : begin + size], first + begin)).rows()
    ]


def choices(records):
    return [r for r in records if isinstance(r, Choice)]


def test_each_target_chooses_those_it_follows_and_no_others():
    found = choices(run(engine(), led()))
    assert {(c.target, c.place, c.field) for c in found} == {
        ("f1", 0, "f0"), ("f2", 0, "f0"), ("f2", 1, "f3"),
    }  # fmt: skip
    assert all(c.correlation > c.least > 0 for c in found)
    assert {c.seq for c in found} == {200}, "the first tick has no change"


def test_of_too_many_fields_that_are_no_targets_some_are_chosen_too():
    tables = {"target": {"values": ["f2"]}, "features": {"most": 5}}
    found = choices(run(engine(**tables), led()))
    assert [(c.target, c.place, c.field) for c in found] == [
        ("f2", 0, "f0"), ("f2", 1, "f3"),
    ]  # fmt: skip


def test_what_was_chosen_is_seen_from_the_next_tick_on():
    values = led(1_000)
    one, none = engine(), engine(features={"helpers": 0})
    mine, other = run(one, values), run(none, values)

    def error(records, target):
        late = [r for r in records if hasattr(r, "truth") and r.origin > 500]
        return np.mean([(r.truth - r.mean) ** 2 for r in late if r.target == target])

    assert error(mine, "f1") < 0.3 * error(other, "f1")
    assert error(mine, "f2") < 0.3 * error(other, "f2")
    assert error(mine, "f4") == pytest.approx(error(other, "f4"), rel=0.05)


def test_what_comes_later_changes_no_choice():
    values = led()
    changed = values.copy()
    changed[210:] = changed[210:, ::-1]
    assert choices(run(engine(), values)) == choices(run(engine(), changed))


def test_other_units_make_no_other_choice():
    values = led()
    scaled = values * np.array([1e6, 1e-6, 1.0, 3e4, 1.0, 1.0])
    mine, wanted = choices(run(engine(), scaled)), choices(run(engine(), values))
    assert [(c.target, c.field) for c in mine] == [(c.target, c.field) for c in wanted]


def test_one_wild_tick_does_not_decide():
    values = led()
    values[50:, 5] += 1e7
    values[51:, 4] += 1e7
    found = choices(run(engine(), values))
    assert {(c.target, c.field) for c in found if c.target in {"f1", "f2"}} == {
        ("f1", "f0"), ("f2", "f0"), ("f2", "f3"),
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 600])
def test_blocks_of_any_size_say_the_same(size):
    values = led()
    one, other = engine(), engine()
    assert run(one, values, size) == run(other, values, 100)
    for name, array in one.snapshot()[0].items():
        np.testing.assert_array_equal(array, other.snapshot()[0][name], err_msg=name)


@pytest.mark.parametrize("cut", [100, 201, 400])
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(cut):
    values = led()
    whole = run(engine(), values)
    one = engine()
    said = run(one, values[:cut])
    again = engine()
    again.restore(*one.snapshot())
    assert said + run(again, values[cut:], first=cut) == whole


def test_the_jump_across_a_gap_is_no_move():
    values = led()
    one = engine()
    records = run(one, values[:150])
    one.run(Block.of([Gap("", START + 150 * SECOND, "lost")], 6))
    jump = values[150:] + 100.0 * np.arange(6)
    records += run(one, jump, first=151)
    assert {(c.target, c.field) for c in choices(records)} == {
        ("f1", "f0"), ("f2", "f0"), ("f2", "f3"),
    }  # fmt: skip


def test_each_stream_chooses_for_itself():
    one = engine()
    run(one, led())
    shuffled = led(seed=1)[:, [3, 4, 2, 0, 1, 5]]
    found = list(one.run(block(shuffled, stream="t")).rows())
    assert {(c.stream, c.target, c.field) for c in choices(found)} == {
        ("t", "f4", "f3"), ("t", "f2", "f3"), ("t", "f2", "f0"),
    }  # fmt: skip


def test_fields_up_to_the_widest_are_all_seen_and_none_is_chosen():
    one = engine(features={"widest": 6})
    assert choices(run(one, led())) == []
    assert one.view("helpers").size == one.view("screen").size == 0


def test_torch_chooses_the_same():
    values = led(260)
    mine = choices(run(engine("torch"), values))
    wanted = choices(run(engine(), values))
    assert [(c.seq, c.target, c.field) for c in mine] == [
        (c.seq, c.target, c.field) for c in wanted
    ]


def test_a_wider_engine_keeps_what_was_chosen():
    values, wide = led(), (FIELDS[0], "new", *FIELDS[1:])
    one = engine()
    run(one, values[:300])
    wider = one.widen(wide)
    mine = one.view("helpers")[:, :]
    theirs = wider.view("helpers")
    fields = [[FIELDS[int(j)] if j >= 0 else "" for j in row] for row in mine]
    assert fields == [[wide[int(j)] if j >= 0 else "" for j in row] for row in theirs]
