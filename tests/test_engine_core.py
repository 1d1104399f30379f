from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from sfm_stream import config
from sfm_stream.cell.parameters import FORGET_CAP
from sfm_stream.engine import Engine
from sfm_stream.errors import CheckpointMismatch, ConfigError, InvalidState, ShapeError
from sfm_stream.events import NO_TIME, Block, Closed, Control, Gap, Heartbeat, Tick
from sfm_stream.records import Decision, Forecast, Rejected, Score, Update, Voided
from sfm_stream.settings import EXPERTS
from sfm_stream.state.inputs import CLOCKS

START = 1_700_000_000 * 10**9
SECOND = 10**9
SMALL = {"states": 4, "frequencies": 3, "outputs": 5}
NAN, INF = float("nan"), float("inf")
YEAR_1850, YEAR_2100 = -3_786_912_000 * SECOND, 4_102_444_800 * SECOND
OUTSIDE = "time outside the years 1850 to 2100, or of a clock that was not set"
DAY = 86_400 * SECOND
CENTURY = 5_218 * 7 * DAY
"""A hundred years, in whole weeks."""


def make(fields=("x",), **tables):
    tree = {"model": SMALL, **tables}
    return Engine(config.from_tree(tree), fields)


def at(seconds):
    return START + round(seconds * SECOND)


def tick(seconds, *values, stream="a"):
    return Tick(stream, at(seconds), tuple(map(float, values)))


def ramp(count, start=0, stream="a"):
    """Ticks a second apart whose value is their number."""
    return [tick(i, i, stream=stream) for i in range(start, start + count)]


def noise(count, seed=0, scale=1.0, stream="a", start=0):
    values = scale * np.random.default_rng(seed).standard_normal(count)
    return [tick(start + i, v, stream=stream) for i, v in enumerate(values)]


def drive(engine, events):
    found = []
    for event in events:
        found += engine.observe(event)
        found += engine.learn()
    return found


def of(kind, records):
    return [r for r in records if isinstance(r, kind)]


def said(records):
    return list(map(repr, records))


def copy_of(engine):
    arrays, _ = engine.snapshot()
    return {name: array.copy() for name, array in arrays.items()}


# The order of calls.


def test_the_forecast_leaves_before_anything_is_learned():
    engine = make(learn={"window": 4, "every": 4})
    for i, event in enumerate(ramp(12)):
        observed = engine.observe(event)
        kinds = [type(r) for r in observed]
        assert kinds == ([Score, Forecast] if i else [Forecast])
        before = engine.view("weights").copy()
        learned = engine.learn()
        due = (i + 1) % 4 == 0
        assert [type(r) for r in learned] == ([Update] if due else [])
        assert np.array_equal(engine.view("weights"), before) != due


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda engine: engine.observe(tick(1, 1)),
            "observe: expected learn() first, was observe()",
        ),
        (
            lambda engine: engine.run(Block.of(ramp(2), 1)),
            "run: expected learn() first, was run()",
        ),
        (
            lambda engine: engine.snapshot(),
            "snapshot: expected learn() first, was snapshot()",
        ),
    ],
    ids=["observe", "run", "snapshot"],
)
def test_between_observe_and_learn_nothing_else_is_done(call, message):
    engine = make()
    engine.observe(tick(0, 0))
    with pytest.raises(InvalidState) as caught:
        call(engine)
    assert str(caught.value) == message
    engine.learn()
    assert said(drive(engine, ramp(5, 1))) == said(drive(make(), ramp(6))[1:])


@pytest.mark.parametrize(
    "before", [[], ramp(1), [Heartbeat("", START)]], ids=["birth", "tick", "heartbeat"]
)
def test_learn_without_observe_is_refused(before):
    engine = make()
    drive(engine, before)
    with pytest.raises(InvalidState) as caught:
        engine.learn()
    assert str(caught.value) == "learn: expected observe(event) first, was learn()"
    assert engine.seq == len(before)


@pytest.mark.parametrize("stream", ["a", "new"])
@pytest.mark.parametrize("values", [(), (1.0, 2.0)])
def test_a_tick_of_the_wrong_width_is_refused_and_the_engine_stays_usable(
    values, stream
):
    engine = make()
    found = drive(engine, ramp(3))
    with pytest.raises(ShapeError, match=r"tick\.values: expected shape \(1,\), was"):
        engine.observe(Tick(stream, at(3), values))
    assert (engine.seq, engine.streams) == (3, ("a",))
    found += drive(engine, ramp(3, 3))
    assert said(found) == said(drive(make(), ramp(6)))


@pytest.mark.parametrize("fields", [1, 3])
def test_a_block_of_the_wrong_width_is_refused_and_the_engine_stays_usable(fields):
    engine = make(("x", "y"))
    block = Block.ticks(
        START + np.arange(4), np.ones((4, fields)), streams=("a",)
    )  # fmt: skip
    with pytest.raises(ShapeError) as caught:
        engine.run(block)
    message = f"block.values: expected shape (4, 2), was (4, {fields})"
    assert str(caught.value) == message
    assert (engine.seq, engine.streams) == (0, ())
    assert len(drive(engine, [tick(0, 1, 2)])) == 1


