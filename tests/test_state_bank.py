"""The bank's arrays lie where compiled code looks for them, and survive snapshots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from sfm_stream.errors import CheckpointMismatch, ConfigError
from sfm_stream.kernels.rows import (
    arena_row,
    bias_z,
    cube,
    linear_biases,
    linear_heads,
    matrix,
    weights_heads,
    weights_in,
)
from sfm_stream.state import arena, places
from tests.kernels_rig import Rig, ticks, tones

TREES = [
    {},
    {"model": {"cell": "a-sfm", "readout": "amplitude"},
     "target": {"horizons": ["1..3", "2s"]}},
    {"forecast": {"experts": ["last", "rls"]}},
]  # fmt: skip
trees = pytest.mark.parametrize("tree", TREES)


@trees
def test_places_fill_each_arena_without_overlap(tree):
    r = Rig(tree)
    laid = r.bank.layout
    for there, made in (
        (laid.places, r.bank.rows),
        (places.table_places(r.sizes), laid.tables),
        (places.work_places(r.sizes), r.bank.work),
    ):
        at = arena.offsets(there)
        for kind, flat in zip(arena.Arena._fields, made, strict=True):
            mine = sorted((at[p.name], p.size) for p in there if p.arena == kind)
            ends = [begin + size for begin, size in mine]
            beginnings = [begin for begin, _ in mine[1:]] + [flat.shape[1]]
            assert all(0 <= b - e < 16 for b, e in zip(beginnings, ends, strict=True))
            assert all(begin % 16 == 0 for begin, _ in mine)
            assert flat.ctypes.data % 64 == 0
        for name, begin in at.items():
            assert laid.settings[f"at_{name}"][0] == begin


@njit
def seen(settings, rows, b):
    """Read one element of several arrays as the kernels do."""
    s, row = settings[0], arena_row(rows, b)
    w = s.at_weights
    m = s.outputs
    return (
        matrix(row.f32, s.at_tape_u, s.ring, s.inputs + m + 1)[2, 1],
        cube(row.f32, s.at_tape_read, s.ring, s.frequencies, 3 * s.states)[3, 1, 4],
        cube(row.f64, s.at_origin_bounds, s.ring, s.horizons, s.bounds)[4, 0, 2],
        row.i64[s.at_learned],
        weights_in(row.f32, w, s)[1, 2],
        weights_heads(row.f32, w, s)[1, 2, 3],
        bias_z(row.f32, w, s)[2, 1],
        linear_heads(row.f32, w, s)[0, 2],
        linear_biases(row.f32, w, s)[0],
    )


@pytest.mark.parametrize("tree", [tree for tree in TREES if "forecast" not in tree])
def test_compiled_code_reads_what_was_written_by_name(tree):
    r = Rig(tree, rows=3)
    for flat in r.bank.rows:
        flat[...] = np.arange(flat.size).reshape(flat.shape)
    weights = r.bank.weights(1)
    expected = (
        r.bank.view("tape_u")[1, 2, 1],
        r.bank.view("tape_read")[1, 3, 1, 4],
        r.bank.view("origin_bounds")[1, 4, 0, 2],
        r.bank.view("learned")[1, 0],
        weights["w_in"][1, 2],
        weights["w_heads"][1, 2, 3],
        weights["b_z"][2, 1],
        weights["v"][0, 2],
        weights["c"][0],
    )
    assert len(set(expected)) == len(expected)
    assert seen(r.bank.layout.settings, r.bank.rows, 1) == expected


@trees
def test_restored_bank_goes_on_with_the_same_bits(tree):
    events, one, two = ticks(tones(150)), Rig(tree), Rig(tree)
    one.run(events, stop=100)
    kept = one.bank.snapshot()
    expected = one.run(events, start=100)
    two.bank.restore(kept)
    said = two.run(events, start=100)
    for records, others in zip(said, expected, strict=True):
        np.testing.assert_array_equal(records, others)
    for name, array in one.bank.snapshot().items():
        np.testing.assert_array_equal(two.bank.snapshot()[name], array, name)


def test_snapshot_is_a_copy():
    r = Rig()
    kept = r.bank.snapshot()
    r.run(ticks(tones(40)))
    assert kept["counters"][0, places.TICKS] == 0
    assert r.view("counters")[places.TICKS] == 40


def test_growing_keeps_the_rows_there_are():
    r = Rig()
    r.run(ticks(tones(60)))
    before = r.bank.snapshot()
    r.bank.grow(2)
    assert len(r.bank) == 3
    for name, array in before.items():
        np.testing.assert_array_equal(r.bank.view(name)[:1], array, name)


def test_row_is_born_the_same_whenever_it_is_born():
    together, apart = Rig(rows=3), Rig(rows=1)
    apart.bank.grow(2)
    for name, array in together.bank.snapshot().items():
        np.testing.assert_array_equal(apart.bank.snapshot()[name], array, name)
    first, second = together.bank.view("weights")[:2]
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "change",
    [{"model": {"states": 7}}, {"target": {"horizons": [1, 2]}},
     {"forecast": {"experts": ["last"]}}],
)  # fmt: skip
def test_snapshot_of_another_shape_is_refused(change):
    with pytest.raises(CheckpointMismatch, match=r"expected shape .*, was"):
        Rig(change).bank.restore(Rig().bank.snapshot())


def test_snapshot_without_an_array_is_refused():
    kept = Rig().bank.snapshot()
    del kept["theta"]
    with pytest.raises(CheckpointMismatch, match="theta: expected shape"):
        Rig().bank.restore(kept)


def test_unknown_array_is_refused_by_name():
    with pytest.raises(ConfigError, match="no such array; known: weights"):
        Rig().bank.view("wieghts")


@pytest.mark.parametrize(
    "tree",
    [
        {"model": {"states": 10**6}}, {"model": {"frequencies": 10**6}},
        {"learn": {"window": 10**12}}, {"features": {"lags": 10**6}},
        {"features": {"errors": 10**6}}, {"model": {"outputs": 10**6}},
        {"learn": {"max_pending": 10**12}, "target": {"horizons": ["1h"]}},
    ],
)  # fmt: skip
def test_sizes_beyond_any_memory_are_refused_before_any_is_taken(tree):
    ((section, keys),) = list(tree.items())[:1]
    problem = rf"{section}.{next(iter(keys))}: expected a model of at most 4 GiB per"
    with pytest.raises(ConfigError, match=problem):
        Rig(tree)


@pytest.mark.parametrize("key", ["states", "frequencies", "outputs"])
def test_sizes_that_64_bits_cannot_count_with_are_refused(key):
    problem = rf"model\.{key}: expected a whole number <= 1000000"
    with pytest.raises(ConfigError, match=problem):
        Rig({"model": {key: 10**15}})


def due_at(schedule, streams, every, targets=1):
    """Give at which of the first ticks each row is to learn, as its counter says."""
    tree = {"learn": {"schedule": schedule, "every": every, "window": every, "replay": 0},
            "target": {"values": [f"x{i}" for i in range(targets)]}}  # fmt: skip
    r = Rig(tree, fields=[f"x{i}" for i in range(targets)])
    r.bank.grow(streams * targets - len(r.bank))
    return every - r.bank.view("counters")[:, places.SINCE_UPDATE]


@settings(max_examples=25)
@given(streams=st.integers(1, 200), every=st.integers(1, 64))
def test_streams_that_tick_together_learn_at_different_ticks(streams, every):
    due = due_at("staggered", streams, every)
    assert due[0] == every
    assert due.min() >= 1
    assert np.bincount(due % every).max() <= streams / every + 3


def test_targets_of_a_stream_learn_at_one_tick():
    due = due_at("staggered", 5, 32, targets=2).reshape(5, 2)
    assert (due[:, 0] == due[:, 1]).all()
    assert len(set(due[:, 0])) == 5


def test_streams_may_learn_together():
    assert (due_at("together", 9, 32) == 32).all()
