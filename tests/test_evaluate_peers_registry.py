from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.errors import ConfigError
from sfm_stream.evaluate import contest
from sfm_stream.evaluate.peers import recurrent, registry
from sfm_stream.evaluate.peers.scaling import Regressors, Task
from sfm_stream.evaluate.peers.simple import LeastSquares
from sfm_stream.evaluate.referee import Seen
from sfm_stream.events import Block

GOLD = Path(__file__).parents[2] / "shared/data/fx_ticks/oanda_xauusd_0501_0509.parquet"
START, SECOND = 1_600_000_000 * 10**9, 10**9
TICKS, CUT = 160, 110
EVERYONE = (*registry.ENGINES, *registry.PEERS)


def config_of(**target):
    return from_tree({
        "target": {"values": ["a"], "horizons": [1, 3], **target},
        "model": {"states": 3, "frequencies": 2, "outputs": 3},
        "learn": {"window": 16, "every": 8},
        "run": {"warmup": 20, "block": 64},
    })  # fmt: skip


class Walk:
    """A feed of two fields whose ticks from `CUT` on may be other ones."""

    fields = ("a", "b")

    def __init__(self, future):
        self.values = np.random.default_rng(0).normal(size=(TICKS, 2)).cumsum(0)
        self.values[CUT:] = self.values[CUT:][::-1] * future

    def blocks(self, size, after=0):
        time = START + np.arange(TICKS) * SECOND
        for i in range(after, TICKS, size):
            part = slice(i, i + size)
            yield Block.ticks(time[part], self.values[part], streams=("s",))


def scores(model, future, folder):
    contest.measure(config_of(), lambda _: Walk(future), model, folder, ("scores",))
    return pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("scores-*"))])


@pytest.mark.parametrize("model", EVERYONE)
def test_another_future_changes_no_forecast_made_before_it(model, tmp_path):
    one, other = (scores(model, f, tmp_path / str(f)) for f in (1.0, 5.0))
    keys = ["horizon", "origin"]
    pairs = one.join(other, on=keys)
    past = pairs.filter(pl.col("origin") < CUT)
    assert len(past) == 2 * CUT
    np.testing.assert_array_equal(past["mean"], past["mean_right"])
    later = pairs.filter(pl.col("origin") >= CUT)
    assert (later["mean"] != later["mean_right"]).any()


@pytest.mark.parametrize("model", ["sfm", "last", "rls"])
def test_figures_have_the_shape_that_is_fixed(model, tmp_path):
    found = contest.measure(
        config_of(values=["a", "b"]), lambda _: Walk(1.0), model, tmp_path, ("scores",)
    )
    assert set(found) == {
        "horizons", "targets", "ticks_per_s", "p50_us", "p99_us", "peak_rss_mib",
        "account", "remarks", "stretches",
    }  # fmt: skip
    assert set(found["targets"]) == {"a", "b"}
    assert set(found["horizons"]["3"]) == {
        "mse", "mae", "coverage", "skill", "sign", "block_median", "block_q10",
        "winkler", "crps", "naive_mae",
    }  # fmt: skip
    if model == "last":
        assert found["horizons"]["1"]["skill"] == 0


def test_least_squares_finds_what_linear_algebra_finds():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 4)), random.normal(size=60)
    fit = LeastSquares(2, 4, 1.0)
    for row, label in zip(x, y, strict=True):
        fit.learn(np.array([1]), np.array([0]), row[None], np.array([label]))
    ridge = np.linalg.solve(x.T @ x + np.eye(4), x.T @ y)
    np.testing.assert_allclose(fit.predict(0, x[0]), [0, x[0] @ ridge])


def test_regressors_are_own_moves_newest_first_and_bounded():
    task = Task(0, 1, np.array([1]), 1, 100, config_of())
    regressors = Regressors(task, 3, rest=False)
    for i, value in enumerate((0.0, 1.0, 3.0, 1e9)):
        x = regressors.take(Seen(0, i, 0, np.array([value]), i == 0))
    assert x[0] == 8
    assert x[-1] == 1
    assert 0 < x[2] < x[1] < 8


def test_peers_of_all_fields_read_the_clock_as_we_do():
    task = Task(0, 1, np.array([1]), 4, 100, config_of())
    six = 6 * 3600 * SECOND
    x = Regressors(task, 0, rest=True).take(Seen(0, 0, six, np.zeros(1), True))
    assert x[-4:] == pytest.approx(np.sqrt(2.0) * np.array([1, 0, 0, -1]))


def test_a_recurrent_layer_has_as_many_weights_as_ours():
    units = recurrent.width(4, 6, 2, 3_000)
    count = 4 * units * (6 + units + 2) + 2 * (units + 1)
    assert abs(count - 3_000) < 200


def test_a_horizon_in_time_has_no_place_on_a_path(tmp_path):
    config = config_of(horizons=["2s"])
    with pytest.raises(ConfigError, match="snarimax forecasts ticks"):
        contest.measure(config, lambda _: Walk(1.0), "snarimax", tmp_path, ("scores",))


def test_an_unknown_model_is_named():
    with pytest.raises(ConfigError, match="did you mean 'lstm'"):
        registry.check(["lstn"])


@pytest.mark.skipif(not GOLD.exists(), reason="the shared data sets are not here")
def test_golds_moves_in_another_order_are_not_forecast():
    seconds = pl.read_parquet(GOLD, columns=["t_100ns", "bid_pt", "ask_pt"]).with_columns(
        pl.col("t_100ns") // 10_000_000
    )  # fmt: skip
    last = seconds.group_by("t_100ns", maintain_order=True).last().head(120_000)
    quotes = last.select("bid_pt", "ask_pt").to_numpy().astype(float)
    moves = np.random.default_rng(0).permutation(np.diff(quotes, axis=0))
    shuffled = quotes[0] + np.concatenate([np.zeros((1, 2)), moves]).cumsum(0)
    engine = Engine(from_tree({"target": {"values": ["mid"]}}), ["bid", "ask"])
    time = last["t_100ns"].to_numpy() * SECOND
    said = engine.run(Block.ticks(time, shuffled, streams=("gold",)))
    scores = {k: column[6_000:] for k, column in said.columns["scores"].items()}
    mse, naive = (
        np.square(scores["truth"] - scores[k]).mean() for k in ("mean", "naive")
    )
    assert abs(1.0 - mse / naive) < 0.002
