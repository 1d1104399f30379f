from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine, bins
from sfm_stream.engine.bins import MOST_EMPTY, Columns
from sfm_stream.engine.resampler import Resampler
from sfm_stream.errors import CheckpointMismatch, ConfigError, ShapeError
from sfm_stream.events import (
    ALL_STREAMS,
    CLOSED,
    CONTROL,
    GAP,
    HEARTBEAT,
    NO_TIME,
    TICK,
)
from sfm_stream.events.kinds import ANEW, LATE
from sfm_stream.kernels.inputs.accept import RESTART, is_outside

MS = 10**6
# A whole number of seconds, so that a bin of 100 ms begins there.
START = 1_700_000_000 * 10**9
FOLDS = ("last", "first", "min", "max", "sum", "mean", "count")
NAN, INF = float("nan"), float("inf")


def resampler(folds=FOLDS, every="100ms"):
    """Fold one value in several ways: as many fields as folds."""
    fields = [f"x{i}" for i in range(len(folds))]
    table = dict(zip(fields, folds, strict=True))
    config = from_tree({"stream": {"every": every, "folds": table}})
    return Resampler(config, fields)


def at(ms):
    return START + round(ms * MS)


def tick(ms, *values, stream=0):
    return TICK, stream, at(ms), values, 0


def heartbeat(ms, stream=0):
    return HEARTBEAT, stream, at(ms), (), 0


def gap(ms, stream=0):
    return GAP, stream, at(ms), (), -1


def columns(events, width, seq=0):
    """Turn (kind, stream, time, values, code) into columns; one value fills a row."""
    values = np.full((len(events), width), NAN)
    for row, event in zip(values, events, strict=True):
        if event[3]:
            row[:] = event[3]
    kind, stream, time, code = (
        np.array([event[i] for event in events], dtype)
        for i, dtype in ((0, np.int8), (1, np.int64), (2, np.int64), (4, np.int64))
    )
    return Columns(kind, stream, time, values, code, seq + np.arange(len(events)))


def fold(events, folds=FOLDS, every="100ms"):
    return resampler(folds, every).fold(*columns(events, len(folds)))


def rows(out):
    """Give kind, ms since the start, first value and number of each event."""
    ms = (out.time - START) / MS
    return list(zip(out.kind, ms, out.values[:, 0], out.seq, strict=True))


def equal(a, b):
    for name in Columns._fields:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)


def test_bin_is_one_tick_at_its_end_numbered_as_the_tick_that_closed_it():
    out = fold([tick(10, 3), tick(30, 1), tick(99, 2), tick(130, 9)])
    assert rows(out) == [(TICK, 100, 2, 3)]
    assert dict(zip(FOLDS, out.values[0], strict=True)) == {
        "last": 2, "first": 3, "min": 1, "max": 3, "sum": 6, "mean": 2, "count": 3,
    }  # fmt: skip


def test_tick_at_the_end_of_a_bin_closes_it_and_belongs_to_the_next():
    out = fold([tick(0, 1), tick(100, 5), tick(200, 7)], ("sum",))
    assert rows(out) == [(TICK, 100, 1, 1), (TICK, 200, 5, 2)]


def test_field_without_a_fold_gives_its_last_value():
    config = from_tree({"stream": {"every": "1s"}})
    events = columns([tick(0, 1), tick(10, 2), tick(1000, 3)], 1)
    assert rows(Resampler(config, ["x"]).fold(*events)) == [(TICK, 1000, 2, 2)]


def test_last_bin_stays_open_at_the_end_of_the_feed():
    out = fold([tick(0, 1), (CLOSED, ALL_STREAMS, at(500), (), 0)])
    assert out.kind.tolist() == [CLOSED]


def test_empty_bins_hold_the_last_value_and_sum_to_nothing():
    out = fold([tick(10, 4), tick(20, 2), tick(310, 9)])
    assert out.time.tolist() == [at(100), at(200), at(300)]
    assert out.seq.tolist() == [2, 2, 2]
    for values in out.values[1:]:
        assert dict(zip(FOLDS, values, strict=True)) == {
            "last": 2, "first": 2, "min": 2, "max": 2, "sum": 0, "mean": 2, "count": 0,
        }  # fmt: skip


