"""Snapshots of the first format go on in the arrays there are now."""

from __future__ import annotations

import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from sfm_stream import config
from sfm_stream.engine import Engine
from sfm_stream.errors import CheckpointMismatch
from sfm_stream.events import Tick
from sfm_stream.records import Forecast
from sfm_stream.storage import checkpoint

OLD_RUN = Path(__file__).parent / "old_run"
SAVED = 60


def resumed(**changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        settings = config.load(OLD_RUN / "config.toml")
    for table, change in changes.items():
        changed = replace(getattr(settings, table), **change)
        settings = replace(settings, **{table: changed})
    engine = Engine(settings, ["x"])
    saved = checkpoint.load(OLD_RUN / "checkpoints" / f"{SAVED:012d}")
    engine.restore(saved.arrays, saved.manifest["engine"])
    return engine


def said_then():
    """Give forecasts and scores of the version that wrote the run, by their origin."""
    lines = (OLD_RUN / "records.jsonl").read_bytes().splitlines()
    records = [msgspec.json.decode(line) for line in lines]
    return (
        {r["origin"]: r for r in records if r["type"] == kind}
        for kind in ("forecast", "score")
    )


def test_what_was_learned_says_what_it_said():
    engine, (forecasts, scores) = resumed(), said_then()
    value, time = scores[SAVED]["naive"], forecasts[SAVED]["time"]
    (said,) = (r for r in engine.observe(Tick("a", time, (value,)))
               if isinstance(r, Forecast))  # fmt: skip
    # The label of the tick before is learned at the pace of now.
    assert said.mean == pytest.approx(forecasts[SAVED]["mean"], abs=0.02)
    assert said.weights == pytest.approx(forecasts[SAVED]["weights"], abs=0.02)
    before = forecasts[SAVED]["upper"] - forecasts[SAVED]["lower"]
    assert said.upper - said.lower == pytest.approx(before, rel=0.5)
    assert said.amplitude == pytest.approx(forecasts[SAVED]["amplitude"], rel=1e-4)


def test_several_levels_are_nested_from_the_first_tick_on():
    engine, (forecasts, scores) = resumed(forecast={"levels": (0.5, 0.9)}), said_then()
    time, value = forecasts[SAVED]["time"], scores[SAVED]["naive"]
    (said,) = (r for r in engine.observe(Tick("a", time, (value,)))
               if isinstance(r, Forecast))  # fmt: skip
    assert len(said.quantiles) == 4
    assert np.isfinite(said.quantiles).all()
    assert list(said.quantiles) == sorted(said.quantiles)


def test_other_settings_than_then_are_refused():
    with pytest.raises(CheckpointMismatch, match="expected digest"):
        resumed(learn={"lr": 0.1})
