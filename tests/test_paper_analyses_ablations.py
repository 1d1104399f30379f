"""One thing changed at a time, in the smallest form of the command."""

from __future__ import annotations

import json
from functools import partial

import pytest

from sfm_stream.paper.analyses import ablations
from sfm_stream.paper.analyses.variants import VARIANTS
from sfm_stream.paper.tasks import signals
from sfm_stream.paper.training.loop import Schedule
from sfm_stream.running import replay

TINY = signals.Size(8, 4, 4, 6, Schedule(1, 4, 1e-2, 1))
STREAMS = {
    "tones": {
        "feed": {"connector": "synthetic", "options": {"ticks": 200}},
        "run": {"warmup": 20},
    }
}


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, tmp_path):
    """Give the command in an empty folder, on tiny data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "QUICK", TINY)
    monkeypatch.setattr(ablations, "STREAMS", STREAMS)
    return partial(sfm_stream, "paper", "ablations", "--quick", "--tasks", "signals")


def test_every_variant_stands_in_one_table(sfm_stream, tmp_path):
    code, out, err = sfm_stream("--out", "found", "--json")
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    assert list(found["variants"]) == list(VARIANTS)
    for name, variant in found["variants"].items():
        assert list(variant["scores"]) == ["signals", "tones"]
        offered = VARIANTS[name].online is not None
        assert (variant["scores"]["tones"] is not None) == offered
    rows = found["text"].splitlines()
    assert rows[0] == "| variant | signals, accuracy | tones, skill |"
    assert len(rows) == 2 + len(VARIANTS)
    assert next(r for r in rows if r.startswith("| no basis")).endswith("| - |")
    skills = {name: v["scores"]["tones"]["mean"]
              for name, v in found["variants"].items() if v["scores"]["tones"]}  # fmt: skip
    assert len(set(skills.values())) == len(skills), "a setting does nothing"
    assert (tmp_path / "found/ablations.md").read_text().startswith(found["text"])


def test_what_is_known_is_not_forecast_again(sfm_stream, monkeypatch):
    words = ("--variants", "paper,half grid", "--json")
    first = sfm_stream(*words)
    monkeypatch.setattr(replay, "replay", None)
    second = sfm_stream(*words)
    assert first[1] == second[1]
    assert list(json.loads(second[1])["variants"]) == ["paper", "half grid"]


def test_a_variant_that_there_is_not_is_refused(sfm_stream):
    code, _, err = sfm_stream("--variants", "quarter grid")
    assert code == 1
    assert "--variants: expected some of paper" in err
