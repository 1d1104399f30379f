from __future__ import annotations

from glob import glob
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from connectors import open_feed
from sfm_stream import config
from sfm_stream.cli.options import load
from sfm_stream.errors import ConfigError, SinkError
from sfm_stream.evaluate import results, suite, workers

FOLDER = Path(__file__).parents[1] / "configs" / "benchmarks"
CONFIG = """
[feed]
connector = "csv"
path = "one.csv"
[target]
values = ["a"]
[run]
warmup = 5
"""
SUITE = """
[[set]]
name = "x"
title = "X"
measure = "mse"
train = 20
best = 0.5
source = "nobody"
files = ["*.csv"]
"""


@pytest.fixture
def place(tmp_path):
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        frame = pl.DataFrame({"a": random.normal(size=80).cumsum()})
        frame.write_csv(tmp_path / f"{name}.csv")
    (tmp_path / "x.toml").write_text(CONFIG)
    (tmp_path / "suite.toml").write_text(SUITE)
    return tmp_path


def carried_out(place, said, overrides=()):
    def load(path, given):
        return config.load(path, [f'feed.path="{place}/one.csv"', *given])

    source = suite.Source(load, open_feed)
    with workers.processes(1) as pool:
        return suite.carry_out(
            place, suite.read(place), ["last", "mean"], source, place / "out", pool,
            overrides=overrides, say=said.append,
        )  # fmt: skip


def test_rows_that_no_model_took_are_told(place):
    for name, old in (("one", 30), ("two", 0)):
        frame = pl.read_csv(place / f"{name}.csv")
        years = [1800] * old + [2010] * (80 - old)
        days = [f"{year}-01-01T00:{i % 60:02}:00" for i, year in enumerate(years)]
        frame = frame.with_columns(pl.Series("date", sorted(days)))
        frame.write_csv(place / f"{name}.csv")
    carried_out(place, said := [])
    loud = [line for line in said if "WARNING" in line]
    assert len(loud) == 2
    assert loud[0].startswith("x, one, last: WARNING: 30 of 80 rows were not taken")


@pytest.mark.parametrize("name", [one.name for one in suite.read(FOLDER)])
def test_the_first_rows_of_every_set_are_taken(name):
    settings = load(FOLDER / f"{name}.toml", [])
    path = Path(str(settings.feed.path))
    if not glob(str(path)):  # noqa: PTH207 folders may be patterns too
        pytest.skip(f"{path.name} is not there")
    feed = open_feed(settings)
    first = next(feed.blocks(100))
    years = (
        first.time.astype("datetime64[ns]").astype("datetime64[Y]").astype(int) + 1970
    )
    assert years.min() >= 2000
    assert years.max() <= 2100


def test_z_scores_are_taken_with_the_training_rows_and_results_are_kept(
    place, monkeypatch
):
    said = []
    found = carried_out(place, said)
    assert len(said) == 2
    for name in ("one", "two"):
        values = pl.read_csv(place / f"{name}.csv")["a"].to_numpy()
        expected = np.mean(np.diff(values)[5:] ** 2) / np.var(values[:20])
        assert found["x"]["last"]["values"][name] == pytest.approx(expected)
    monkeypatch.setattr(suite, "_measure", None)  # nothing is measured again
    assert carried_out(place, []) == found
    with pytest.raises(Exception, match="callable"):
        carried_out(place, [], ["run.warmup=6"])


def test_a_set_without_scores_has_no_figure(place):
    said = []
    found = carried_out(place, said, ["run.warmup=80"])
    assert found["x"]["last"]["values"] == {"one": None, "two": None}
    assert "-" in said[0]


def test_a_file_shorter_than_the_training_rows_is_judged_by_all_of_it(place):
    (place / "suite.toml").write_text(SUITE.replace("train = 20", "train = 5_000"))
    found = carried_out(place, [])
    values = pl.read_csv(place / "one.csv")["a"].to_numpy()
    expected = np.mean(np.diff(values)[5:] ** 2) / np.var(values)
    assert found["x"]["last"]["values"]["one"] == pytest.approx(expected)


def test_a_target_that_never_moves_has_no_z_score(place):
    for name in ("one", "two"):
        pl.DataFrame({"a": [1.5] * 80}).write_csv(place / f"{name}.csv")
    found = carried_out(place, [])
    assert found["x"]["last"]["value"] is None


def test_optional_set_is_left_out_where_its_file_is_absent(place):
    absent = SUITE.replace('"x"', '"y"').replace('files = ["*.csv"]', "optional = true")
    (place / "suite.toml").write_text(SUITE + absent)
    (place / "y.toml").write_text(CONFIG.replace("one.csv", "nowhere.csv"))
    said = []
    source = suite.Source(config.load, open_feed)
    with workers.processes(1) as pool:
        found = suite.carry_out(
            place, suite.read(place, ["y"]), ["last"], source, place / "out", pool,
            say=said.append,
        )  # fmt: skip
    assert found == {}
    assert said == ["y            left out: nowhere.csv is absent"]
    assert "| X" not in results.markdown(suite.read(place), ["last"], found, "command")


def test_tables_stand_between_their_marks(place):
    found = carried_out(place, [])
    text = results.markdown(suite.read(place), ["last", "mean"], found, "the command")
    file = place / "page.md"
    file.write_text(f"above\n{results.BEGIN}\nold\n{results.END}\nbelow\n")
    results.put(file, text)
    page = file.read_text()
    assert page.startswith("above\n")
    assert page.endswith("below\n")
    assert "old" not in page
    assert "| X | 0.5 (nobody) |" in page
    assert "the command" in page
    file.write_text("no marks")
    with pytest.raises(SinkError, match="expected the marks"):
        results.put(file, text)


def test_every_set_of_the_suite_sets_only_what_it_may():
    import tomllib

    sets = suite.read(FOLDER)
    assert {s.name for s in sets} == {p.stem for p in FOLDER.glob("*.toml")} - {"suite"}
    for one in sets:
        path = FOLDER / f"{one.name}.toml"
        tree = tomllib.loads(path.read_text())
        assert set(tree) <= {"feed", "stream", "target", "run"}
        assert set(tree["run"]) == {"warmup"}
        config.load(path)


def test_an_unknown_set_is_refused(place):
    with pytest.raises(
        ConfigError, match="expected a set of the suite, was 'y'; there are: x"
    ):
        suite.read(place, ["y"])
