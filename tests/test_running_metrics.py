from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sfm_stream.errors import SinkError
from sfm_stream.records import Records
from sfm_stream.running import metrics
from sfm_stream.running.metrics import Fold, Scores, blocks, fold_scores
from sfm_stream.sinks import ParquetSink

STREAMS, TARGETS, HORIZONS = ("a", "b"), ("mid", "spread"), ("10", "1", "1s")
WARMUP = {"a": 30, "b": 70}


def random_scores(count, seed=0, targets=2, horizons=3):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=count).cumsum().round(1)
    covered = rng.integers(-1, 2, count).astype(np.int8)
    width = np.where(covered < 0, np.nan, rng.random(count))
    return {
        "seq": np.arange(count),
        "stream": rng.integers(0, 2, count).astype(np.int32),
        "target": rng.integers(0, targets, count).astype(np.int32),
        "horizon": rng.integers(0, horizons, count).astype(np.int32),
        "origin": np.arange(count) // 4,
        "time": np.arange(count) * 10**9,
        "truth": truth,
        "mean": truth + rng.normal(size=count),
        "naive": truth + rng.integers(-2, 3, count),
        "covered": covered,
        "winkler": width,
        "crps": width / 3,
    }


def store(folder, columns, targets=TARGETS, part_rows=97):
    tables = {"stream": STREAMS, "target": targets, "horizon": HORIZONS}
    sink = ParquetSink(folder, tables, part_rows=part_rows)
    sink.write(Records({"scores": columns}, tables))
    sink.close()


def expected(folder):
    """Compute the metrics in one lazy query over all parts."""
    error = pl.col("truth") - pl.col("mean")
    naive = pl.col("truth") - pl.col("naive")
    first = pl.when(pl.col("stream") == "a").then(30).otherwise(70)
    frame = (
        pl.scan_parquet(folder / "scores-*.parquet")
        .filter(pl.col("origin") >= first)
        .group_by(pl.col("target", "horizon").cast(pl.String))
        .agg(
            scored=pl.len(),
            mse=(error**2).mean(),
            mae=error.abs().mean(),
            naive_mse=(naive**2).mean(),
            naive_mae=naive.abs().mean(),
            coverage=pl.col("covered").mean(),
            winkler=pl.col("winkler").mean(),
            crps=pl.col("crps").mean(),
            sign=((pl.col("mean") - pl.col("naive")).sign() == naive.sign())
            .filter(naive != 0)
            .mean(),
        )
        .with_columns(skill=1 - pl.col("mse") / pl.col("naive_mse"))
        .collect()
    )
    return {(r.pop("target"), r.pop("horizon")): r for r in frame.to_dicts()}


def pooled(summary):
    """Leave out what is said of the streams one by one."""
    return {k: v for k, v in summary.items() if not k.startswith("skill_")}


@pytest.mark.parametrize("part_rows", [97, 100_000])
def test_metrics_equal_an_independent_computation(tmp_path, part_rows):
    store(tmp_path, random_scores(3_000), part_rows=part_rows)
    found = fold_scores(tmp_path, WARMUP, metrics.COMPARED)
    wanted = expected(tmp_path)
    for target in TARGETS:
        for horizon in HORIZONS:
            summary = pooled(found["targets"][target]["horizons"][horizon])
            assert summary == pytest.approx(wanted[target, horizon], rel=1e-12)
    for horizon in HORIZONS:
        both = [wanted[target, horizon] for target in TARGETS]
        mean = {name: (both[0][name] + both[1][name]) / 2 for name in both[0]}
        mean["scored"] *= 2
        assert pooled(found["horizons"][horizon]) == pytest.approx(mean, rel=1e-12)


