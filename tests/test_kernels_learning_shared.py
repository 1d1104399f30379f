"""One cell for many streams."""

from __future__ import annotations

import numpy as np
import pytest

from sfm_stream.config import digest, from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block, Control, Gap, Tick

START, SECOND = 1_700_000_000 * 10**9, 10**9
TREE = {
    "model": {"states": 4, "frequencies": 2, "outputs": 4, "shared": True},
    "features": {"lags": 3, "errors": 1},
    "learn": {"window": 8, "every": 4, "replay": 64},
    "target": {"horizons": [1]},
}
FIELDS = ("x", "y")


def engine(backend="numba", fields=("x",), **tables):
    tree = {
        name: TREE.get(name, {}) | tables.get(name, {}) for name in {*TREE, *tables}
    }
    tree["run"] = {"backend": backend}
    return Engine(from_tree(tree), fields)


def value(stream, i):
    noise = np.random.default_rng([stream, i]).normal()
    return float(np.sin(i / 3 + stream) + 0.1 * noise)


def ticks(streams, first, last, width=1):
    """Give a tick of each stream at each moment."""
    return [
        Tick(f"s{j}", START + i * SECOND, tuple(value(j + k, i) for k in range(width)))
        for i in range(first, last) for j in streams
    ]  # fmt: skip


def uneven(seed=0, count=160):
    """Give events of streams that tick, pause and freeze as they like."""
    rng = np.random.default_rng(seed)
    events = []
    for i in range(count):
        name = f"s{int(4 * rng.random() ** 2)}"
        time = START + i * SECOND
        events.append(Tick(name, time, (value(int(name[1]), i),)))
        if i in {50, 90}:
            events.append(Gap(name, time, "lost"))
        if i in {60, 100}:
            events.append(Control("s1", time, "freeze" if i == 60 else "learn"))
    return events


def run(one, events, size=50):
    said = [one.run(Block.of(events[i : i + size], len(one.fields)))
            for i in range(0, len(events), size)]  # fmt: skip
    return {
        (kind, name): np.concatenate([r.columns[kind][name] for r in said])
        for kind in ("forecasts", "scores", "updates")
        for name in said[0].columns[kind]
    }


def expect_same(mine, wanted):
    for name, column in wanted.items():
        np.testing.assert_array_equal(mine[name], column, err_msg=str(name))


def test_one_stream_learns_as_with_a_cell_of_its_own():
    alone = {"learn": {"window": 8, "every": 4, "replay": 0}}
    own = alone | {"model": {**TREE["model"], "shared": False}}
    shared, single = engine(**alone), engine(**own)
    expect_same(run(shared, ticks([0], 0, 90)), run(single, ticks([0], 0, 90)))
    np.testing.assert_array_equal(shared.view("weights"), single.view("weights"))


def test_all_streams_have_the_same_weights_after_every_step():
    one = engine()
    born = engine()
    born.run(Block.of(ticks([0], 0, 1), 1))
    for first in range(0, 60, 3):
        one.run(Block.of(ticks(range(5), first, first + 3), 1))
        weights = one.view("weights")
        np.testing.assert_array_equal(
            weights, np.broadcast_to(weights[0], weights.shape)
        )
    assert not np.array_equal(one.view("weights")[0], born.view("weights")[0])


def test_a_step_goes_along_the_mean_of_all_gradients():
    """Adam's first mean is a tenth of the first gradient; they are clipped alike."""
    quiet = {"learn": {"window": 8, "every": 4, "replay": 0, "clip": 1e9,
                       "schedule": "together"}}  # fmt: skip
    own = quiet | {"model": {**TREE["model"], "shared": False}}
    together, apart = engine(**quiet), engine(**own)
    events = ticks(range(3), 0, 5)
    together.run(Block.of(ticks(range(3), 0, 1), 1))
    apart.run(Block.of(ticks(range(3), 0, 1), 1))
    apart.view("weights")[...] = together.view("weights")
    for one in (together, apart):
        one.run(Block.of(events[3:], 1))
    mean = apart.view("moment").mean(axis=0)
    assert np.abs(mean).max() > 0
    np.testing.assert_allclose(together.view("moment")[0], mean, rtol=1e-4, atol=1e-9)
    assert not together.view("moment")[1:].any()


def test_a_stream_that_comes_a_second_time_waits_for_nobody():
    one = engine()
    one.run(Block.of(ticks([0, 1], 0, 2), 1))  # s1 is silent from here on
    before = one.view("weights")[0].copy()
    one.run(Block.of(ticks([0], 2, 20), 1))
    assert not np.array_equal(one.view("weights")[0], before)
    np.testing.assert_array_equal(*one.view("weights"))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_of_any_size_say_the_same(size):
    expect_same(run(engine(), uneven(), size), run(engine(), uneven(), 33))


