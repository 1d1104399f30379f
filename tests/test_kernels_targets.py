"""Forecasts meet the truth they named, and nothing comes from the future."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sfm_stream.kernels.experts.mature import VOID_CROWDED, VOID_GAP
from sfm_stream.state.places import TICKS
from tests.kernels_rig import (
    LEARN,
    OBSERVE,
    PEEK,
    SECOND,
    START,
    Rig,
    gap,
    heartbeat,
    irregular,
    join,
    ticks,
    tones,
)

ORIGIN = 3
TRUTH, MEAN, NAIVE = range(3)
PERSISTENCE = {"forecast": {"experts": ["last"]}}


def persistence(horizons, **sections):
    return Rig({**PERSISTENCE, "target": {"horizons": horizons}, **sections})


@pytest.mark.parametrize("predict", ["change", "log-return", "level"])
def test_persistence_on_a_ramp_errs_by_exactly_its_horizon(predict):
    horizons = [1, 3, 10]
    r = Rig({**PERSISTENCE, "target": {"horizons": horizons, "predict": predict}})
    said = r.run(ticks(100.0 + np.arange(200)))
    for q, horizon in enumerate(horizons):
        mine = said.scores[:, 2] == q
        assert mine.sum() == 200 - horizon
        truth, mean, naive = said.score_numbers[mine, :3].T
        np.testing.assert_allclose(truth - mean, horizon, atol=1e-9)
        np.testing.assert_array_equal(truth - naive, horizon)


def frame(said, q):
    """Give the scores of a horizon by origin."""
    mine = said.scores[:, 2] == q
    numbers = said.score_numbers[mine]
    return pl.DataFrame({
        "origin": said.scores[mine, ORIGIN],
        "truth": numbers[:, TRUTH],
        "mean": numbers[:, MEAN],
        "naive": numbers[:, NAIVE],
    }).sort("origin")  # fmt: skip


def test_scores_equal_an_independent_shift():
    horizons, y = [1, 4, 9], tones(150)
    r = Rig({"target": {"horizons": horizons}})
    said = r.run(ticks(y))
    table = pl.DataFrame({"y": y}).with_row_index("origin")
    for q, horizon in enumerate(horizons):
        mine = said.forecasts[:, 2] == q
        expected = table.with_columns(
            origin=pl.col("origin").cast(pl.Int64),
            truth=pl.col("y").shift(-horizon),
            mean=pl.Series(said.forecast_numbers[mine, 0]),
        ).drop_nulls()
        scored = frame(said, q)
        assert scored["origin"].to_list() == expected["origin"].to_list()
        for column, other in (("truth", "truth"), ("mean", "mean"), ("naive", "y")):
            assert scored[column].to_list() == expected[other].to_list()


def test_forecast_names_its_origin_and_due():
    r = Rig({"target": {"horizons": [2, "3s"]}})
    said = r.run(ticks(tones(5)))
    # seq, row, horizon, origin, time, due
    assert said.forecasts[-2:].tolist() == [
        [4, 0, 0, 4, START + 4 * SECOND, 6],
        [4, 0, 1, 4, START + 4 * SECOND, START + 7 * SECOND],
    ]


@pytest.mark.parametrize("horizon", ["1ms", "700ms", "1s", "5s"])
def test_horizon_in_time_is_settled_by_the_last_tick_at_or_before_it(horizon):
    ns = {"1ms": 10**6, "700ms": 7 * 10**8, "1s": SECOND, "5s": 5 * SECOND}[horizon]
    count = 300
    # Whole hundreds of ms: many ticks share a time, many fall on a due.
    at = START + 10**8 * np.cumsum(np.random.default_rng(0).integers(0, 12, count))
    assert (np.diff(at) == 0).sum() > 10
    y = tones(count)
    said = persistence([horizon]).run(ticks(y, at))
    table = pl.DataFrame({"time": at, "y": y})
    expected = (
        table.with_row_index("origin")
        .with_columns(due=pl.col("time") + ns)
        .sort("due")
        .join_asof(table.rename({"y": "truth"}), left_on="due", right_on="time",
                   strategy="backward")
        .filter(pl.col("due") < at[-1])
        .sort("origin")
    )  # fmt: skip
    scored = frame(said, 0)
    assert scored["origin"].to_list() == expected["origin"].to_list()
    assert scored["truth"].to_list() == expected["truth"].to_list()
    assert scored["naive"].to_list() == expected["y"].to_list()


def test_heartbeat_settles_what_is_due_before_it_and_no_more():
    r = persistence(["2s", 1])
    r.run(ticks([1.0, 2.0, 4.0]))
    # Origins 0 and 1 wait for 2 s and 3 s, origin 2 for 4 s.
    said = r.run(heartbeat(START + 3 * SECOND))
    assert said.scores[:, 2:4].tolist() == [[0, 0]]
    assert said.score_numbers[0, TRUTH] == 4.0
    said = r.run(heartbeat(START + 4 * SECOND + 1))
    assert said.scores[:, 2:4].tolist() == [[0, 1], [0, 2]]
    assert said.score_numbers[:, TRUTH].tolist() == [4.0, 4.0]


def test_gap_voids_what_waits_and_scores_nothing_across():
    r = persistence([3])
    late = START + SECOND * np.arange(20, 30)
    said = r.run(
        join(
            ticks(np.arange(10.0)), gap(START + 15 * SECOND), ticks(np.zeros(10), late)
        )
    )
    voided = said.notices[said.notices[:, 0] == 1]
    assert voided[:, 4:].tolist() == [[i, VOID_GAP] for i in (7, 8, 9)]
    assert said.scores[:, ORIGIN].tolist() == [*range(7), *range(10, 17)]


def test_forecasts_beyond_max_pending_are_voided():
    r = persistence(["1000s"], learn={"max_pending": 8})
    said = r.run(ticks(np.arange(20.0)))
    voided = said.notices[said.notices[:, 0] == 1]
    assert set(voided[:, 5]) == {VOID_CROWDED}
    assert voided[:, 4].tolist() == list(range(len(voided)))
    assert 20 - len(voided) <= 8 + 1


def test_later_ticks_never_change_earlier_records():
    y = tones(200)
    other = y.copy()
    other[120:] = 1e6 * np.random.default_rng(5).standard_normal(80)
    one, two = (
        Rig({"target": {"horizons": [1, 5]}}),
        Rig({"target": {"horizons": [1, 5]}}),
    )
    first, second = one.run(ticks(y)), two.run(ticks(other))
    early = first.forecasts[:, 0] < 120
    assert early.sum() == 240
    np.testing.assert_array_equal(
        first.forecast_numbers[early], second.forecast_numbers[early]
    )
    early = first.scores[:, 0] < 120
    np.testing.assert_array_equal(
        first.score_numbers[early], second.score_numbers[early]
    )


def test_blocks_of_any_length_and_single_ticks_say_the_same_bits():
    events = join(ticks(tones(130)), gap(START + 140 * SECOND),
                  ticks(tones(130), START + SECOND * np.arange(150, 280)))  # fmt: skip
    tree = {"model": {"cell": "a-sfm"}, "target": {"horizons": [1, 7, "3s"]}}
    whole = Rig(tree).run(events)
    for width in (1, 17):
        r, parts = Rig(tree), []
        for i in range(0, len(events.kind), width):
            stop = min(i + width, len(events.kind))
            if width == 1:
                parts += [
                    r.run(events, OBSERVE, i, stop),
                    r.run(events, LEARN, i, stop),
                ]
            else:
                parts.append(r.run(events, OBSERVE + LEARN, i, stop))
        for records, pieces in zip(whole, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(records, np.concatenate(pieces))


def state(r):
    """Copy all arrays but the slot of the ring that a peek may write."""
    kept = r.bank.snapshot()
    ring = r.sizes.ring
    for place in r.bank.layout.places:
        if place.shape and place.shape[0] == ring:
            kept[place.name] = kept[place.name][:, : ring - 1]
    return kept


@pytest.mark.parametrize("tree", [
    {"target": {"horizons": [60]}},
    {"target": {"horizons": ["60s"]}, "stream": {"clock": "time"}},
    {"target": {"horizons": [60]}, "model": {"cell": "a-sfm"}},
])  # fmt: skip
def test_peek_says_the_next_forecast_where_the_tick_settles_nothing(tree):
    r = Rig(tree)
    events = ticks(tones(100), irregular(100, most=1_000))
    for stop in (1, 2, 40, 59):
        first = int(r.view("counters")[TICKS])
        r.run(events, start=first, stop=stop)
        before = state(r)
        peeked = r.run(events, PEEK, stop, stop + 1)
        for name, array in state(r).items():
            np.testing.assert_array_equal(array, before[name], name)
        assert len(peeked.scores) == len(peeked.notices) == 0
        said = r.run(events, OBSERVE, stop, stop + 1)
        np.testing.assert_array_equal(peeked.forecasts, said.forecasts)
        np.testing.assert_array_equal(peeked.forecast_numbers, said.forecast_numbers)
        r.run(events, LEARN, stop, stop + 1)


def test_peek_says_the_next_forecast_after_a_heartbeat_settled_what_was_due():
    r = Rig({"target": {"horizons": ["2s", "5s"]}})
    y, at = tones(80), irregular(80)
    r.run(ticks(y, at), stop=1)
    for stop in range(1, 80):
        r.run(heartbeat(at[stop]))
        peeked = r.run(ticks(y, at), PEEK, stop, stop + 1)
        said = r.run(ticks(y, at), OBSERVE, stop, stop + 1)
        np.testing.assert_array_equal(peeked.forecast_numbers, said.forecast_numbers)
        r.run(ticks(y, at), LEARN, stop, stop + 1)


def test_peeking_any_number_of_times_changes_no_later_record():
    events = join(ticks(tones(90)), gap(START + 95 * SECOND),
                  ticks(tones(60), START + SECOND * np.arange(100, 160)))  # fmt: skip
    quiet, curious = Rig(), Rig()
    expected, parts = quiet.run(events), []
    for i in range(len(events.kind)):
        if events.kind[i] == 0:
            curious.run(events, PEEK, i, i + 1)
            curious.run(events, PEEK, i, i + 1)
        parts.append(curious.run(events, OBSERVE + LEARN, i, i + 1))
    for records, pieces in zip(expected, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(records, np.concatenate(pieces))
