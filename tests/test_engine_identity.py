"""What the engine says depends on the events and their order alone."""

from __future__ import annotations

import functools
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import (
    NO_TIME,
    Block,
    Closed,
    Control,
    Gap,
    Heartbeat,
    Label,
    Tick,
)
from sfm_stream.records import Decision, Forecast, Rejected, Score, Update, Voided

START = 1_700_000_000 * 10**9
MS = 10**6
FIELDS = ("x", "y")
NAN, INF = float("nan"), float("inf")
COUNT = 450
COMMON = {
    "model": {"states": 4, "frequencies": 3, "outputs": 5},
    "target": {"values": ["x", "y"], "horizons": [1, 10, "1s"]},
    "features": {"inputs": ["change(*)", "level", "elapsed"], "lags": 3},
    "learn": {"window": 12, "every": 7, "max_pending": 24},
    "stream": {"symbols": ["a", "b", "c"], "max_gap": "20s"},
}
VARIANTS = {
    "plain": {},
    "resampled": {"stream": {"every": "400ms", "folds": {"y": "mean"}}},
    "resampled, many empty bins": {"stream": {"every": "150ms", "max_gap": ""}},
    "adaptive": {
        "model": {"cell": "a-sfm", "readout": "amplitude"},
        "stream": {"max_gap": ""},
    },
    "clock of time": {"stream": {"clock": "time"}},
    "adaptive, clock of time": {
        "model": {"cell": "a-sfm"},
        "stream": {"clock": "time"},
        "learn": {"gap": "reset"},
    },
    "level, held": {
        "target": {"predict": "level"},
        "stream": {"missing": "hold", "max_gap": ""},
        "learn": {"gap": "keep"},
    },
    "return, mean": {
        "target": {"predict": "log-return"},
        "stream": {"missing": "mean"},
    },
    "frozen at birth": {"learn": {"enabled": False}},
    "striped": {"learn": {"schedule": "striped"}},
    "striped, adaptive, clock of time": {
        "model": {"cell": "a-sfm", "readout": "amplitude"},
        "stream": {"clock": "time"},
        "learn": {"schedule": "striped", "every": 12, "gap": "reset"},
    },
    "striped, resampled": {
        "stream": {"every": "150ms", "max_gap": ""},
        "learn": {"schedule": "striped"},
    },
    "no cell": {"forecast": {"experts": ["last", "rls"]}},
}
VARIANT = pytest.mark.parametrize("variant", VARIANTS)
UNFOLDED = pytest.mark.parametrize(
    "variant", [name for name in VARIANTS if "resampled" not in name]
)


def make(variant):
    tree = {name: dict(table) for name, table in COMMON.items()}
    for name, table in VARIANTS[variant].items():
        tree[name] = tree.get(name, {}) | table
    return Engine(from_tree(tree), FIELDS)


def bad(rng, stream, time):
    """Give a tick that is rejected, each kind in turn of chance."""
    x, y = rng.standard_normal(2)
    return [
        Tick(stream, NO_TIME, (x, y)),
        Tick(stream, 10**9, (x, y)),
        Tick(stream, 5_000_000_000 * 10**9, (x, y)),
        Tick(stream, time - 10**11, (x, y)),
        Tick(stream, time, (x, INF)),
        Tick(stream, time, (-INF, y)),
        Tick(stream, time, (NAN, y)),
        Tick("stranger", time, (x, y)),
    ][rng.integers(8)]


def special(rng, stream, time):
    """Give an event that is no good tick."""
    everyone = "" if rng.random() < 0.5 else stream
    return [
        Gap(everyone, time, "cut off", 3),
        Heartbeat(everyone, time),
        Heartbeat(everyone, time),
        Control(everyone, time, "freeze"),
        Control(everyone, time, "learn"),
        Control(everyone, time, "learn"),
        Control(everyone, time, "adapt"),
        Control(everyone, time, "catch-up"),
        Control(everyone, time, "caught-up"),
        Control(everyone, time, "quarantine"),
        Label(stream, time, (float(rng.standard_normal()), 1.0)),
        Label(stream, time, (NAN, float(rng.standard_normal()))),
    ][rng.integers(12)]


@functools.cache
def events(seed=0, count=COUNT):
    """Three streams among each other, with all that may befall them."""
    rng = np.random.default_rng(seed)
    time, level = START, {"a": 10.0, "b": -3.0, "c": 100.0}
    # A stream may be named before it has ticked.
    found = [Control("c", time, "freeze"), Gap("b", time, "not there yet")]
    while len(found) < count:
        chance = rng.random()
        time += 0 if chance < 0.1 else int(rng.integers(1, 300)) * MS
        stream = "abc"[rng.integers(3 if len(found) > 60 else 2)]
        if chance > 0.995:
            time += 25_000 * MS
        if rng.random() < 0.08:
            found.append(special(rng, stream, time))
        elif rng.random() < 0.08:
            found.append(bad(rng, stream, time))
        else:
            level[stream] += rng.standard_normal()
            values = level[stream], float(rng.standard_normal())
            found.append(Tick(stream, time, values))
    burst = [Tick("a", time, (float(i), 0.0)) for i in range(30)]
    return (*found, *burst, Closed(time, "the end"))