def test_missing_values_are_skipped_but_their_ticks_counted():
    out = fold([tick(0, NAN), tick(10, 4), tick(20, 2), tick(30, NAN), tick(100, 1)])
    assert out.values[0].tolist() == [2, 4, 2, 4, 6, 3, 4]


def test_bin_of_missing_values_is_missing_and_the_value_before_is_held_after_it():
    out = fold([tick(0, 5), tick(100, NAN), tick(300, 1)])
    np.testing.assert_array_equal(out.values[1], [NAN] * 6 + [1])
    np.testing.assert_array_equal(out.values[2], [5, 5, 5, 5, 0, 5, 0])


def test_fields_fold_apart_where_one_of_them_is_missing():
    out = fold([tick(0, 1, NAN), tick(10, NAN, 6), tick(100, 0, 0)], ("sum", "mean"))
    assert out.values.tolist() == [[1, 6]]


def test_silence_of_a_thousand_bins_is_a_thousand_empty_bins():
    out = fold([tick(0, 1), tick(100 * 1001, 2)], ("last",))
    assert out.kind.tolist() == [TICK] * 1001


def test_silence_of_more_than_a_thousand_bins_is_one_gap():
    out = fold([tick(0, 1), tick(100 * 1002 + 5, 2)], ("last",))
    assert rows(out)[0] == (TICK, 100, 1, 1)
    assert (out.kind[1], out.time[1], out.seq[1]) == (GAP, at(100_205), 1)
    assert out.code[1] == 1001
    assert np.isnan(out.values[1]).all()


def test_bin_after_a_silence_follows_the_gap_without_empty_bins():
    out = fold([tick(0, 1), tick(200_000, 2), tick(200_110, 3)], ("last",))
    assert out.kind.tolist() == [TICK, GAP, TICK]
    assert (out.time[2], out.values[2, 0], out.seq[2]) == (at(200_100), 2, 2)


def test_empty_bins_closed_by_heartbeats_count_into_one_silence():
    beats = [heartbeat(100 * k) for k in range(1, 1500)]
    out = fold([tick(0, 1), *beats, tick(150_050, 2), tick(150_100, 3)], ("last",))
    emitted = np.delete(out.kind, np.flatnonzero(out.kind == HEARTBEAT))
    assert emitted.tolist() == [TICK] * (1 + MOST_EMPTY) + [GAP, TICK]
    assert out.seq[out.kind == GAP].tolist() == [MOST_EMPTY + 2]


def test_tick_ends_the_row_of_empty_bins():
    steps = [tick(100 * 600 * k, k) for k in range(4)]
    out = fold(steps, ("last",))
    assert len(out.kind) == 3 * 600
    assert (out.kind == TICK).all()


def test_heartbeat_closes_the_bins_that_end_by_its_time_and_passes_after_them():
    out = fold([tick(50, 1), heartbeat(99), heartbeat(200), tick(210, 2)], ("sum",))
    assert out.kind.tolist() == [HEARTBEAT, TICK, TICK, HEARTBEAT]
    assert out.time.tolist() == [at(99), at(100), at(200), at(200)]
    assert out.seq.tolist() == [1, 2, 2, 2]
    assert out.values[1:3, 0].tolist() == [1, 0]


def test_tick_before_a_heartbeat_that_closed_its_bin_is_late():
    out = fold([tick(50, 1), heartbeat(200), tick(150, 7), tick(250, 2), tick(300, 3)])
    assert out.code.tolist() == [0, 0, 0, LATE, 0]
    assert out.values[4, 0] == 2


def test_heartbeat_of_a_stream_that_never_ticked_passes_alone():
    out = fold([heartbeat(0), heartbeat(500, stream=3), heartbeat(900, stream=-2)])
    assert out.kind.tolist() == [HEARTBEAT] * 3


@pytest.mark.parametrize("time", [NO_TIME, 0, 4_200_000_000 * 10**9])
def test_heartbeat_without_a_readable_time_closes_nothing(time):
    events = [tick(0, 1), (HEARTBEAT, 0, time, (), 0), tick(50, 2), tick(100, 3)]
    out = fold(events, ("sum",))
    assert out.kind.tolist() == [HEARTBEAT, TICK]
    assert out.values[1, 0] == 3


