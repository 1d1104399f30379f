from __future__ import annotations

import json
import re

import numpy as np
import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.errors import SinkError
from sfm_stream.evaluate import contest
from sfm_stream.report import comparison
from sfm_stream.report.comparison import content
from sfm_stream.sinks import ParquetSink

NAMES = ("no-cell", "last")
CONFIG = from_tree({
    "feed": {"connector": "synthetic", "options": {"ticks": 500}},
    "target": {"horizons": [1, 12]},
    "run": {"warmup": 0.2},
})  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Give the folder of a small comparison, and its figures."""
    folder = tmp_path_factory.mktemp("runs") / "waves-001"
    found = {
        name: contest.measure(CONFIG, open_feed, name, folder / name, contest.KEPT)
        for name in NAMES
    }
    return folder, found


def test_figures_of_the_report_are_those_of_the_comparison(place):
    folder, paces = place
    found = content.gather(folder, NAMES, CONFIG.run.warmup, paces)
    assert [part["horizon"] for part in found["parts"]] == ["1", "12"]
    for part in found["parts"]:
        for name in NAMES:
            figures = paces[name]["horizons"][part["horizon"]]
            told = part["models"][name]
            assert told["mae"] == pytest.approx(figures["mae"], rel=0.02)
            assert told["skill"][0] == pytest.approx(figures["skill"], abs=0.02)
    assert found["models"][0]["ticks_per_s"] == paces["no-cell"]["ticks_per_s"]


def test_skill_so_far_ends_at_the_skill_of_the_whole(place):
    folder, paces = place
    found = content.gather(folder, NAMES, CONFIG.run.warmup, paces)
    for part in found["parts"]:
        curve = part["so far"]["models"]["no-cell"]
        assert len(curve) == len(part["so far"]["time"])
        assert curve[-1] == pytest.approx(
            part["models"]["no-cell"]["skill"][0], abs=1e-5
        )
        assert (np.diff(part["so far"]["time"]) > 0).all()


def test_the_last_truths_stand_beside_what_each_model_said(place):
    folder, paces = place
    last = content.gather(folder, NAMES, 0, paces)["parts"][0]["last"]
    truth, said = last["truth"], last["models"]["last"]
    assert said[1:] == truth[:-1]  # one tick ahead, the last value is the truth before


def test_the_report_is_one_file_beside_the_records(place):
    folder, paces = place
    path = comparison.write(folder, NAMES, CONFIG.run.warmup, paces)
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    data = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data[1])["name"] == "waves-001"
    assert 'from "./draw.js"' not in text
    assert re.findall(r'(?:src|href)="([^"#][^"]*)"', text) == []


def test_a_comparison_without_scores_is_refused(tmp_path):
    feed = open_feed(CONFIG)
    engine = Engine(CONFIG, feed.fields)
    sink = ParquetSink(tmp_path / "last", {"experts": engine.experts})
    sink.write(engine.run(next(feed.blocks(1))))
    sink.close()
    with pytest.raises(SinkError, match="expected scores, was none"):
        content.gather(tmp_path, ["last"], 0, {"last": {}})


def test_a_comparison_within_its_warmup_is_refused(place):
    folder, paces = place
    with pytest.raises(SinkError, match=r"was none; .*smaller run\.warmup"):
        content.gather(folder, NAMES, 99_999, paces)