def test_one_target_has_the_shape_of_the_design(tmp_path):
    store(tmp_path, random_scores(500, targets=1, horizons=2), TARGETS[:1])
    found = fold_scores(tmp_path, {})
    assert list(found) == ["horizons", "skills"]
    assert list(found["horizons"]) == ["10", "1", "1s"]
    names = {"scored", *metrics.METRICS, "skill", "skill_median", "skill_worst"}
    assert all(set(summary) == names for summary in found["horizons"].values())
    unscored = dict.fromkeys(names) | {"scored": 0}
    assert found["horizons"]["1s"] == unscored
    json.dumps(found, allow_nan=False)


def test_each_of_several_streams_is_summed_up_for_itself(tmp_path):
    columns = random_scores(900, targets=1, horizons=1)
    # One large stream must not decide what is said of all.
    large = columns["stream"] == 1
    for name in ("truth", "mean", "naive"):
        columns[name] = np.where(large, 1e6 * columns[name], columns[name])
    store(tmp_path, columns, TARGETS[:1])
    found = fold_scores(tmp_path, {})
    skills = {}
    for number, name in enumerate(STREAMS):
        own = columns["stream"] == number
        error, naive = (
            np.square(columns["truth"] - columns[k])[own].mean()
            for k in ("mean", "naive")
        )
        skills[name] = 1 - error / naive
    assert found["skills"]["10"] == pytest.approx(skills)
    summary = found["horizons"]["10"]
    assert summary["skill_median"] == pytest.approx(np.median(list(skills.values())))
    assert summary["skill_worst"] == pytest.approx(min(skills.values()))
    assert summary["skill"] == pytest.approx(skills[STREAMS[1]], abs=1e-6)


def test_streams_without_warmup_are_scored_from_their_first_tick(tmp_path):
    columns = random_scores(400, targets=1, horizons=1)
    store(tmp_path, columns, TARGETS[:1])
    late = int(((columns["stream"] == 1) & (columns["origin"] < 70)).sum())
    assert fold_scores(tmp_path, {})["horizons"]["10"]["scored"] == 400
    assert fold_scores(tmp_path, {"b": 70})["horizons"]["10"]["scored"] == 400 - late


def test_run_without_scores_has_no_metrics(tmp_path):
    assert fold_scores(tmp_path, {"a": 3}) == {"horizons": {}}
    assert blocks(tmp_path, {"a": 3}) == {}
    with pytest.raises(SinkError, match="expected a folder"):
        fold_scores(tmp_path / "absent", {})


def test_run_within_its_warmup_has_scored_nothing(tmp_path):
    store(tmp_path, random_scores(200))
    warmup = {"a": 10_000, "b": 10_000}
    found = fold_scores(tmp_path, warmup)
    assert found["horizons"]["1"]["scored"] == 0
    assert found["horizons"]["1"]["skill"] is None
    stretches = blocks(tmp_path, warmup, 5)["mid"]["1"]
    assert [s["scored"] for s in stretches] == [0] * 5


def scores(truth, mean, naive, covered=None):
    covered = [-1] * len(truth) if covered is None else covered
    floats = (np.array(column, np.float64) for column in (truth, mean, naive))
    nothing = np.full(len(covered), np.nan)
    return Scores(*floats, np.array(covered, np.int8), nothing, nothing)


def test_persistence_has_no_skill():
    fold = Fold()
    fold.add(scores([1, 3, 2], [0, 1, 3], [0, 1, 3]))
    assert fold.summary()["skill"] == 0


@pytest.mark.parametrize(("mean", "skill"), [(5, 0), (6, None)])
def test_target_that_never_moves_has_no_measure_of_skill(mean, skill):
    fold = Fold()
    fold.add(scores([5, 5], [mean, mean], [5, 5]))
    assert fold.summary()["skill"] == skill


def test_sign_counts_moves_only():
    fold = Fold(metrics.COMPARED)
    fold.add(scores([2, 0, 1, 3], [9, 9, 9, 1], [1, 1, 1, 1]))
    assert fold.summary()["sign"] == 1 / 3