def test_gap_drops_the_open_bin_and_passes():
    out = fold([tick(0, 1), gap(50), heartbeat(700), tick(730, 5), tick(800, 6)])
    assert rows(out)[2:] == [(TICK, 800, 5, 4)]
    assert out.values[2].tolist() == [5, 5, 5, 5, 5, 5, 1]
    assert out.kind.tolist() == [GAP, HEARTBEAT, TICK]
    assert out.code.tolist() == [-1, 0, 0]


def test_gap_of_one_stream_leaves_the_others_open():
    events = [tick(0, 1), tick(0, 2, stream=1), gap(50, stream=1)]
    out = fold([*events, tick(100, 3), tick(100, 4, stream=1)], ("last",))
    assert out.kind.tolist() == [GAP, TICK]
    assert (out.stream[1], out.values[1, 0]) == (0, 1)


def test_gap_of_a_stream_without_a_number_drops_nothing():
    out = fold([tick(0, 1), gap(50, stream=-2), tick(100, 3)], ("last",))
    assert out.kind.tolist() == [GAP, TICK]


def test_gap_of_all_streams_drops_every_open_bin():
    events = [tick(0, 1), tick(0, 2, stream=2), gap(50, stream=ALL_STREAMS)]
    out = fold([*events, tick(100, 3), tick(100, 4, stream=2)], ("last",))
    assert out.kind.tolist() == [GAP]


def test_heartbeat_of_all_streams_closes_the_bins_of_each():
    events = [tick(0, 1), tick(110, 2, stream=2), heartbeat(200, stream=ALL_STREAMS)]
    out = fold(events, ("last",))
    assert out.stream.tolist() == [0, 0, 2, ALL_STREAMS]
    assert out.time.tolist() == [at(100), at(200), at(200), at(200)]
    assert out.seq.tolist() == [2] * 4


def test_ticks_out_of_order_within_the_open_bin_fold_as_they_arrive():
    out = fold([tick(50, 1), tick(20, 2), tick(100, 3)], ("last", "first"))
    assert out.values.tolist() == [[2, 1]]


def test_late_tick_passes_marked_and_leaves_the_open_bin_alone():
    out = fold([tick(150, 1), tick(99, 8), tick(160, 2), tick(200, 3)], ("sum",))
    assert rows(out) == [(TICK, 99, 8, 1), (TICK, 200, 3, 3)]
    assert out.code.tolist() == [LATE, 0]


def test_tick_before_the_bin_that_a_gap_dropped_is_late():
    out = fold([tick(150, 1), gap(160), tick(99, 8), tick(170, 2), tick(200, 3)])
    assert out.code.tolist() == [-1, LATE, 0]
    assert out.values[2, 0] == 2


@pytest.mark.parametrize(
    ("time", "value"),
    [
        (NO_TIME, 1.0),
        (-3_786_912_000 * 10**9 - 1, 1.0),
        (5 * 10**9, 1.0),
        (4_102_444_800 * 10**9, 1.0),
        (at(120), INF),
        (at(120), -INF),
    ],
)
def test_tick_that_cannot_be_folded_passes_unchanged_and_closes_nothing(time, value):
    odd = (TICK, 0, time, (value,), 0)
    out = fold([tick(0, 1), odd, tick(50, 2), tick(100, 3)], ("sum",))
    assert out.time.tolist() == [time, at(100)]
    assert out.values[:, 0].tolist() == [value, 3]
    assert out.seq.tolist() == [1, 3]
    assert out.code.tolist() == [0, 0]


def test_tick_of_no_stream_passes_unchanged():
    out = fold([tick(0, 1, stream=-2), tick(0, 1, stream=ALL_STREAMS)])
    assert out.stream.tolist() == [-2, ALL_STREAMS]


def test_control_and_closed_pass_unchanged_and_close_nothing():
    events = [(CONTROL, 0, at(500), (), 1), (CLOSED, ALL_STREAMS, at(900), (), 0)]
    out = fold([tick(0, 1), *events, tick(50, 2), tick(100, 3)], ("sum",))
    assert out.kind.tolist() == [CONTROL, CLOSED, TICK]
    assert out.code.tolist() == [1, 0, 0]
    assert out.values[2, 0] == 3


def test_one_event_may_give_more_events_than_there_was_room_for():
    engine = resampler(("last",))
    engine.fold(*columns([tick(0, k, stream=k) for k in range(5)], 1))
    out = engine.fold(*columns([heartbeat(50_000, stream=ALL_STREAMS)], 1))
    assert np.bincount(out.stream[:-1]).tolist() == [500] * 5
    assert (out.values[:-1, 0] == out.stream[:-1]).all()


