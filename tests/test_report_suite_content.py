from __future__ import annotations

import json
import re

import pytest

from connectors import open_feed
from sfm_stream.config import from_tree
from sfm_stream.evaluate import contest
from sfm_stream.evaluate.suite import Benchmark, summary
from sfm_stream.report import suite
from sfm_stream.report.suite import content
from tests.browser_rig import browser, program

NAMES = ("no-cell", "last", "mean")
FILES = ("one", "two")
SETS = [
    {"name": "x", "title": "Waves", "measure": "skill", "best": None, "source": ""},
    {"name": "y", "title": "Absent", "measure": "mse", "best": 0.5, "source": "nobody"},
]


def config_of(seed):
    return from_tree({
        "feed": {"connector": "synthetic", "options": {"ticks": 500, "seed": seed}},
        "target": {"horizons": [1, 12]},
        "run": {"warmup": 0.2},
    })  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Give what a small suite found: one set of two files."""
    folder = tmp_path_factory.mktemp("suite")
    each = {
        name: {
            file: contest.measure(
                config_of(i), open_feed, name, folder / name / file, contest.KEPT
            )
            for i, file in enumerate(FILES)
        }
        for name in NAMES
    }
    benchmark = Benchmark(name="x", title="Waves")
    return {"x": {name: summary(benchmark, runs) for name, runs in each.items()}}


def gathered(found):
    return content.gather("suite", SETS, NAMES, found, "the command")


def test_skills_of_the_report_are_those_of_the_suite(found):
    (told,) = gathered(found)["sets"]
    for name in NAMES:
        assert told["models"][name]["skill"] == pytest.approx(found["x"][name]["value"])
        low, high = told["models"][name]["interval"]
        assert low <= told["models"][name]["skill"] <= high


def test_skill_so_far_ends_at_the_skill_of_the_whole(found):
    (told,) = gathered(found)["sets"]
    shares = told["so far"]["share"]
    assert (len(shares), shares[-1]) == (contest.STRETCHES, 100.0)
    for name, curve in told["so far"]["models"].items():
        assert curve[-1] == pytest.approx(told["models"][name]["skill"], abs=1e-5)


def test_the_best_is_behind_nobody_and_the_last_value_has_no_skill(found):
    (told,) = gathered(found)["sets"]
    models = told["models"]
    best = max(NAMES, key=lambda name: models[name]["skill"])
    assert models[best]["behind"] == (0.0, 0.0)
    assert models["last"]["interval"] == (0.0, 0.0)
    assert models["mean"]["behind"][0] > 0


def test_a_set_where_nothing_moves_is_told_without_figures():
    flat = {"ours": [0.0] * 50, "theirs": [0.0] * 50}
    run = {"stretches": flat, "ticks_per_s": 1.0, "peak_rss_mib": 1.0}
    still = dict.fromkeys(content.TOLD) | {
        "values": {"all": None},
        "runs": {"all": run},
    }
    (told,) = gathered({"x": dict.fromkeys(NAMES, still)})["sets"]
    for one in told["models"].values():
        assert (one["skill"], one["interval"], one["behind"]) == (None, None, None)
    assert told["so far"]["models"] == {name: [] for name in NAMES}


def test_the_report_is_one_file_that_asks_nobody(found, tmp_path):
    path = suite.write(tmp_path, SETS, NAMES, found, "sfm-stream compare --suite </x>")
    text = path.read_text(encoding="utf-8")
    data = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)
    told = json.loads(data[1])
    assert [one["title"] for one in told["sets"]] == ["Waves"]
    assert told["made"]["command"].endswith("</x>")
    assert 'from "./draw.js"' not in text
    assert re.findall(r'(?:src|href)="([^"#][^"]*)"', text) == []


@pytest.mark.skipif(program() is None, reason="Chromium is not installed")
def test_the_report_is_drawn_without_a_problem_or_another_host(found, tmp_path):
    path = suite.write(tmp_path, SETS, NAMES, found, "the command")
    with browser() as page:
        page.size(420)
        page.open(f"file://{path}")
        page.until("document.querySelectorAll('canvas').length === 1")
        assert page.ask("document.documentElement.scrollWidth") == 420
        assert page.problems == []
        assert page.requests == [f"file://{path}"]
        told = [name for role, name in page.tree() if role == "image"]
        assert any(one.startswith("skill so far") and "no-cell" in one for one in told)