def said(records):
    """Give what must be equal to the last bit: repr tells all floats apart."""
    return [repr(record) for record in records]


def in_one_piece(engine, events):
    return list(engine.run(Block.of(events, len(FIELDS))).rows())


def one_by_one(engine, events):
    found = []
    for event in events:
        found += engine.observe(event)
        found += engine.learn()
    return found


def in_two_steps(engine, events, bounds):
    found = []
    for start, stop in pairwise([0, *bounds, len(events)]):
        found += engine.observe_block(Block.of(events[start:stop], len(FIELDS))).rows()
        found += engine.learn_block().rows()
    return found


def in_blocks(engine, events, bounds):
    found = []
    for start, stop in pairwise([0, *bounds, len(events)]):
        found += in_one_piece(engine, events[start:stop])
    return found


@functools.cache
def expected(variant):
    return in_one_piece(make(variant), events())


def copied(snapshot):
    """Give a snapshot as another process would read it."""
    arrays, meta = snapshot
    plain = msgspec.json.decode(msgspec.json.encode(meta))
    return {name: array.copy() for name, array in arrays.items()}, plain


def test_the_events_give_every_kind_of_record():
    found = expected("plain")
    assert {type(r) for r in found} == {
        Forecast, Score, Update, Voided, Rejected, Decision,
    }  # fmt: skip
    reasons = {r.reason for r in found if isinstance(r, Rejected)}
    assert len(reasons) == 6
    voided = {r.reason for r in found if isinstance(r, Voided)}
    assert voided == {"gap", "too many pending", "label unknown"}
    updated = {(r.stream, r.target) for r in found if isinstance(r, Update)}
    assert updated == {(s, t) for s in "abc" for t in FIELDS}
    horizons = {r.horizon for r in found if isinstance(r, Score)}
    assert horizons == {"1", "10", "1s"}


@VARIANT
def test_one_by_one_gives_the_records_of_one_piece(variant):
    assert said(one_by_one(make(variant), events())) == said(expected(variant))


@VARIANT
@settings(max_examples=5)
@given(bounds=st.lists(st.integers(0, COUNT + 31), max_size=12))
def test_blocks_of_any_size_give_the_records_of_one_piece(variant, bounds):
    found = in_blocks(make(variant), events(), sorted(bounds))
    assert said(found) == said(expected(variant))


@VARIANT
@settings(max_examples=5)
@given(bounds=st.lists(st.integers(0, COUNT + 31), max_size=12))
def test_a_last_event_learned_from_later_gives_the_records_of_one_piece(
    variant, bounds
):
    found = in_two_steps(make(variant), events(), sorted(bounds))
    assert said(found) == said(expected(variant))


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_blocks_of_one_size_give_the_records_of_one_piece(size):
    bounds = range(size, len(events()), size)
    found = in_blocks(make("plain"), events(), bounds)
    assert said(found) == said(expected("plain"))


@VARIANT
@settings(max_examples=4)
@given(cut=st.integers(0, COUNT + 31), single=st.booleans())
def test_a_resumed_engine_goes_on_as_if_nothing_had_happened(variant, cut, single):
    drive = one_by_one if single else in_one_piece
    stopped, resumed = make(variant), make(variant)
    found = drive(stopped, events()[:cut])
    snapshot = copied(stopped.snapshot())
    # What the stopped engine does later must not reach the snapshot.
    drive(stopped, events()[cut:])
    resumed.restore(*snapshot)
    found += drive(resumed, events()[cut:])
    assert said(found) == said(expected(variant))
    assert resumed.ticks == stopped.ticks
    assert resumed.streams == stopped.streams
    assert resumed.seq == stopped.seq == len(events())


@VARIANT
def test_a_snapshot_holds_the_whole_state(variant):
    engine, other = make(variant), make(variant)
    in_one_piece(engine, events())
    other.restore(*copied(engine.snapshot()))
    (arrays, meta), (again, meta_again) = engine.snapshot(), other.snapshot()
    assert meta == meta_again
    assert list(arrays) == list(again)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, again[name], name)