def test_read_only_columns_are_folded_without_another_compilation():
    engine, events = resampler(), columns([tick(0, 1), tick(100, 2)], len(FOLDS))
    expected = resampler().fold(*events)
    compiled = len(bins.fold.signatures)
    for column in events:
        column.setflags(write=False)
    narrow = events._replace(stream=events.stream.astype(np.int32))
    equal(engine.fold(*narrow), expected)
    assert len(bins.fold.signatures) == compiled


def test_no_events_give_no_events():
    assert len(fold([]).kind) == 0


def test_values_of_another_width_are_refused():
    with pytest.raises(ShapeError, match=r"values: expected shape \(1, 7\)"):
        resampler().fold(*columns([tick(0, 1)], 3))


def test_fold_of_an_unknown_field_is_refused_with_the_nearest_name():
    config = from_tree({"stream": {"every": "1s", "folds": {"bidd": "max"}}})
    with pytest.raises(ConfigError, match=r"stream\.folds\.bidd.*did you mean 'bid'"):
        Resampler(config, ["bid", "ask"])
    with pytest.raises(ConfigError, match="there are: price, size"):
        Resampler(config, ["price", "size"])


def test_fold_of_an_unknown_field_is_refused_where_ticks_do_not_fold():
    config = from_tree({"stream": {"folds": {"bidd": "max"}}})
    with pytest.raises(ConfigError, match=r"stream\.folds\.bidd: no such field"):
        Engine(config, ["bid", "ask"])


@pytest.mark.parametrize("every", ["", "40000d", "4000000d"])
def test_bins_without_a_possible_length_are_refused(every):
    with pytest.raises(ConfigError, match=r"stream\.every"):
        resampler(every=every)


def test_snapshot_is_a_copy_and_restores_to_the_same_events():
    events = columns([tick(7 * k, k % 5, stream=k % 3) for k in range(200)], 7)
    whole, first = resampler(), resampler()
    expected = whole.fold(*events)
    before = first.fold(*(c[:90] for c in events))
    kept = first.snapshot()
    first.fold(*(c[90:] for c in events))
    second = resampler()
    second.restore(kept)
    after = second.fold(*(c[90:] for c in events))
    equal(joined([before, after]), expected)


def test_snapshot_of_other_fields_is_refused():
    engine = resampler(("last",))
    engine.fold(*columns([tick(0, 1)], 1))
    with pytest.raises(CheckpointMismatch, match=r"seen: expected shape \(1, 2\)"):
        resampler(("last", "sum")).restore(engine.snapshot())
    with pytest.raises(CheckpointMismatch, match=r"open: .* was None"):
        resampler().restore({"number": np.zeros(2, np.int64)})


def joined(parts):
    return Columns._make(np.concatenate(column) for column in zip(*parts, strict=True))


times = st.one_of(
    st.integers(0, 1500).map(at),
    st.integers(0, 400_000).map(at),
    st.sampled_from([NO_TIME, 0, 5 * 10**18]),
)
values = st.sampled_from([0.5, -1.0, 2.25, NAN, INF])
any_event = st.tuples(
    st.sampled_from([TICK] * 12 + [GAP, HEARTBEAT, HEARTBEAT, CONTROL, CLOSED]),
    st.integers(-2, 3),
    times,
    st.tuples(values),
    st.integers(0, 1),
)
soon = st.tuples(
    st.sampled_from([TICK] * 8 + [GAP, HEARTBEAT]),
    st.integers(0, 2),
    st.integers(0, 900).map(at),
    st.tuples(values),
    st.just(0),
)
feeds = st.lists(st.one_of(soon, any_event), max_size=60)


@settings(max_examples=60)
@given(feeds, st.lists(st.integers(0, 60), max_size=8))
def test_blocks_of_any_size_and_snapshots_between_them_give_the_same_events(feed, cuts):
    events, whole = columns(feed, len(FOLDS)), resampler()
    expected = whole.fold(*events)
    edges = [0, *sorted(min(c, len(feed)) for c in cuts), len(feed)]
    parts, state = [], resampler().snapshot()
    for start, stop in pairwise(edges):
        part = resampler()
        part.restore(state)
        parts.append(part.fold(*(c[start:stop] for c in events)))
        state = part.snapshot()
    equal(joined(parts), expected)
    for name, array in whole.snapshot().items():
        np.testing.assert_array_equal(array, state[name], name)


