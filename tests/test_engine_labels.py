"""Labels that come before their tick: settled at once, learned from, or unknown."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError, InvalidState, ShapeError
from sfm_stream.events import Block, Control, Gap, Label, Tick
from sfm_stream.records import Forecast, Score, Update, Voided

START = 1_700_000_000 * 10**9
SECOND = 10**9
SMALL = {"states": 4, "frequencies": 3, "outputs": 5}
NAN, INF = float("nan"), float("inf")
LINEAR = {"forecast": {"experts": ["last", "rls"]}}


def make(fields=("y",), **tables):
    return Engine(config.from_tree({"model": SMALL, **tables}), fields)


def noise(count, seed=0):
    return np.random.default_rng(seed).standard_normal(count).cumsum().tolist()


def tick(i, *values):
    return Tick("a", START + i * SECOND, tuple(map(float, values)))


def label(i, *values):
    return Label("a", START + i * SECOND, tuple(map(float, values)))


def pairs(values):
    """A tick of each value with the next one as its label."""
    return [(tick(i, a), label(i, b)) for i, (a, b) in enumerate(pairwise(values))]


def drive(engine, events):
    found = []
    for event in events:
        found += engine.observe(event)
        found += engine.learn()
    return found


def make_born():
    engine = make(learn={"window": 4, "every": 4})
    drive(engine, [tick(0, 1)])
    return engine.snapshot()[0]


def of(kind, records):
    return [r for r in records if isinstance(r, kind)]


def without_seq(records):
    return [repr(msgspec.structs.replace(r, seq=0, time=0)) for r in records]


def test_a_label_settles_what_the_next_tick_would_and_the_tick_then_nothing():
    values = noise(80)
    plain, told = (make(target={"horizons": [1, 3]}, **LINEAR) for _ in range(2))
    expected = drive(plain, [tick(i, v) for i, v in enumerate(values)])
    found = []
    for one in pairs(values):
        assert of(Score, found[len(found) :]) == []
        found += drive(told, one)
    kept = [r for r in expected if not isinstance(r, Forecast) or r.origin < 79]
    assert without_seq(of(Score, found)) == without_seq(of(Score, kept))
    assert without_seq(of(Forecast, found)) == without_seq(of(Forecast, kept))
    assert of(Score, told.observe(tick(79, values[79]))) == []


def test_scores_come_with_the_label_and_not_with_the_tick():
    engine = make()
    for i, (one, its) in enumerate(pairs(noise(5))):
        assert [type(r) for r in drive(engine, [one])] == [Forecast]
        (score,) = drive(engine, [its])
        assert (score.origin, score.truth, score.time) == (i, its.values[0], its.time)


@pytest.mark.parametrize("unknown", [NAN, INF, -INF])
def test_an_unknown_label_voids_what_waited_for_it_and_teaches_nothing(unknown):
    engine = make(target={"horizons": [1, 2]})
    values = noise(30)
    for one in pairs(values):
        drive(engine, one)
    before = engine.view("theta").copy()
    found = drive(engine, [tick(29, values[29]), label(29, unknown)])
    voided = [(r.horizon, r.origin, r.reason) for r in of(Voided, found)]
    assert voided == [("1", 29, "label unknown"), ("2", 28, "label unknown")]
    # The next tick would have told another value: it comes too late.
    assert of(Score, drive(engine, [tick(30, values[29])])) == []
    np.testing.assert_array_equal(engine.view("theta"), before)


def test_of_two_targets_each_is_known_or_unknown_by_itself():
    engine = make(("y", "z"), target={"values": ["y", "z"]})
    drive(engine, [tick(0, 1, 2)])
    found = drive(engine, [label(0, 3, NAN)])
    assert [(r.target, r.truth) for r in of(Score, found)] == [("y", 3.0)]
    assert [r.target for r in of(Voided, found)] == ["z"]


def test_a_label_without_a_tick_means_nothing():
    engine = make()
    assert drive(engine, [label(0, 1)]) == []
    drive(engine, [tick(1, 1), label(1, 2)])
    assert drive(engine, [label(1, 3)]) == []


def test_an_update_waits_for_the_label_of_its_last_tick():
    engine = make(learn={"window": 4, "every": 4})
    for i, (one, its) in enumerate(pairs(noise(13))):
        assert of(Update, drive(engine, [one])) == []
        updates = of(Update, drive(engine, [its]))
        # two labels settle before there is a scale to learn in
        expected = {3: [2], 7: [4], 11: [4]}
        assert [u.labels for u in updates] == expected.get(i, [])


def test_where_labels_cease_ticks_are_learned_from_again():
    engine, values = make(learn={"window": 4, "every": 4}), noise(13)
    for one in pairs(values[:3]):
        drive(engine, one)
    found = drive(engine, [tick(i, values[i]) for i in range(2, 9)])
    assert [u.version for u in of(Update, found)] == [1, 2]


def test_a_gap_between_tick_and_label_voids_it():
    engine = make()
    found = drive(engine, [tick(0, 1), Gap("a", START, "cut off"), label(0, 2)])
    assert [r.reason for r in of(Voided, found)] == ["gap"]
    assert of(Score, found) == []


def test_to_adapt_keeps_what_is_known_and_forgets_how_sure_it_was():
    engine = make(learn={"window": 4, "every": 4})
    for one in pairs(noise(60)):
        drive(engine, one)
    before, _ = engine.snapshot()
    drive(engine, [Control("a", START + 60 * SECOND, "adapt")])
    after, _ = engine.snapshot()
    same = {n for n in before if np.array_equal(before[n], after[n], equal_nan=True)}
    changed = {"moment", "moment2", "cov", "counters"}
    assert set(before) - same == changed
    assert not after["moment"].any()
    np.testing.assert_array_equal(after["cov"], make_born()["cov"])


def test_to_adapt_frees_nothing_that_is_frozen():
    engine = make(learn={"window": 4, "every": 4})
    told = [Control("", START, "freeze"), Control("", START, "adapt")]
    events = [event for one in pairs(noise(20)) for event in one]
    assert of(Update, drive(engine, told + events)) == []
    assert engine.view("counters")[0, 5] == 1


# Pairs in one call.


@pytest.mark.parametrize("peeked", [True, False])
def test_an_answer_is_the_tick_and_its_label_observed_and_learned(peeked):
    engine, other = make(), make()
    for one, its in pairs(noise(150)):
        said = engine.peek_array(one).copy()
        if not peeked:
            engine.peek_array(tick(0, 1e3))
        scores = engine.observe_labelled(one, its)
        found = drive(other, [one, its])
        (score,) = of(Score, found)
        known = [NAN if v is None else v for v in (score.winkler, score.crps)]
        expected = [[score.truth, score.mean, score.naive, *known]]
        np.testing.assert_array_equal(scores, expected)
        if len(said):
            (forecast,) = of(Forecast, found)
            bounds = forecast.quantiles or [NAN] * 2 * len(
                engine.config.forecast.levels
            )
            np.testing.assert_array_equal(said[0, 0], [forecast.mean, *bounds])
    assert pickle.dumps(engine) == pickle.dumps(other)


@pytest.mark.parametrize("known", [1, 2, 3])
def test_a_peek_is_no_answer_where_its_tick_settles_older_forecasts(known):
    tables = {
        "learn": {"window": 4, "every": 4},
        "target": {"values": ["x", "y"], "horizons": [1, 3, "2s"]},
    }
    peeked, plain = (make(("x", "y"), **tables) for _ in range(2))
    values = np.reshape(noise(160), (80, 2))
    for i, (now, then) in enumerate(pairwise(values)):
        one, its = tick(i, *now), label(i, *(then if i % known else (NAN, then[1])))
        for _ in range(i % 3):
            peeked.peek_array(one)
        scored = [each.observe_labelled(one, its).tolist() for each in (peeked, plain)]
        assert repr(scored[0]) == repr(scored[1])
    assert pickle.dumps(peeked) == pickle.dumps(plain)


def test_answers_and_blocks_of_pairs_say_the_same():
    engine, other = make(), make()
    events = [event for one in pairs(noise(100)) for event in one]
    for one, its in zip(events[::2], events[1::2], strict=True):
        engine.observe_labelled(one, its)
    records = other.run(Block.of(events, 1))
    assert records.count("scores") == 99
    assert pickle.dumps(engine) == pickle.dumps(other)


def test_what_is_learned_between_a_peek_and_its_tick_is_not_passed_over():
    engine, other = (
        make(learn={"window": 4, "every": 4}),
        make(learn={"window": 4, "every": 4}),
    )
    values = noise(9)
    for one in pairs(values[:4]):
        engine.observe_labelled(*one)
        other.observe_labelled(*one)
    last = tick(4, values[4])
    for each in (engine, other):
        each.observe(tick(3, values[3]))
    engine.peek_array(last)
    for each in (engine, other):
        each.learn()
        each.observe_labelled(last, label(4, values[5]))
    assert pickle.dumps(engine) == pickle.dumps(other)


def test_an_answer_out_of_turn_is_refused():
    engine = make()
    engine.observe(tick(0, 1))
    with pytest.raises(
        InvalidState, match=r"observe_labelled: expected learn\(\) first"
    ):
        engine.observe_labelled(tick(1, 1), label(1, 1))
    folded = make(stream={"every": "1s"})
    with pytest.raises(InvalidState, match=r"no stream\.every"):
        folded.observe_labelled(tick(1, 1), label(1, 1))


def test_an_answer_of_the_wrong_width_is_named():
    with pytest.raises(ShapeError, match=r"label.values: expected shape \(1,\), was"):
        make().observe_labelled(tick(1, 1), label(1, 1, 2))


# Copies and knobs.


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize("at", [0, 1, 40, 77])
def test_a_copy_goes_on_as_the_engine_does(copied, at):
    engine, events = make(), pairs(noise(120))
    for one in events[:at]:
        engine.observe_labelled(*one)
    other = copied(engine)
    assert pickle.dumps(other) == pickle.dumps(engine)
    for one in events[at:]:
        engine.observe_labelled(*one)
        other.observe_labelled(*one)
    assert pickle.dumps(other) == pickle.dumps(engine)


def test_a_copy_made_after_a_peek_is_the_same_and_goes_on_the_same():
    engine, events = make(), pairs(noise(60))
    for one in events[:50]:
        engine.observe_labelled(*one)
    untouched = pickle.dumps(engine)
    engine.peek_array(events[50][0])
    assert pickle.dumps(engine) == untouched
    other = copy.deepcopy(engine)
    for one in events[50:]:
        engine.observe_labelled(*one)
        other.observe_labelled(*one)
    assert pickle.dumps(engine) == pickle.dumps(other)


def test_a_rate_tuned_from_the_start_is_a_rate_configured():
    engine, other = make(), make(learn={"lr": 0.03})
    engine.tune(0.03)
    for one in pairs(noise(70)):
        engine.observe_labelled(*one)
        other.observe_labelled(*one)
    assert engine.config == other.config
    assert pickle.dumps(engine.snapshot()) == pickle.dumps(other.snapshot())


def test_a_rate_that_cannot_be_changes_nothing():
    engine = make()
    with pytest.raises(ConfigError, match=r"learn.lr"):
        engine.tune(0.0)
    assert engine.config == make().config


def test_the_memory_is_what_the_amplitudes_are_made_of():
    engine = make()
    for one, its in pairs(noise(40)):
        forecast = of(Forecast, drive(engine, [one, its]))[0]
    found = np.sqrt(np.mean(np.abs(engine.memory("a")[0]) ** 2, axis=1))
    assert engine.memory("a").shape == (1, 3, 4)
    np.testing.assert_allclose(found, forecast.amplitude, atol=1e-3)


def test_the_weight_of_an_engine_grows_with_its_streams():
    engine = make()
    empty = engine.nbytes
    drive(engine, [tick(0, 1)])
    one = engine.nbytes - empty
    drive(engine, [Tick("b", START, (1.0,))])
    assert engine.nbytes == empty + 2 * one
    assert one > engine.view("weights").nbytes