@pytest.mark.parametrize("cut", [61, 97, 130])
def test_a_snapshot_between_two_steps_goes_on_as_if_nothing_had_happened(cut):
    whole, other = engine(), engine()
    run(whole, uneven()[:cut])
    other.restore(*whole.snapshot())
    expect_same(run(other, uneven()[cut:]), run(whole, uneven()[cut:]))


def test_a_new_stream_starts_with_what_the_others_taught():
    one = engine()
    one.run(Block.of(ticks(range(3), 0, 60), 1))
    taught = one.view("weights")[0].copy()
    one.run(Block.of(ticks([7], 60, 61), 1))
    np.testing.assert_array_equal(one.view("weights")[3], taught)
    assert one.view("counters")[3, 0] == 1  # all else is its own


def test_what_was_learned_serves_a_run_of_other_streams():
    taught, other = engine(), engine()
    taught.run(Block.of(ticks(range(3), 0, 60), 1))
    other.adopt(*taught.snapshot())
    other.run(Block.of(ticks([8, 9], 60, 61), 1))
    np.testing.assert_array_equal(other.view("weights")[-1], taught.view("weights")[0])
    assert other.ticks["s9"] == 1
    other.run(Block.of(ticks([8, 9], 61, 80), 1))
    assert not np.array_equal(other.view("weights")[-1], taught.view("weights")[0])
    weights = other.view("weights")
    np.testing.assert_array_equal(weights, np.broadcast_to(weights[0], weights.shape))


def test_each_target_has_a_cell_for_its_streams():
    tables = {"target": {"values": ["x", "y"], "horizons": [1]}}
    one = engine(fields=FIELDS, **tables)
    one.run(Block.of(ticks(range(3), 0, 40, width=2), 2))
    weights = one.view("weights")
    for target in (0, 1):
        mine = weights[target::2]
        np.testing.assert_array_equal(mine, np.broadcast_to(mine[0], mine.shape))
    assert not np.array_equal(weights[0], weights[1])


def test_what_is_computed_with_torch_is_the_same_but_for_rounding():
    mine, wanted = run(engine("torch"), uneven()), run(engine(), uneven())
    for name, column in wanted.items():
        np.testing.assert_allclose(
            mine[name], column, rtol=2e-3, atol=2e-4, err_msg=str(name)
        )


def test_more_fields_leave_what_was_said_and_all_weights_the_same():
    one = engine()
    events = ticks(range(3), 0, 42)
    run(one, events)
    wide = one.widen(["x", "y"])
    np.testing.assert_array_equal(
        wide.view("weights"),
        np.broadcast_to(wide.view("weights")[0], wide.view("weights").shape),
    )
    wide.run(Block.of(ticks(range(3), 42, 60, width=2), 2))
    weights = wide.view("weights")
    np.testing.assert_array_equal(weights, np.broadcast_to(weights[0], weights.shape))


def test_a_drift_of_one_stream_is_none_of_the_cell():
    one = engine()
    one.run(Block.of(ticks(range(2), 0, 40), 1))
    moment = one.view("moment")[0].copy()
    one.run(Block.of([Control("s0", START + 40 * SECOND, "adapt")], 1))
    np.testing.assert_array_equal(one.view("moment")[0], moment)


def test_settings_without_it_have_the_digest_they_had():
    assert digest(from_tree({"model": {"shared": False}})) == digest(from_tree({}))
    assert digest(from_tree({"model": {"shared": True}})) != digest(from_tree({}))


def test_related_streams_born_late_are_forecast_better():
    """Five tones of near periods teach a sixth what it could not know by then."""

    def tone(j, i):
        return float(np.sin(2 * np.pi * i / (9 + 0.3 * j) + j))

    tree = {"learn": {}, "features": {}, "model": {"shared": False}}
    errors = {}
    for shared in (False, True):
        one = Engine(
            from_tree({**tree, "model": {"shared": shared},
                       "forecast": {"experts": ["last", "sfm"]}}), ("x",)
        )  # fmt: skip
        one.run(Block.of([Tick(f"s{j}", START + i * SECOND, (tone(j, i),))
                          for i in range(900) for j in range(5)], 1))  # fmt: skip
        said = one.run(Block.of([Tick("late", START + i * SECOND, (tone(2.5, i),))
                                 for i in range(900, 1000)], 1))  # fmt: skip
        scores = said.columns["scores"]
        errors[shared] = np.square(scores["truth"] - scores["mean"]).mean()
    assert errors[True] < 0.5 * errors[False]