@settings(max_examples=100)
@given(feeds)
def test_any_feed_folds_as_by_hand(feed):
    out, hand = fold(feed), ByHand(100 * MS)
    expected = [event for given_event in feed for event in hand.take(*given_event)]
    assert len(out.kind) == len(expected)
    for i, (*what, values) in enumerate(expected):
        assert [out.kind[i], out.stream[i], out.time[i], out.code[i]] == what
        np.testing.assert_array_equal(out.values[i], values)


class ByHand:
    """Fold as the rules read, over lists of ticks; give kind, stream, time, code."""

    def __init__(self, every):
        self.every = every
        self.opened, self.floor, self.empty, self.held = {}, {}, {}, {}
        self.late = {}

    def take(self, kind, stream, time, values, code):
        known = stream in self.floor
        first = self.floor[stream] * self.every if known else NO_TIME
        readable = not is_outside(time, first)
        about = sorted(self.opened) if stream == ALL_STREAMS else [stream]
        if kind == TICK and stream >= 0 and readable:
            if time < first:
                code = LATE
                before = self.late.setdefault(stream, [])
                before[:] = [*before, time] if before and time >= before[-1] else [time]
                if len(before) == RESTART:
                    return self.anew(stream, time, values)
            elif values[0] != INF:
                return self.tick(stream, time, values[0])
        closed = []
        for s in about:
            if kind == HEARTBEAT and readable:
                closed += self.close(s, time)
            if kind == GAP:
                self.opened.pop(s, None)
        return [*closed, (kind, stream, time, code, values * len(FOLDS))]

    def anew(self, s, time, values):
        """Begin a stream anew at a late tick."""
        self.opened.pop(s, None)
        self.late[s], self.floor[s] = [], time // self.every
        there = [(TICK, s, time, 0, values * len(FOLDS))] if values[0] == INF else []
        there = there or self.tick(s, time, values[0])
        return [(GAP, s, time, ANEW, (NAN,) * len(FOLDS)), *there]

    def tick(self, s, time, value):
        self.late[s] = []
        closed = list(self.close(s, time))
        if s not in self.opened:
            self.opened[s], self.floor[s] = [], time // self.every
        self.opened[s].append(value)
        self.empty[s] = 0
        if not np.isnan(value):
            self.held[s] = value
        return closed

    def close(self, s, time):
        while s in self.opened and (self.floor[s] + 1) * self.every <= time:
            ticks, silent = self.opened[s], time // self.every - self.floor[s]
            if not ticks and self.empty[s] + silent > MOST_EMPTY:
                self.floor[s] += silent
                del self.opened[s]
                yield GAP, s, time, silent, (NAN,) * len(FOLDS)
                return
            self.opened[s] = []
            self.floor[s] += 1
            self.empty[s] += not ticks
            values = [folded(how, ticks, self.held.get(s, NAN)) for how in FOLDS]
            yield TICK, s, self.floor[s] * self.every, 0, values


def folded(how, ticks, held):
    if how == "count":
        return len(ticks)
    known = [x for x in ticks if not np.isnan(x)]
    if not ticks:
        return 0 if how == "sum" else held
    if not known:
        return NAN
    return {
        "last": known[-1],
        "first": known[0],
        "min": min(known),
        "max": max(known),
        "sum": sum(known),
        "mean": sum(known) / len(known),
    }[how]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([0, 5_000]), st.integers(0, 300)), max_size=120)
)
def test_streams_whose_times_go_back_and_on_fold_as_by_hand(steps):
    feed, time = [], 0
    for back, step in steps:
        time += step - (back if not step % 7 else 0)
        feed.append(tick(time, float(step)))
    out, hand = fold(feed), ByHand(100 * MS)
    expected = [event for given_event in feed for event in hand.take(*given_event)]
    found = zip(out.kind, out.stream, out.time, out.code, strict=True)
    assert list(found) == [tuple(event[:4]) for event in expected]


def test_every_tick_exactly_at_the_start_of_a_bin_belongs_to_it():
    out = fold([tick(100, 1), tick(100, 2), tick(200, 4), tick(200, 8)], ("count",))
    assert rows(out) == [(TICK, 200, 2, 2)]
    assert not out.code.any()