# What is counted.


def test_streams_are_named_in_order_of_appearance_and_their_good_ticks_counted():
    engine = make()
    drive(engine, [Gap("x", START, "?"), Heartbeat("y", START)])
    assert engine.streams == ()
    drive(engine, [*ramp(3, stream="b"), *ramp(2, stream="a"), tick(0, 9, stream="b")])
    assert engine.streams == ("b", "a")
    assert engine.ticks == {"b": 3, "a": 2}
    assert engine.latest == {"b": ramp(3)[-1].time, "a": ramp(2)[-1].time}
    assert engine.seq == 8


def test_a_stream_that_is_not_wanted_is_known_but_not_counted():
    engine = make(stream={"symbols": ["a"]})
    drive(engine, [*ramp(2, stream="b"), *ramp(3)])
    assert engine.streams == ("b", "a")
    assert engine.ticks == {"a": 3}


def test_an_engine_names_what_its_records_hold():
    engine = make(
        ("x", "y"),
        target={"values": ["y", "x"], "horizons": [3, "1s"]},
        forecast={"experts": ["rls", "last"]},
    )
    assert (engine.targets, engine.horizons) == (("y", "x"), ("3", "1s"))
    assert (engine.experts, engine.fields) == (("rls", "last"), ("x", "y"))
    assert engine.inputs["y"][:4] == ("change", "level", "change(x)", "level(x)")
    assert engine.inputs["y"][4:] == tuple(CLOCKS["hour"])
    forecasts = of(Forecast, drive(engine, [tick(0, 1, 2)]))
    named = [(f.target, f.horizon, f.due) for f in forecasts]
    assert named == [
        ("y", "3", 3), ("y", "1s", at(1)), ("x", "3", 3), ("x", "1s", at(1)),
    ]  # fmt: skip
    assert [f.weights for f in forecasts] == [pytest.approx((6 / 13, 7 / 13))] * 4
    assert [f.mean for f in forecasts] == [2.0, 2.0, 1.0, 1.0]


def test_the_amplitudes_are_stated_once_per_tick_and_target():
    engine = make(("x", "y"), target={"values": ["x", "y"], "horizons": [1, 2, 5]})
    forecasts = of(Forecast, drive(engine, [tick(0, 1, 2), tick(1, 2, 3)]))
    sizes = [len(f.amplitude) for f in forecasts]
    assert sizes == [3, 0, 0, 3, 0, 0] * 2
    assert len(engine.frequencies) == 3


def test_without_a_cell_there_are_no_amplitudes():
    engine = make(forecast={"experts": ["last", "rls"]})
    assert [f.amplitude for f in of(Forecast, drive(engine, ramp(3)))] == [()] * 3


def test_an_interval_is_stated_once_enough_was_scored():
    forecasts = of(Forecast, drive(make(), noise(60)))
    known = [f.lower is not None for f in forecasts]
    assert not any(known[:10])
    assert all(known[40:])
    for f in forecasts[40:]:
        assert f.lower <= f.mean <= f.upper


# Ticks that are rejected.

