from __future__ import annotations

import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.errors import SinkError
from sfm_stream.evaluate import contest, results

COUNT = 200


@pytest.mark.parametrize("model", ["last", "sfm"])
def test_every_model_accounts_for_the_whole_feed(tmp_path, model):
    path = tmp_path / "a.csv"
    times = [1_700_000_000 + i + (10**8 if i == 150 else 0) for i in range(COUNT)]
    rows = [f"{t},{100 + i % 7}" for i, t in enumerate(times)]
    path.write_text("\n".join(["time,price", *rows, ""]))
    feed = {"connector": "csv", "path": str(path)}
    config = from_tree({"feed": feed, "run": {"warmup": 10}})
    found = contest.measure(config, open_feed, model, tmp_path / model, contest.KEPT)
    account = found["account"]
    # the one time far ahead, and nothing of what follows it
    assert account["taken"] == COUNT - 1
    assert account["not_taken"] == 1
    (one,) = account["rejections"].values()
    assert one["first"] == f"{path} row 151: '{times[150]}'"


@pytest.mark.parametrize("model", ["last", "sfm"])
def test_cells_lost_late_in_a_file_are_in_the_account(tmp_path, model, monkeypatch):
    monkeypatch.setattr(contest, "LIVE", 50)  # the first ticks alone are timed
    monkeypatch.setattr("connectors.files.text.PIECE", 1 << 10)  # of many rows
    path = tmp_path / "a.csv"
    cells = [str(100 + i % 7) if i < COUNT - 5 else "n.k." for i in range(COUNT)]
    rows = [f"{1_700_000_000 + i},{cell},1" for i, cell in enumerate(cells)]
    path.write_text("\n".join(["time,price,size", *rows, ""]))
    feed = {"connector": "csv", "path": str(path)}
    config = from_tree({"feed": feed, "run": {"warmup": 10}})
    found = contest.measure(config, open_feed, model, tmp_path / model, contest.KEPT)
    (one,) = found["account"]["feed"].values()
    assert one["count"] == 5


@pytest.mark.parametrize("model", ["last", "sfm"])
def test_a_feed_of_one_tick_has_a_pace_and_no_figures(tmp_path, model):
    config = from_tree({"feed": {"connector": "synthetic", "options": {"ticks": 1}}})
    found = contest.measure(config, open_feed, model, tmp_path / model, contest.KEPT)
    assert found["horizons"] == {}
    assert found["ticks_per_s"] > 0
    assert not any(found["stretches"]["ours"])


def test_a_used_folder_is_refused_with_the_way_out(tmp_path):
    config = from_tree({"feed": {"connector": "synthetic"}})
    (tmp_path / "last").mkdir()
    with pytest.raises(SinkError, match=r"already: last; name another .* --out"):
        contest.measure_all(config, open_feed, ["sfm", "last"], tmp_path)
    (tmp_path / "last").rename(tmp_path / results.NAME)
    with pytest.raises(SinkError, match=r"already: figures\.json"):
        contest.measure_all(config, open_feed, ["last"], tmp_path)