@VARIANT
@settings(max_examples=4)
@given(cut=st.integers(1, COUNT + 30))
def test_what_comes_later_changes_nothing_that_was_said(variant, cut):
    scaled = [
        msgspec.structs.replace(e, values=tuple(1e6 * v for v in e.values))
        if isinstance(e, Tick)
        else e
        for e in events()[cut:]
    ]
    earlier = said(r for r in expected(variant) if r.seq < cut)
    truncated = in_one_piece(make(variant), events()[:cut])
    assert said(truncated) == earlier
    changed = in_one_piece(make(variant), [*events()[:cut], *scaled])
    assert said(r for r in changed if r.seq < cut) == earlier


def test_what_comes_later_changes_what_is_said_later():
    cut = COUNT // 2
    doubled = [
        msgspec.structs.replace(e, values=(2 * e.values[0], e.values[1]))
        if isinstance(e, Tick)
        else e
        for e in events()[cut:]
    ]
    changed = in_one_piece(make("plain"), [*events()[:cut], *doubled])
    later = said(r for r in changed if r.seq >= cut)
    assert later != said(r for r in expected("plain") if r.seq >= cut)


def test_engines_of_one_process_do_not_meet():
    engines = [make("plain"), make("adaptive"), make("plain")]
    found = [[] for _ in engines]
    for event in events():
        for engine, records in zip(engines, found, strict=True):
            records.extend(engine.observe(event))
        for engine, records in zip(engines, found, strict=True):
            records.extend(engine.learn())
    for name, records in zip(("plain", "adaptive", "plain"), found, strict=True):
        assert said(records) == said(expected(name))


def test_the_seed_decides_what_is_said():
    again = in_one_piece(make("plain"), events())
    assert said(again) == said(expected("plain"))
    tree = {**COMMON, "run": {"seed": 1}}
    other = in_one_piece(Engine(from_tree(tree), FIELDS), events())
    assert said(other) != said(again)


def without_seq(records):
    return said(msgspec.structs.replace(r, seq=0) for r in records)


@UNFOLDED
def test_bad_ticks_leave_no_trace_in_the_records_of_the_others(variant):
    found = expected(variant)
    rejected = {r.seq for r in found if isinstance(r, Rejected)}
    good = [e for i, e in enumerate(events()) if i not in rejected]
    assert len(good) < len(events())
    alone = in_one_piece(make(variant), good)
    kept = [r for r in found if not isinstance(r, Rejected)]
    assert without_seq(alone) == without_seq(kept)


@UNFOLDED
def test_a_peek_says_what_observe_then_says_where_nothing_is_settled(variant):
    engine, met, compared = make(variant), set(), 0
    for event in events():
        peeked = None
        if isinstance(event, Tick) and event.stream in met:
            peeked = engine.peek(event)
        spoken = engine.observe(event)
        if peeked and not any(isinstance(r, Score | Update | Voided) for r in spoken):
            forecasts = [r for r in spoken if isinstance(r, Forecast)]
            assert said(peeked) == said(forecasts)
            compared += 1
        if any(isinstance(r, Forecast) for r in spoken):
            met.add(event.stream)
        engine.learn()
    assert compared > 0


@VARIANT
def test_a_peek_changes_nothing(variant):
    engine, peeked = make(variant), 0
    found = []
    for i, event in enumerate(events()):
        if isinstance(event, Tick):
            far = msgspec.structs.replace(event, time=event.time + 10**12 * (i % 2))
            before = copied(engine.snapshot()) if i % 29 == 0 else None
            peeked += len(engine.peek(far))
            if before is not None:
                (arrays, meta), (after, meta_after) = before, copied(engine.snapshot())
                assert meta == meta_after
                for name, array in arrays.items():
                    # The last slot of a ring is the room a peek calculates in.
                    ring = slice(-1) if name[:4] in {"tape", "orig", "labe"} else ...
                    both = array[:, ring], after[name][:, ring]
                    np.testing.assert_array_equal(*both, name)
        found += engine.observe(event)
        # Also between what is observed and what is learned from it.
        engine.peek(Tick("a", START + 10**15, (1e3, -1e3)))
        found += engine.learn()
    assert said(found) == said(expected(variant))
    assert (peeked > 0) != ("resampled" in variant)


def test_a_peek_at_a_stream_nobody_knows_is_empty():
    engine = make("plain")
    assert engine.peek(Tick("a", START, (1.0, 2.0))) == []
    one_by_one(engine, [Tick("stranger", START, (1.0, 2.0))])
    assert engine.peek(Tick("stranger", START, (1.0, 2.0))) == []
    assert engine.seq == 1


def test_the_names_that_records_refer_to_are_made_anew_only_with_a_new_stream():
    engine = make("plain")

    def tables(stream, second):
        tick = Tick(stream, START + second * 10**9, (1.0, 2.0))
        return engine.run(Block.of([tick], len(FIELDS))).tables

    first = tables("a", 0)
    assert tables("a", 1) is first
    assert tables("b", 2)["stream"] == ("a", "b")
    assert first["stream"] == ("a",)
