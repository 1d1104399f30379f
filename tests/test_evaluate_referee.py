from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.evaluate.referee import Labels, Referee, run_peers
from sfm_stream.events import Block, Gap, Heartbeat, Tick

SECOND = 10**9
START = 1_600_000_000 * SECOND


def settings_of(horizons=(1, 3), **stream):
    return from_tree({
        "stream": stream,
        "target": {"values": ["b"], "horizons": list(horizons)},
        "model": {"states": 2, "frequencies": 2, "outputs": 2},
    })  # fmt: skip


def events_of(count, streams, seed):
    random = np.random.default_rng(seed)
    time, events = START, []
    for i in range(count):
        time += int(random.integers(0, 3)) * SECOND
        name = f"s{random.integers(streams)}"
        what = random.random()
        if what < 0.05:
            events.append(Gap("", time, "cut"))
        elif what < 0.1:
            events.append(Heartbeat("", time))
        elif what < 0.13:
            events.append(Tick(name, time, (float("inf"), 1.0)))
        else:
            events.append(Tick(name, time, (float(i), random.normal())))
    return Block.of(events, 2)


class Spy:
    """Says the last value and knows when it was told what."""

    def __init__(self, horizons):
        self.horizons, self.seen = horizons, {}

    def forecast(self, seen):
        assert seen.origin not in self.seen
        self.seen[seen.origin] = seen.values[0]
        return np.full(len(self.horizons), seen.values[0])

    def learn(self, labels):
        for q, origin, truth in zip(
            labels.horizon, labels.origin, labels.truth, strict=True
        ):
            due = origin + self.horizons[q]
            # the tick it falls due at is the next one, and no label is missing
            assert due == len(self.seen)
            self.last = truth


@settings(max_examples=30)
@given(
    seed=st.integers(0, 999),
    streams=st.integers(1, 3),
    every=st.sampled_from(["", "2s"]),
)
def test_no_label_is_learned_before_the_tick_it_falls_due_at(seed, streams, every):
    config = settings_of(every=every)
    referee = Referee(config, ["a", "b"])
    spies = []

    def create(*_):
        spies.append(Spy((1, 3)))
        return spies[-1]

    run_peers([events_of(120, streams, seed)], referee, create, lambda _: None)
    assert sum(referee.ticks.values()) == sum(len(spy.seen) for spy in spies)


@pytest.mark.parametrize("horizons", [(1, 3), ("2s", 1)])
def test_peers_are_scored_on_exactly_the_ticks_our_engine_is(horizons):
    config, block, said = settings_of(horizons), events_of(300, 2, 1), []
    ours = Engine(config, ["a", "b"]).run(block).columns["scores"]
    create = lambda *_: Spy((0, 0))  # noqa: E731 one line
    Spy_learn, Spy.learn = Spy.learn, lambda *_: None
    try:
        run_peers([block], Referee(config, ["a", "b"]), create, said.append)
    finally:
        Spy.learn = Spy_learn
    (theirs,) = (records.columns["scores"] for records in said)
    for name in ("seq", "stream", "target", "horizon", "origin", "truth", "naive"):
        np.testing.assert_array_equal(theirs[name], ours[name])
    np.testing.assert_array_equal(theirs["mean"], ours["naive"])


def test_a_tick_after_a_gap_is_fresh_and_shows_targets_first():
    ticks = [Tick("s", START + i * SECOND, (float(i), -float(i))) for i in range(4)]
    gap = Gap("s", START + 2 * SECOND, "cut")
    block = Block.of([*ticks[:2], gap, *ticks[2:]], 2)
    steps = Referee(settings_of(), ["a", "b"]).take(block).steps
    seen = [step for step in steps if not isinstance(step, Labels)]
    assert [step.fresh for step in seen] == [True, False, True, False]
    assert [step.values.tolist() for step in seen] == [[-i, i] for i in range(4)]


def test_whatever_a_block_holds_names_the_same_targets():
    referee = Referee(settings_of(), ["a", "b"])
    made = referee.take(events_of(300, 2, 1))
    assert len(referee.left_out.columns["rejected"]["seq"]) > 0
    assert referee.left_out.tables["target"] == made.tables["target"] == ("b",)


def test_a_block_that_settles_nothing_has_no_labels():
    ticks = [Tick("s", START + i * SECOND, (1.0, 2.0)) for i in range(2)]
    steps = Referee(settings_of((30,)), ["a", "b"]).take(Block.of(ticks, 2)).steps
    assert [step for step in steps if isinstance(step, Labels)] == []
