from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import FeedError
from sfm_stream.evaluate import contest
from sfm_stream.evaluate.sweep import part, ranking
from sfm_stream.running import judgement
from sfm_stream.running.replay import replay

BEGIN, COUNT = 1_700_000_000, 120


def config_of(
    folder,
    *,
    huge=(),
    targets=("a",),
    horizons=(1, 5),
    warmup=10,
    pending=4096,
    **stream,
):
    """Give the settings of a file of two fields, with some huge values of the first."""
    path = folder / "a.csv"
    rows = [
        f"{BEGIN + i},{1e300 if i in huge else i % 7},{i % 5}" for i in range(COUNT)
    ]
    path.write_text("\n".join(["time,a,b", *rows, ""]))
    return from_tree({
        "feed": {"connector": "csv", "path": str(path)},
        "target": {"values": list(targets), "horizons": list(horizons)},
        "model": {"states": 4, "frequencies": 2},
        "learn": {"max_pending": pending},
        "stream": stream, "run": {"warmup": warmup},
    })  # fmt: skip


def remarks(folder, **given):
    config = config_of(folder, **given)
    return replay(config, open_feed(config), folder / "run")["remarks"]


def test_a_run_with_all_figures_is_told_nothing(tmp_path):
    assert remarks(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"warmup": 999},
         ["no score of a 1 ahead; of 120 forecasts: 119 within run.warmup = 999, "
          "1 not due before the end",
          "no score of a 5 ahead; of 120 forecasts: 115 within run.warmup = 999, "
          "5 not due before the end"]),
        ({"horizons": (1, "365d")},
         ["no score of a 365d ahead; of 120 forecasts: 120 not due before the end"]),
        ({"max_gap": "1ms"},
         ["no score of a 1 ahead, a 5 ahead; of 120 forecasts: "
          "119 voided: gap (stream.max_gap = 1ms), 1 not due before the end"]),
    ],
    ids=["warm-up", "end", "gaps"],
)  # fmt: skip
def test_what_has_no_score_is_told_with_its_reason(tmp_path, given, expected):
    assert remarks(tmp_path, **given) == expected


def test_values_too_large_to_square_are_counted_once_each(tmp_path):
    (told,) = remarks(tmp_path, huge=(50, 70), targets=("a", "b"))
    assert told.startswith(
        "no mean square and no skill of a; too large to square: 2 values"
    )
    assert "first at 2023-11-14T22:14:10.000Z" in told


def test_a_value_that_is_only_forecast_from_is_told_as_errors(tmp_path):
    (told,) = remarks(tmp_path, huge=(0,), horizons=(1,), warmup=0)
    assert "too large to square: 1 error" in told


def test_forecasts_that_could_not_wait_are_told_with_their_share_and_the_cure(tmp_path):
    config = config_of(tmp_path, horizons=(1, "20s"), pending=32)
    burst = [(BEGIN + (i if i < 60 else 60 + (i - 60) / 10), i % 7) for i in range(120)]
    rows = [f"{at},{value},1" for at, value in burst]
    (tmp_path / "a.csv").write_text("\n".join(["time,a,b", *rows, ""]))
    (told,) = replay(config, open_feed(config), tmp_path / "run")["remarks"]
    assert told == (
        "46 of 120 forecasts (38%) of a 20s ahead were thrown away: too many waited "
        "for their truth; raise learn.max_pending (= 32)"
    )


def test_where_all_forecasts_were_thrown_away_the_cure_is_named_too(tmp_path):
    (told,) = remarks(tmp_path, horizons=("110s",), pending=8)
    assert "voided: too many pending (learn.max_pending = 8)" in told


@pytest.mark.parametrize("size", [1e-155, 1e-310])
def test_values_too_small_to_square_are_told(tmp_path, size):
    path = tmp_path / "a.csv"
    config = config_of(tmp_path, horizons=(1,))
    rows = [f"{BEGIN + i},{i % 7 * size!r},1" for i in range(COUNT)]
    path.write_text("\n".join(["time,a,b", *rows, ""]))
    (told,) = replay(config, open_feed(config), tmp_path / "run")["remarks"]
    assert "figures of a 1 ahead mean nothing: its errors, at most" in told


def test_a_horizon_that_no_tick_comes_within_is_told(tmp_path):
    (told,) = remarks(tmp_path, horizons=(1, "1ms"))
    assert "figures of a 1ms ahead mean nothing: no tick came so soon" in told


def test_streams_that_end_within_the_warm_up_are_named(tmp_path):
    config = config_of(tmp_path, horizons=(1,))
    feed = replace(config.feed, symbol="s")
    rows = [
        f"{BEGIN + i},{i % 7},1,{s}" for s in "uv" for i in range(5 if s == "u" else 90)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["time,a,b,s", *rows, ""]))
    config = replace(config, feed=feed)
    (told,) = replay(config, open_feed(config), tmp_path / "run")["remarks"]
    assert told == (
        "no score of 1 of 2 streams, u: they have no more ticks than run.warmup = 10"
    )


def test_a_constant_target_is_told_nothing(tmp_path):
    config = config_of(tmp_path, horizons=(1, "1ms"))
    rows = [f"{BEGIN + i},3,{i}" for i in range(COUNT)]
    (tmp_path / "a.csv").write_text("\n".join(["time,a,b", *rows, ""]))
    assert replay(config, open_feed(config), tmp_path / "run")["remarks"] == []


@pytest.mark.parametrize("given", [{"max_gap": "1ms"}, {"huge": (60,)}])
def test_peers_have_the_remarks_of_our_own(tmp_path, given):
    config = config_of(tmp_path, **given)
    ours = replay(config, open_feed(config), tmp_path / "run")["remarks"]
    assert len(ours) == 1
    for model in ("last", "rls", "lstm", "no-cell"):
        folder = tmp_path / model
        found = contest.measure(config, open_feed, model, folder, contest.KEPT)
        assert found["remarks"] == ours


def test_a_bin_that_never_ends_is_told_with_the_rows_there_were(tmp_path):
    config = config_of(tmp_path, every="1h")
    found = replay(config, open_feed(config), tmp_path / "run")
    assert found["remarks"] == []
    with pytest.raises(FeedError, match=r"expected ticks.*120 events.*every = 1h"):
        judgement.refuse(found["account"], "run", strict=False)
    for model in ("last", "sfm"):
        folder = tmp_path / model
        found = contest.measure(config, open_feed, model, folder, contest.KEPT)
        assert "stream.every = 1h" in found["account"]["causes"][0]


def test_points_of_a_sweep_share_what_is_told_of_them(tmp_path):
    short, idle = config_of(tmp_path, warmup=999), config_of(tmp_path, every="1h")
    few = part.measure([config_of(tmp_path, warmup=999, horizons=(1,))], open_feed)
    results = [*few, *few, *part.measure([idle], open_feed)]
    results = json.loads(json.dumps(results))
    told = ranking.remarks([("a",), ("b",), ("c",)], results)
    assert told[0].startswith("a, b: no score of a 1 ahead; of 120 forecasts: 119")
    assert told[1].startswith("c: no tick; 120 events ended no bin")
    (same, _) = ranking.remarks([("a",)], part.measure([short], open_feed))
    assert same.startswith("no score of a 1 ahead")