def test_coverage_counts_intervals_only():
    fold = Fold()
    fold.add(scores([1] * 4, [1] * 4, [1] * 4, [1, 0, 1, -1]))
    assert fold.summary()["coverage"] == 2 / 3


def test_nan_is_not_hidden():
    fold = Fold()
    fold.add(scores([1, np.nan], [1, 1], [0, 0]))
    assert np.isnan(fold.summary()["mse"])


def test_figures_of_errors_too_large_to_square_are_none_and_the_others_stay():
    fold = Fold()
    fold.add(scores([1, 1e300, 2], [1, 1, 2], [1, 1, 1e300], [1, 0, 1]))
    found = fold.summary()
    assert found["mse"] is found["naive_mse"] is found["skill"] is None
    assert found["mae"] == pytest.approx(1e300 / 3)
    assert found["coverage"] == 2 / 3
    assert metrics.total(found, "mse") == np.inf


def test_added_metric_is_in_every_summary(tmp_path):
    store(tmp_path, random_scores(500))
    table = {**metrics.METRICS, "bias": lambda s: s.mean - s.truth}
    found = fold_scores(tmp_path, {}, table)
    frame = pl.read_parquet(tmp_path / "scores-*.parquet")
    frame = frame.filter(pl.col("target") == "mid", pl.col("horizon") == "1")
    bias = (frame["mean"] - frame["truth"]).mean()
    summary = found["targets"]["mid"]["horizons"]["1"]
    assert summary["bias"] == pytest.approx(bias, rel=1e-12)


columns = hnp.arrays(
    np.float64,
    st.shared(st.integers(0, 30), key="n"),
    elements=st.integers(-1_000, 1_000).map(float),  # their sums are exact
)


@settings(max_examples=30)
@given(columns, columns, columns, st.integers(0, 30))
def test_folding_in_pieces_equals_folding_at_once(truth, mean, naive, cut):
    covered = np.sign(truth).astype(np.int8)
    whole = Scores(truth, mean, naive, covered, np.abs(truth), np.abs(mean))
    once, twice = Fold(metrics.COMPARED), Fold(metrics.COMPARED)
    once.add(whole)
    for part in (slice(None, cut), slice(cut, None)):
        twice.add(Scores(*(column[part] for column in whole)))
    assert once.summary() == twice.summary()


def test_blocks_equal_an_independent_cut(tmp_path):
    count = 7
    stored = random_scores(2_000)
    store(tmp_path, stored)
    found = blocks(tmp_path, WARMUP, count)
    counted = stored["origin"] >= np.array([30, 70])[stored["stream"]]
    for t, target in enumerate(TARGETS):
        for h, horizon in enumerate(HORIZONS):
            pieces = [[] for _ in range(count)]
            for s in range(2):
                rows = np.flatnonzero(
                    counted & (stored["target"] == t) & (stored["horizon"] == h)
                    & (stored["stream"] == s)
                )  # fmt: skip
                for i, row in enumerate(rows.tolist()):
                    pieces[i * count // len(rows)].append(row)
            for summary, rows in zip(found[target][horizon], pieces, strict=True):
                part = {name: column[rows] for name, column in stored.items()}
                mse = np.mean((part["truth"] - part["mean"]) ** 2)
                naive = np.mean((part["truth"] - part["naive"]) ** 2)
                answers = part["covered"][part["covered"] >= 0]
                assert summary["scored"] == len(rows)
                assert summary["skill"] == pytest.approx(1 - mse / naive)
                assert summary["coverage"] == pytest.approx(answers.mean())


def test_blocks_of_fewer_scores_than_blocks_leave_some_empty(tmp_path):
    store(tmp_path, random_scores(3, targets=1, horizons=1), TARGETS[:1])
    found = blocks(tmp_path, {}, 20)["mid"]["10"]
    assert sum(summary["scored"] for summary in found) == 3
    assert len(found) == 20