REJECTIONS = {
    "unreadable": (Tick("a", NO_TIME, (1.0, 1.0)), "", "time could not be read"),
    "early": (
        Tick("a", YEAR_1850 - 1, (1.0, 1.0)), "", OUTSIDE
    ),
    "far": (Tick("a", YEAR_2100, (1.0, 1.0)), "", OUTSIDE),
    "never set": (Tick("a", 5 * SECOND, (1.0, 1.0)), "", OUTSIDE),
    "seconds as milliseconds": (Tick("a", at(3) // 1000, (1.0, 1.0)), "", OUTSIDE),
    "back": (tick(1.5, 1, 1), "", "time before the stream's last tick"),
    "infinite": (tick(3, 1, INF), "y", "value is infinite"),
    "minus infinite": (tick(3, -INF, 1), "x", "value is infinite"),
    "missing": (tick(3, 1, NAN), "y", "value is missing"),
    "stranger": (tick(3, 1, 1, stream="b"), "", "stream not in stream.symbols"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REJECTIONS)
def test_a_bad_tick_is_rejected_with_its_reason_and_the_run_goes_on(kind):
    event, field, reason = REJECTIONS[kind]
    good = [tick(i, i, -i) for i in range(8)]
    engine = make(
        ("x", "y"), stream={"symbols": ["a"]}, learn={"window": 4, "every": 4}
    )
    found = drive(engine, [*good[:3], event, *good[3:]])
    rejected = Rejected(3, event.stream, event.time, field, reason)
    assert of(Rejected, found) == [rejected]
    assert engine.ticks == {"a": 8}
    alone = make(("x", "y"), stream={"symbols": ["a"]}, learn={"window": 4, "every": 4})
    shifted = [
        msgspec.structs.replace(r, seq=r.seq + (r.seq > 2)) for r in drive(alone, good)
    ]
    others = [r for r in found if not isinstance(r, Rejected)]
    assert said(others) == said(shifted)


@pytest.mark.parametrize("time", [2**63, -(2**63) - 1, 10**40])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_time_that_no_clock_holds_is_rejected_as_unreadable(time, is_known):
    engine = make()
    events = [tick(0, 1)] if is_known else []
    (rejected,) = of(Rejected, drive(engine, [*events, Tick("a", time, (1.0,))]))
    assert (rejected.time, rejected.reason) == (NO_TIME, "time could not be read")


def test_a_control_that_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="expected one of learn, freeze, adapt"):
        make().observe(Control("", at(0), "dance"))


@pytest.mark.parametrize("time", [YEAR_1850, -1, YEAR_2100 // 1000, YEAR_2100 - 1])
def test_the_first_and_last_moments_are_accepted(time):
    assert len(of(Forecast, drive(make(), [Tick("a", time, (1.0,))]))) == 1


@pytest.mark.parametrize("time", [0, 5 * SECOND, YEAR_2100 // 1000 - 1])
def test_a_stream_may_begin_before_1970_and_go_on_but_not_begin_then(time):
    events = [Tick("a", time, (1.0,)), Tick("a", time, (2.0,))]
    assert [r.reason for r in of(Rejected, drive(make(), events))] == [OUTSIDE] * 2
    assert of(Rejected, drive(make(), [Tick("a", -DAY, (0.0,)), *events])) == []


@pytest.mark.parametrize(
    "stream", [{}, {"every": "10s", "max_gap": "5m"}, {"max_gap": "1h"}]
)
@pytest.mark.parametrize("horizons", [[1, 4], ["30s", "10m"]])
def test_a_century_earlier_the_same_is_said(stream, horizons):
    step = 7.0 if stream.get("every") else 1_800.0  # the latter divides the day
    late = [tick(step * i, np.sin(i)) for i in range(300) if i % 50 != 7]
    early = [msgspec.structs.replace(t, time=t.time - CENTURY) for t in late]
    made = {"stream": stream, "target": {"horizons": horizons}}
    now, then = (drive(make(**made), events) for events in (late, early))
    moved = [
        msgspec.structs.replace(r, **{
            name: value - CENTURY for name, value in msgspec.structs.asdict(r).items()
            if isinstance(value, int) and value > START // 2
        })
        for r in now
    ]  # fmt: skip
    assert of(Score, now)
    assert said(then) == said(moved)


def test_equal_times_are_accepted_and_streams_have_clocks_of_their_own():
    events = [tick(5, 1), tick(5, 2), tick(1, 3, stream="b")]
    assert of(Rejected, drive(make(), events)) == []


@pytest.mark.parametrize("missing", ["hold", "mean"])
def test_a_missing_value_is_accepted_where_it_may_be(missing):
    engine = make(("x", "y"), stream={"missing": missing})
    events = [tick(0, 1, 2), tick(1, NAN, 3), tick(2, 5, NAN), tick(3, NAN, NAN)]
    found = drive(engine, events)
    assert of(Rejected, found) == []
    # The target that is missing is what it was.
    assert [s.truth for s in of(Score, found)] == [1.0, 5.0, 5.0]
    assert all(math.isfinite(f.mean) for f in of(Forecast, found))


@pytest.mark.parametrize(
    ("missing", "first", "field"),
    [("void", (1, NAN), "y"), ("hold", (1, NAN), "y"), ("mean", (NAN, 1), "x")],
)
def test_a_stream_cannot_begin_with_a_missing_value(missing, first, field):
    engine = make(("x", "y"), stream={"missing": missing})
    found = drive(engine, [tick(0, *first), tick(1, 1, 2)])
    rejected = Rejected(0, "a", at(0), field, "value is missing")
    assert of(Rejected, found) == [rejected]
    assert engine.ticks == {"a": 1}


def test_what_is_no_target_may_be_missing_from_the_first_tick_and_is_the_mean():
    engine = make(("x", "y"), stream={"missing": "mean"})
    found = drive(engine, [tick(0, 1, NAN), tick(1, 2, NAN), tick(2, 3, 700)])
    assert of(Rejected, found) == []
    inputs = dict(zip(engine.inputs["x"], engine.view("tape_u")[0].T, strict=False))
    # The first value of y is its mean, and there is no change to it yet.
    assert inputs["level(y)"][:2].tolist() == [0.0, 0.0]
    assert inputs["change(y)"][:3].tolist() == [0.0, 0.0, 0.0]
    at = engine.inputs["x"].index("level(y)")
    assert engine.view("input_base")[0, at] == 700.0
    assert engine.view("input_mean")[0, at] == 0.0
    assert engine.view("input_count")[0, at] == 1.0


# Gaps.


@pytest.mark.parametrize("stream", ["a", ""])
def test_a_gap_voids_what_is_pending(stream):
    engine = make(target={"horizons": [1, 3, "2s"]})
    drive(engine, ramp(5))
    found = drive(engine, [Gap(stream, at(5), "cut off")])
    assert of(Voided, found) == [
        Voided(5, "a", "x", "1", 4, "gap"),
        Voided(5, "a", "x", "3", 2, "gap"),
        Voided(5, "a", "x", "3", 3, "gap"),
        Voided(5, "a", "x", "3", 4, "gap"),
        Voided(5, "a", "x", "2s", 2, "gap"),
        Voided(5, "a", "x", "2s", 3, "gap"),
        Voided(5, "a", "x", "2s", 4, "gap"),
    ]
    later = drive(engine, ramp(10, 6))
    assert min(s.origin for s in of(Score, later)) == 5
    assert of(Voided, later) == []


def test_a_gap_of_one_stream_leaves_the_others_alone():
    engine = make()
    drive(engine, [*ramp(3), *ramp(3, stream="b")])
    voided = drive(engine, [Gap("b", at(4), "cut off")])
    assert {r.stream for r in voided} == {"b"}
    assert [s.origin for s in of(Score, drive(engine, ramp(1, 4)))] == [2]


def test_a_silence_longer_than_allowed_is_a_gap():
    engine = make(stream={"max_gap": "10s"})
    found = drive(engine, [tick(0, 0), tick(10, 1), tick(20.5, 2), tick(21, 3)])
    assert of(Voided, found) == [Voided(2, "a", "x", "1", 1, "gap")]
    assert [(s.seq, s.origin) for s in of(Score, found)] == [(1, 0), (3, 2)]


def test_a_gap_closes_the_window_and_learns_from_what_has_matured():
    engine = make(learn={"window": 8, "every": 8})
    assert of(Update, drive(engine, ramp(5))) == []
    (update,) = of(Update, drive(engine, [Gap("a", at(5), "cut off")]))
    # Of four labels, the first two only taught the scale.
    assert update.labels == 2
    # From here on a whole window must pass again.
    assert [u.seq for u in of(Update, drive(engine, ramp(8, 6)))] == [13]


@pytest.mark.parametrize("gap", ["decay", "reset", "keep"])
@pytest.mark.parametrize("cut", [True, False])
def test_the_move_across_a_gap_is_not_seen(gap, cut):
    def moves(shift):
        # Sums of 64ths, so that moves come out the same at every level.
        values = np.random.default_rng(1).integers(-64, 64, 120) / 64
        events = [
            tick(i, v + (shift if i >= 60 else 0.0)) for i, v in enumerate(values)
        ]
        if cut:
            events.insert(60, Gap("a", at(59.5), "cut off"))
        engine = make(
            features={"inputs": ["change"], "lags": 4},
            learn={"gap": gap, "window": 8, "every": 8},
        )
        forecasts = of(Forecast, drive(engine, events))
        pairs = zip(forecasts, [e for e in events if isinstance(e, Tick)], strict=True)
        return [f.mean - t.values[0] for f, t in pairs]

    same = np.allclose(moves(0.0), moves(4096.0), rtol=0, atol=1e-9)
    assert same == cut


def test_the_moves_before_a_gap_are_forgotten():
    engine = make(features={"inputs": ["change"], "lags": 4})
    drive(engine, noise(20))
    assert np.all(engine.view("moves") != 0)
    drive(engine, [Gap("a", at(20), "cut off"), tick(21, 5)])
    assert np.all(engine.view("moves") == 0)
    drive(engine, [tick(22, 7)])
    assert sorted(engine.view("moves")[0].tolist()) == [0, 0, 0, 2]


@pytest.mark.parametrize(
    ("gap", "passed", "lost"),
    [
        ("keep", 1, 0), ("keep", 10**6, 0), ("decay", 1, 0), ("decay", 3, 2),
        ("decay", 9.5, 8.5), ("decay", 10**6, math.inf), ("reset", 1, math.inf),
    ],
)  # fmt: skip
def test_a_gap_does_to_the_memory_what_was_asked_for(gap, passed, lost):
    engine = make(learn={"gap": gap})
    drive(engine, [*noise(50), Gap("a", at(49.5), "cut off"), tick(49 + passed, 0.0)])
    states, frequencies = SMALL["states"], SMALL["frequencies"]
    # A ring of ticks, and the room of a peek behind it.
    ring = engine.view("tape_gates").shape[1] - 1
    gates = engine.view("tape_gates")[0, 49 % ring].astype(float)
    kept = np.outer(gates[states : states + frequencies], gates[:states]) * FORGET_CAP

    def size(parts):
        re, im = np.split(parts.astype(float), 2, axis=-1)
        return np.hypot(re, im)

    before = size(engine.view("tape_read")[0, 49 % ring, :, states:])
    after = size(engine.view("tape_turned")[0, 50 % ring])
    assert before.min() > 0.01
    np.testing.assert_allclose(after, before * kept**lost, rtol=1e-4, atol=1e-12)


def test_too_many_pending_voids_the_oldest():
    engine = make(target={"horizons": ["100s"]}, learn={"max_pending": 3})
    found = drive(engine, ramp(6))
    assert of(Voided, found) == [
        Voided(seq, "a", "x", "100s", seq - 3, "too many pending") for seq in (3, 4, 5)
    ]
    assert of(Score, found) == []


def test_never_more_than_allowed_are_pending_and_none_is_lost():
    engine = make(
        target={"horizons": [2, 5, "3s"]},
        learn={"max_pending": 5, "window": 6, "every": 3},
    )
    times = np.cumsum(np.random.default_rng(2).exponential(0.7, 200))
    pending, most = {"2": set(), "5": set(), "3s": set()}, 0
    for t in times:
        for record in drive(engine, [tick(t, math.sin(t))]):
            if isinstance(record, Forecast):
                pending[record.horizon].add(record.origin)
            elif isinstance(record, Score | Voided):
                pending[record.horizon].remove(record.origin)
        most = max(most, *(len(p) for p in pending.values()))
    assert most == 5


# Learning on and off.


def test_a_frozen_engine_keeps_its_weights_and_least_squares_go_on():
    engine = make(learn={"enabled": False, "window": 4, "every": 4})
    drive(engine, noise(1))
    before = copy_of(engine)
    found = drive(engine, noise(100, start=1))
    after = copy_of(engine)
    assert of(Update, found) == []
    for name in ("weights", "moment", "moment2"):
        np.testing.assert_array_equal(before[name], after[name])
    for name in ("theta", "mix_weight", "interval"):
        assert not np.array_equal(before[name], after[name]), name


@pytest.mark.parametrize("stream", ["a", ""])
def test_an_operator_may_stop_learning_and_let_it_go_on(stream):
    engine = make(learn={"window": 4, "every": 4})
    assert len(of(Update, drive(engine, noise(20)))) == 5
    drive(engine, [Control(stream, at(20), "freeze")])
    before = engine.view("weights").copy()
    assert of(Update, drive(engine, noise(20, start=20))) == []
    np.testing.assert_array_equal(engine.view("weights"), before)
    drive(engine, [Control(stream, at(40), "learn")])
    updates = of(Update, drive(engine, noise(20, start=40)))
    assert [u.version for u in updates] == [6, 7, 8, 9, 10]
    # What came while it was frozen is not learned from later.
    assert [u.labels for u in updates] == [4] * 5


def test_catching_up_pauses_learning_and_a_freeze_outlasts_it():
    engine = make(learn={"window": 4, "every": 4})

    def updates(*actions):
        at_once = engine.seq
        drive(engine, [Control("", at(at_once), action) for action in actions])
        return len(of(Update, drive(engine, noise(20, start=at_once))))

    assert updates("catch-up") == 0
    assert not engine.learning
    assert updates("caught-up") == 5
    assert updates("catch-up", "freeze", "caught-up") == 0
    assert updates("learn") == 5
    assert updates("freeze", "catch-up", "learn") == 0
    assert updates("caught-up") == 5
    assert engine.learning


@pytest.mark.parametrize("stream", ["a", "new", ""])
def test_a_decision_is_said_where_it_was_taken(stream):
    engine = make()
    drive(engine, ramp(3))
    found = engine.observe(Control(stream, at(3), "quarantine"))
    assert found == [Decision(3, stream, at(3), "quarantine")]


def test_the_answer_to_a_blocks_last_event_leaves_before_it_is_learned_from():
    engine = make(learn={"window": 4, "every": 4})
    before = engine.observe_block(Block.of(ramp(4), 1))
    assert before.count("forecasts") == 4
    assert before.count("updates") == 0
    assert engine.learn_block().count("updates") == 1


def test_a_block_of_nothing_says_nothing():
    engine = make()
    assert len(engine.observe_block(Block.of([], 1))) == len(engine.learn_block()) == 0
    assert said(drive(engine, ramp(5))) == said(drive(make(), ramp(5)))


def test_learning_a_block_that_was_not_observed_is_refused():
    with pytest.raises(InvalidState) as caught:
        make().learn_block()
    expected = "learn_block: expected observe_block(block) first, was learn_block()"
    assert str(caught.value) == expected


def test_freezing_one_stream_lets_the_others_learn():
    engine = make(learn={"window": 4, "every": 4})
    drive(engine, [*ramp(1), *ramp(1, stream="b"), Control("a", at(1), "freeze")])
    events = [e for i in range(1, 20) for e in (tick(i, i), tick(i, i, stream="b"))]
    assert {u.stream for u in of(Update, drive(engine, events))} == {"b"}


@pytest.mark.parametrize("stream", ["b", ""])
def test_a_stream_frozen_before_its_first_tick_is_born_frozen(stream):
    engine = make(learn={"window": 4, "every": 4})
    events = [*ramp(1), Control(stream, at(1), "freeze"), *ramp(20, 1, stream="b")]
    assert of(Update, drive(engine, events)) == []


def test_an_update_says_what_it_learned_from():
    engine = make(target={"horizons": [1, 3]}, learn={"window": 4, "every": 4})
    updates = of(Update, drive(engine, noise(12)))
    # The first two labels of each horizon only taught its scale.
    assert [(u.seq, u.version, u.labels) for u in updates] == [
        (3, 1, 1), (7, 2, 5), (11, 3, 8),
    ]  # fmt: skip
    assert all(u.skipped == "" for u in updates)
    assert all(u.loss > 0 and u.norm > 0 for u in updates)


def test_without_an_expert_that_learns_by_gradients_there_are_no_updates():
    engine = make(forecast={"experts": ["last", "rls", "sfm-rls"]})
    assert of(Update, drive(engine, noise(100))) == []


# Alignment.


@pytest.mark.parametrize("predict", ["change", "level", "log-return"])
def test_persistence_errs_by_exactly_its_horizon_on_a_ramp(predict):
    engine = make(
        target={"horizons": ["1..4", 9, "5s"], "predict": predict},
        forecast={"experts": ["last"]},
    )
    scores = of(Score, drive(engine, ramp(60)))
    ahead = {"1": 1, "2": 2, "3": 3, "4": 4, "9": 9, "5s": 5}
    for s in scores:
        assert s.truth - s.naive == ahead[s.horizon]
        assert s.truth - s.mean == pytest.approx(ahead[s.horizon], abs=1e-9)
        assert s.naive == s.origin
    assert {s.horizon for s in scores} == set(ahead)
    # A horizon in ticks is scored when due; one in time when its moment is past.
    assert {s.seq - s.origin for s in scores if s.horizon == "9"} == {9}
    assert {s.seq - s.origin for s in scores if s.horizon == "5s"} == {6}


def test_every_forecast_is_scored_once_with_the_mean_it_stated():
    engine = make(target={"horizons": [1, 4, "2.5s"]})
    found = drive(engine, noise(50))
    stated = {(f.horizon, f.origin): f for f in of(Forecast, found)}
    scores = of(Score, found)
    assert len({(s.horizon, s.origin) for s in scores}) == len(scores)
    for s in scores:
        f = stated[s.horizon, s.origin]
        assert s.mean == f.mean
        known = f.lower is not None
        assert s.covered == (f.lower <= s.truth <= f.upper if known else None)


def test_a_horizon_in_time_is_settled_by_the_last_tick_at_or_before_its_due():
    engine = make(target={"horizons": ["1s"]}, forecast={"experts": ["last"]})
    events = [
        tick(0.0, 1), tick(0.4, 2), tick(1.0, 3), tick(1.0, 4), tick(1.7, 5),
        tick(9.0, 6),
    ]  # fmt: skip
    scores = of(Score, drive(engine, events))
    assert [(s.seq, s.origin, s.truth) for s in scores] == [
        (4, 0, 4.0),  # due at 1.0: of two ticks then, the last
        (4, 1, 4.0),  # due at 1.4: the last before
        (5, 2, 5.0), (5, 3, 5.0),  # due at 2.0
        (5, 4, 5.0),  # due at 2.7: nothing came, its own origin
    ]  # fmt: skip
    assert [s.time for s in scores] == [at(1.7)] * 2 + [at(9.0)] * 3


def test_a_heartbeat_settles_what_was_due_before_it():
    engine = make(target={"horizons": [1, "1s"]}, forecast={"experts": ["last"]})
    drive(engine, [tick(0.0, 1), tick(0.4, 2)])
    assert drive(engine, [Heartbeat("a", at(1.0))]) == []
    (first,) = drive(engine, [Heartbeat("", at(1.0) + 1)])
    assert (first.horizon, first.origin, first.truth) == ("1s", 0, 2.0)
    assert (first.seq, first.time) == (3, at(1.0) + 1)
    assert drive(engine, [Heartbeat("b", at(5.0)), Closed(at(6.0), "the end")]) == []
    (second,) = drive(engine, [Heartbeat("a", at(5.0))])
    assert (second.origin, second.truth) == (1, 2.0)


def test_a_horizon_of_a_hundred_years_is_never_settled_too_soon():
    engine = make(target={"horizons": ["36525d"]})
    found = drive(engine, ramp(3))
    assert of(Score, found) == []
    assert all(f.due > f.time for f in of(Forecast, found))


# Snapshots.


def test_adopting_keeps_what_was_learned_and_counts_anew():
    teacher = make(learn={"window": 4, "every": 4})
    drive(teacher, [*noise(50), *noise(30, stream="b")])
    arrays, meta = teacher.snapshot()
    pupil = make(learn={"window": 4, "every": 4})
    pupil.adopt(arrays, meta)
    for name in ("weights", "theta", "cov", "mix_weight", "input_mean",
                 "label_square", "interval"):  # fmt: skip
        np.testing.assert_array_equal(pupil.view(name), arrays[name], name)
    assert (pupil.seq, pupil.ticks) == (0, {"a": 0, "b": 0})
    assert pupil.streams == ("a", "b")
    # A year earlier, and yet accepted.
    early = [tick(-31_536_000 + i, i) for i in range(10)]
    found = drive(pupil, early)
    assert of(Rejected, found) == []
    assert [(f.seq, f.origin) for f in of(Forecast, found)] == [
        (i, i) for i in range(10)
    ]
    assert [s.origin for s in of(Score, found)] == list(range(9))
    assert of(Forecast, found)[0].weights == tuple(arrays["mix_weight"][0, 0])
    assert of(Voided, found) == []


def test_adopting_obeys_the_settings_of_the_adopter():
    teacher = make()
    drive(teacher, [*noise(40), Control("", at(40), "freeze")])
    pupil = make(learn={"window": 4, "every": 4})
    with pytest.raises(CheckpointMismatch):
        pupil.adopt(*teacher.snapshot())
    pupil = make()
    pupil.adopt(*teacher.snapshot())
    every = pupil.config.learn.every
    assert len(of(Update, drive(pupil, noise(4 * every)))) == 4


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"fields": ("y",)}, "checkpoint: expected fields ['y'], was ['x']; "),
        ({"model": SMALL | {"states": 5}}, "checkpoint: expected digest "),
        ({"target": {"horizons": [2]}}, "checkpoint: expected digest "),
        ({"run": {"seed": 3}}, "checkpoint: expected digest "),
    ],
)
@pytest.mark.parametrize("take", ["restore", "adopt"])
def test_a_snapshot_of_another_model_is_refused(other, message, take):
    teacher, pupil = make(), make(**other)
    drive(teacher, ramp(3))
    with pytest.raises(CheckpointMismatch) as caught:
        getattr(pupil, take)(*teacher.snapshot())
    assert str(caught.value).startswith(message)
    assert caught.value.hint == "use the configuration and feed it was made with"
    assert pupil.seq == 0
    assert len(drive(pupil, ramp(2))) >= 2


def test_a_snapshot_of_another_format_is_refused():
    engine = make()
    arrays, meta = engine.snapshot()
    with pytest.raises(CheckpointMismatch, match="state_format 2, was 3") as caught:
        engine.restore(arrays, meta | {"state_format": 3})
    assert "version that wrote it" in caught.value.hint


def test_a_snapshot_without_an_array_is_refused_by_its_name():
    engine = make()
    drive(engine, ramp(2))
    arrays, meta = engine.snapshot()
    del arrays["moves"]
    with pytest.raises(CheckpointMismatch, match=r"moves: expected shape .*, was None"):
        make().restore(arrays, meta)


# Many streams.


def test_a_bank_that_grows_gives_each_stream_what_it_has_alone():
    series = {f"s{k}": noise(300 - 10 * k, k, stream=f"s{k}") for k in range(30)}
    events = [
        event
        for i in range(300)
        for k, name in enumerate(series)
        for event in series[name][i - 10 * k : i - 10 * k + 1]
        if i >= 10 * k
    ]
    engine = make(learn={"window": 8, "every": 8})
    found = list(engine.run(Block.of(events, 1)).rows())
    assert engine.streams == tuple(series)
    assert engine.ticks == {name: 300 - 10 * k for k, name in enumerate(series)}
    births = {
        repr(r.amplitude) for r in of(Forecast, found) if r.origin == 50
    }  # fmt: skip
    assert len(births) == 25
    alone = list(make(learn={"window": 8, "every": 8}).run(
        Block.of(series["s0"], 1)).rows())  # fmt: skip
    first = [r for r in found if r.stream == "s0"]
    assert said(msgspec.structs.replace(r, seq=0) for r in first) == said(
        msgspec.structs.replace(r, seq=0) for r in alone
    )


def test_rows_are_born_of_the_seed_and_their_number_alone():
    def born(*streams, seed=0):
        engine = make(run={"seed": seed})
        drive(engine, [tick(0, 0, stream=name) for name in streams])
        return engine.view("weights").copy()

    np.testing.assert_array_equal(born("a", "b", "c")[:2], born("x", "y"))
    assert not np.array_equal(*born("a", "b"))
    assert not np.array_equal(born("a"), born("a", seed=1))


# Numbers.


def tones(count, seed):
    t = np.arange(count)
    clean = np.sin(2 * np.pi * t / 23) + 0.6 * np.sin(2 * np.pi * t / 61 + 1)
    return clean + 0.05 * np.random.default_rng(seed).standard_normal(count)


def block_of(values):
    time = START + SECOND * np.arange(len(values))
    return Block.ticks(time, np.asarray(values, float)[:, None], streams=("a",))


def skill(scores, last):
    """Give 1 - MSE / MSE of the last value, over the last scores."""
    truth, mean, naive = (scores[k][-last:] for k in ("truth", "mean", "naive"))
    return 1 - np.square(truth - mean).sum() / np.square(truth - naive).sum()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_model_learns_two_tones_within_two_thousand_ticks(seed):
    engine = Engine(config.Config(), ["x"])
    records = engine.run(block_of(tones(3000, seed)))
    assert skill(records.columns["scores"], 1000) > 0.85


@pytest.mark.parametrize("expert", [name for name in EXPERTS if name != "last"])
def test_each_expert_alone_learns_and_stays_finite(expert):
    settings = config.from_tree({"forecast": {"experts": [expert]}})
    records = Engine(settings, ["x"]).run(block_of(tones(4000, 0)))
    assert np.isfinite(records.columns["forecasts"]["mean"]).all()
    assert skill(records.columns["scores"], 1000) > 0.3


SIGNALS = {
    "nothing": np.zeros(400),
    "constant": np.full(400, 7.0),
    "huge constant": np.full(400, 1e300),
    "huge": 1e300 * np.random.default_rng(0).uniform(-1, 1, 400),
    "huge and positive": 10.0 ** np.random.default_rng(0).uniform(290, 300, 400),
    "all magnitudes": 10.0 ** np.random.default_rng(0).uniform(-300, 300, 400),
    "tiny": 1e-300 * np.random.default_rng(0).standard_normal(400),
    "flipping": np.where(np.arange(400) % 2, 1e300, -1e300),
    "step": np.where(np.arange(400) < 200, 0.0, 1e6),
    "early spike": np.where(np.arange(400) == 3, 1e300, tones(400, 0)),
    "late spike": np.where(np.arange(400) == 200, 1e300, tones(400, 0)),
    "growing": 2.0 ** np.arange(400),
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("predict", ["change", "level", "log-return"])
def test_forecasts_stay_finite_whatever_comes(signal, predict):
    engine = make(
        target={"predict": predict, "horizons": [1, 3]},
        features={"inputs": ["change", "level", "log-return"]},
        learn={"window": 8, "every": 8},
    )
    records = engine.run(block_of(SIGNALS[signal]))
    forecasts = records.columns["forecasts"]
    assert np.isfinite(forecasts["mean"]).all()
    known = ~np.isnan(forecasts["lower"])
    assert known.sum() > 600
    assert np.isfinite(forecasts["lower"][known]).all()
    assert np.isfinite(forecasts["upper"][known]).all()
    assert np.isfinite(forecasts["weights"]).all()
    # And the state is good for what comes next.
    for name, array in copy_of(engine).items():
        if name not in {"labels", "kept_labels", "origin_bounds"}:
            assert np.isfinite(array).all(), name
    assert set(records.columns["updates"]["skipped"].tolist()) <= {0}


def test_one_wild_value_is_forgotten():
    values = tones(3000, 0)
    values[100] = 1e6
    engine = Engine(config.Config(), ["x"])
    records = engine.run(block_of(values))
    assert skill(records.columns["scores"], 500) > 0.5


def test_wild_values_at_the_start_are_forgotten_within_hundreds_of_ticks():
    noise = np.random.default_rng(0).standard_normal(1000)
    values = 100.0 + np.sin(np.arange(1000) / 9.0) + 0.1 * noise
    values[[183, 186, 189]] = 12.5, 0.0, 0.0
    records = Engine(config.Config(), ["x"]).run(block_of(values))
    assert skill(records.columns["scores"], 400) > 0.1


def test_an_absent_backend_is_an_error_and_no_other_is_taken():
    tree = {"run": {"backend": "numba", "device": "cuda:0"}}
    with pytest.raises(ConfigError) as caught:
        Engine(config.from_tree(tree), ["x"])
    assert str(caught.value) == (
        "run.device: the numba backend computes on cpu, was 'cuda:0'; "
        'set run.backend = "auto"'
    )
    assert make().backend.name == "numba"


def test_blocks_in_any_memory_layout_run_the_same_compiled_tick():
    from sfm_stream.kernels import tick

    block = Block.ticks(
        START + np.arange(40) * 10**9,
        np.random.default_rng(3).standard_normal((40, 2)).cumsum(0),
        streams=("a",),
    )
    plain = make(("x", "y")).run(block)
    count = len(tick.advance.signatures)
    odd = Block(
        streams=block.streams,
        kind=block.kind,
        stream=block.stream,
        time=block.time.copy(),
        received=block.received,
        values=np.asfortranarray(block.values),
        code=block.code.astype(np.int32),
    )
    odd.time.flags.writeable = False
    assert [repr(r) for r in make(("x", "y")).run(odd).rows()] == [
        repr(r) for r in plain.rows()
    ]
    assert len(tick.advance.signatures) == count
