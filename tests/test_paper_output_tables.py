"""Mean and spread over the seeds."""

from __future__ import annotations

import json

import pytest

from sfm_stream.paper.output import tables


def result(model, seed, accuracy):
    return {
        "model": model, "seed": seed, "parameters": 7, "best": seed + 2,
        "seconds": 1.0, "skipped": seed, "test": {"accuracy": accuracy},
    }  # fmt: skip


def test_results_are_folded_by_model():
    found = tables.fold([result("a", 0, 0.5), result("b", 0, 0.9), result("a", 1, 0.7)])
    assert list(found) == ["a", "b"]
    a = found["a"]
    assert (a["parameters"], a["seeds"], a["epochs"], a["skipped"]) == (
        7,
        [0, 1],
        2.5,
        1,
    )
    score = a["scores"]["accuracy"]
    assert score["values"] == [0.5, 0.7]
    assert (score["mean"], score["low"], score["high"]) == (
        pytest.approx(0.6),
        0.5,
        0.7,
    )
    assert score["sd"] == pytest.approx(0.02**0.5)
    assert found["b"]["scores"]["accuracy"]["sd"] is None


def test_a_score_that_an_older_trial_lacks_is_left_out():
    newer = result("a", 0, 0.5)
    newer["test"]["recall"] = 0.4
    for order in ([newer, result("a", 1, 0.7)], [result("a", 1, 0.7), newer]):
        assert list(tables.fold(order)["a"]["scores"]) == ["accuracy"]


def test_one_seed_is_shown_without_a_spread():
    assert tables.shown(tables.spread([0.5])) == "0.500"
    assert tables.shown(tables.spread([0.5, 0.7]), 2) == "0.60 ± 0.14"


def test_what_is_kept_says_what_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["x", "paper", "signals", "--quick"])
    tables.keep("signals", {"models": {"a": 1}}, "| table |", tmp_path)
    kept = json.loads((tmp_path / "signals.json").read_text())
    assert kept["models"] == {"a": 1}
    assert kept["command"] == "sfm-stream paper signals --quick"
    text = (tmp_path / "signals.md").read_text()
    assert text.startswith("| table |\n\nMade at commit")
    assert kept["commit"] in text
    assert "\nsfm-stream paper signals --quick\n" in text
