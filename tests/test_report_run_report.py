from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import open_feed
from sfm_stream import Run, cli
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.report import charts, page, run_report
from sfm_stream.report.run_report import content, curves, figures
from sfm_stream.running.replay import replay
from sfm_stream.storage import run_folder

TREE = {
    "feed": {"connector": "synthetic", "options": {"ticks": 600}},
    "target": {"horizons": [1, 5]},
    "run": {"warmup": 0.1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give the folder of a small run."""
    config = from_tree(TREE)
    place = tmp_path_factory.mktemp("runs") / "waves-001"
    replay(config, open_feed(config), place)
    return place


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    """Give the folder of a small run of three streams."""
    feed = {"connector": "synthetic", "options": {"ticks": 600, "series": 3}}
    config = from_tree(TREE | {"feed": feed, "stream": {"columns": "streams"}})
    place = tmp_path_factory.mktemp("runs") / "panel-001"
    replay(config, open_feed(config), place)
    return place


@pytest.fixture(scope="module")
def found(folder):
    return content.gather(run_folder.load(folder))


def test_figures_of_the_report_are_those_of_the_summary(folder, found):
    summary = json.loads((folder / run_folder.SUMMARY).read_text())
    assert [part["horizon"] for part in found["parts"]] == ["1", "5"]
    for part in found["parts"]:
        figures = summary["horizons"][part["horizon"]]
        assert part["scored"] == figures["scored"]
        assert part["skill"][0] == pytest.approx(figures["skill"])
        assert part["mae"] == pytest.approx(figures["mae"])
        assert part["coverage"] == pytest.approx(figures["coverage"], abs=1e-4)


def test_figures_of_many_streams_are_those_of_the_summary_and_name_their_number(panel):
    run = run_folder.load(panel)
    found, summary = content.gather(run), content.summary(run)
    assert found["about"]["streams"] == 3
    for part in found["parts"]:
        told = summary["horizons"][part["horizon"]]
        for name in ("scored", "mae", "skill_median", "skill_worst"):
            assert part[name] == pytest.approx(told[name])
        skill, low, high = part["skill"]
        assert low < skill < high
        assert skill == pytest.approx(told["skill"])
        told = f"median stream {told['skill_median']:.3f}; worst stream"
        assert told in part["verdict"]


def test_the_curves_of_many_streams_are_all_those_of_the_one_that_is_named(panel):
    run = run_folder.load(panel)
    found, target = content.gather(run), run.info["targets"][0]
    stream = found["about"]["stream"]
    scores = pl.read_parquet(panel / "records" / "scores-*.parquet").filter(
        pl.col("stream").cast(pl.String) == stream,
        pl.col("horizon").cast(pl.String) == "1",
    )
    counted = scores.filter(pl.col("origin") >= 60)
    curve = found["parts"][0]["curves"]["whole"]
    assert curve["truth"] == pytest.approx(counted["truth"].to_list(), rel=1e-6)
    _, amplitude = charts.amplitudes(run.records, stream, target)
    shades = np.array(found["spectrogram"]["shades"])
    assert len(shades) == len(amplitude) == 600
    title = charts.run_figure(panel).axes[0].get_title("left")
    assert title.startswith(f"{target} of {stream}, 1 ahead")


def test_a_notebook_shows_the_skill_over_streams_and_names_the_one_it_draws(panel):
    run = Run.load(panel)
    shown, figures = run._repr_html_(), run.summary["horizons"]["1"]
    assert "<th>skill</th><th>median stream</th><th>worst stream</th>" in shown
    assert f"<td>{figures['skill_worst']:.4g}</td>" in shown
    series = run.scores().select("target", "stream").first().collect().row(0)
    assert f"{series[0]} of {series[1]}, 1 ahead" in shown


def test_the_longest_stream_is_shown_and_of_equal_ones_the_first():
    streams = pl.DataFrame({"stream": ["b", "c", "a", "c", "b", "a"] * 9})
    assert charts.longest(streams) == "b"
    assert charts.longest(pl.concat([streams, streams[2:3]])) == "a"


def test_curves_hold_the_truth_beside_its_forecast_and_bounds(found):
    curve = found["parts"][0]["curves"]["whole"]
    assert len(set(map(len, curve.values()))) == 1
    inside = [
        lower <= mean <= upper
        for lower, mean, upper in zip(
            curve["lower"], curve["mean"], curve["upper"], strict=True
        )
        if lower is not None
    ]
    assert len(inside) > 100
    assert all(inside)


def test_the_worst_stretch_is_among_the_zooms(found):
    zooms = found["parts"][0]["curves"]["zooms"]
    assert set(zooms) == {
        "the first forecasts", "the worst stretch", "the last forecasts",
    }  # fmt: skip
    assert all(len(zoom["time"]) == curves.ZOOM for zoom in zooms.values())


def test_settings_that_differ_are_named_and_no_others(found):
    assert found["about"]["settings"] == {
        "feed.options.ticks": 600, "target.horizons": (1, 5), "run.warmup": 0.1,
    }  # fmt: skip


def test_the_command_of_a_report_makes_the_run_again(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Path("my runs") / "waves-001"
    shutil.copytree(folder, place)
    command = content.gather(run_folder.load(place))["about"]["again"]["command"]
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as exited:
        cli.main()
    assert exited.value.code == 0
    assert Run.last().scores().collect().equals(Run.load(place).scores().collect())


def test_the_report_of_a_live_run_gives_the_command_it_goes_on_with(folder, tmp_path):
    place = tmp_path / "live"
    shutil.copytree(folder, place)
    (place / "journal").mkdir()
    told = content.gather(run_folder.load(place))["about"]["again"]["command"]
    assert told == f"sfm-stream daemon {place}/config.toml --out {place}"


def test_the_command_of_a_warm_run_says_that_it_needs_another_run(folder, tmp_path):
    config = from_tree(TREE)
    warm = run_folder.load(folder)
    replay(config, open_feed(config), tmp_path / "warm", start=warm)
    told = content.gather(run_folder.load(tmp_path / "warm"))["about"]["again"]
    assert "--from RUN" in told["command"]


def test_weights_sum_to_one_at_every_moment(found):
    sums = np.sum(list(found["weights"]["experts"].values()), axis=0)
    np.testing.assert_allclose(sums, 1, atol=1e-3)


def test_a_report_is_one_file_that_asks_no_host(folder):
    path = run_report.write(run_folder.load(folder))
    text = path.read_text(encoding="utf-8")
    assert path == folder / "report.html"
    data = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data[1].replace("<\\/", "</"))["about"]["name"] == "waves-001"
    loads = re.findall(r'(?:src|href)="([^"#][^"]*)"|url\(([^)]*)\)|@import', text)
    assert loads == []


def test_a_report_into_a_folder_is_report_html_there(folder, tmp_path):
    path = run_report.write(run_folder.load(folder), tmp_path)
    assert path == tmp_path / "report.html"
    assert path.exists()


def test_a_picture_below_a_file_is_refused_and_says_why(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="a file stands there, or above it"):
        charts.draw_run(folder, tmp_path / "file" / "picture.png")


def test_a_name_cannot_end_the_script_it_stands_in():
    name = "</script><b>"
    text = page.assemble(name, {"name": name}, "")
    assert text.count("</script>") == 3
    assert "<title>&lt;/script&gt;&lt;b&gt;</title>" in text


def test_a_run_without_scores_is_refused(tmp_path):
    config = from_tree(TREE | {"feed": {"options": {"ticks": 2}}, "run": {"warmup": 9}})
    replay(config, open_feed(config), tmp_path / "short")
    with pytest.raises(SinkError, match="expected scores, was none"):
        run_report.write(run_folder.load(tmp_path / "short"))


def test_a_run_that_took_no_tick_is_told_so_and_not_to_run_on(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "idle")
    for path in (tmp_path / "idle/records").iterdir():
        path.unlink()
    path = tmp_path / "idle" / run_folder.SUMMARY
    told = {"ticks": 0, "remarks": [], "account": {"causes": ["feed.time is wrong"]}}
    path.write_text(json.dumps(told))
    with pytest.raises(SinkError, match="was none; no tick was taken; feed"):
        content.gather(run_folder.load(tmp_path / "idle"))


def test_a_run_without_scores_gives_empty_tables_with_the_columns(folder, tmp_path):
    config = from_tree(TREE | {"feed": {"options": {"ticks": 1}}})
    replay(config, open_feed(config), tmp_path / "short")
    run, usual = Run.load(tmp_path / "short"), Run.load(folder)
    assert run.scores().collect().height == 0
    assert run.scores().collect_schema() == usual.scores().collect_schema()
    assert run.forecasts().collect().height == 2
    assert "<table>" in run._repr_html_()
    for path in (tmp_path / "short" / "records").glob("forecasts-*"):
        path.unlink()
    assert run.forecasts().collect_schema() == usual.forecasts().collect_schema()


def test_a_report_of_records_without_forecasts_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "some")
    for path in (tmp_path / "some" / "records").glob("forecasts-*"):
        path.unlink()
    run = Run.load(tmp_path / "some")
    for call in (run.report, run.plot):
        with pytest.raises(SinkError, match="expected forecasts, was none"):
            call()


def test_a_value_too_large_to_square_costs_what_it_decides_alone(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "huge")
    (path,) = (tmp_path / "huge" / "records").glob("scores-*.parquet")
    number = pl.int_range(pl.len())
    huge = pl.when(number == 300).then(1e300).otherwise("truth").alias("truth")
    pl.read_parquet(path).with_columns(huge).write_parquet(path)
    found = content.gather(run_folder.load(tmp_path / "huge"))
    touched, other = sorted(found["parts"], key=lambda part: part["skill"] is not None)
    assert touched["mae"] > 1e290
    assert 0 < touched["coverage"] < 1
    assert "too large to square" in touched["verdict"]
    rolling = touched["curves"]["over_time"]["rolling skill"]
    assert None in rolling[50:]
    assert rolling[-1] is not None
    assert other["skill"]
    assert run_report.write(run_folder.load(tmp_path / "huge")).exists()


def test_a_run_in_python_has_figures_frames_pictures_and_a_report(folder, tmp_path):
    run = Run.load(folder)
    assert run.summary["ticks"] == 600
    assert run.forecasts().select("mean").collect().height == 1_200
    assert run.scores().collect()["covered"].null_count() < 600
    assert len(run.plot().axes) >= 2
    assert run.report(tmp_path / "r.html").read_text()[:15] == "<!doctype html>"
    shown = run._repr_html_()
    assert "<svg" in shown
    assert "<td>5</td>" in shown


def test_the_last_run_is_the_one_begun_last(folder):
    assert Run.last(folder.parent).folder == folder
    with pytest.raises(ConfigError, match="expected runs, was none"):
        Run.last(Path("nowhere"))


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400),
    st.integers(1, 40),
)
def test_extremes_keep_the_least_and_the_greatest_value(values, buckets):
    values = np.array(values)
    rows = curves.extremes(values, buckets)
    assert len(rows) <= max(2 * buckets, 1)
    assert values[rows].min() == values.min()
    assert values[rows].max() == values.max()
    assert np.all(np.diff(rows) > 0)


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.integers(1, 70))
def test_rolling_averages_are_those_of_the_last_values(values, width):
    found = curves.rolling(np.array(values), width)
    expected = [
        np.mean(values[max(0, i + 1 - width) : i + 1]) for i in range(len(values))
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_interval_of_skill_holds_it_and_is_the_same_again():
    random = np.random.default_rng(1)
    naive, squared = random.exponential(2, 5_000), random.exponential(1, 5_000)
    skill, low, high = figures.skill_interval(squared, naive)
    assert low < skill < high
    assert (skill, low, high) == figures.skill_interval(squared, naive)
    assert figures.skill_interval(squared[:5], naive[:5]) is None
    assert figures.skill_interval(squared, np.zeros(5_000)) is None


def test_a_report_goes_over_a_report_and_over_no_other_file(tmp_path):
    path = tmp_path / "report.html"
    script = ("report.js", "a run", {}, path)
    for _ in range(2):
        page.write(run_report.__name__, *script)
    path.write_text(other := "<!doctype html>\n<title>mine</title>")
    with pytest.raises(SinkError, match="or no file, was another file; move it away"):
        page.write(run_report.__name__, *script)
    assert path.read_text() == other
