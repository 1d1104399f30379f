from __future__ import annotations

import pytest

from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.errors import CheckpointError, CheckpointMismatch
from sfm_stream.events import Tick
from sfm_stream.running import warm_start
from sfm_stream.storage import checkpoint
from sfm_stream.storage.run_folder import Run

START = 1_700_000_000 * 10**9
SMALL = {"states": 4, "frequencies": 3, "outputs": 5}


def engine_of(ticks=0, **tree):
    engine = Engine(from_tree({"model": SMALL, **tree}), ("x",))
    for i in range(ticks):
        engine.observe(Tick("a", START + i, (float(i % 7),)))
        engine.learn()
    return engine


def run_of(folder, engine):
    return Run(folder, engine.config, {})


def learned(engine):
    return engine.view("weights").tolist(), engine.view("theta").tolist()


def saved(folder, engine):
    arrays, meta = engine.snapshot()
    run = run_of(folder, engine)
    checkpoint.save(run.checkpoints, engine.seq, arrays, {"engine": meta})
    return run


@pytest.mark.parametrize(
    "other", [{}, {"stream": {"symbols": ["a", "b"]}}, {"learn": {"enabled": False}}]
)
def test_what_was_learned_is_taken_over_whichever_streams_there_were(tmp_path, other):
    teacher = engine_of(50, **other)
    pupil = engine_of()
    warm_start.adopt(pupil, saved(tmp_path, teacher), pytest.fail)
    assert pupil.seq == 0
    assert pupil.learning
    assert learned(pupil) == learned(teacher)


def test_a_run_without_checkpoint_teaches_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="expected a checkpoint, was none"):
        warm_start.adopt(engine_of(), run_of(tmp_path, engine_of()), pytest.fail)


def test_another_model_is_refused(tmp_path):
    teacher = engine_of(5, target={"horizons": [2]})
    problem = r"expected target.horizons \(2,\), was \(1,\); start from a run with"
    with pytest.raises(CheckpointMismatch, match=problem):
        warm_start.adopt(engine_of(), saved(tmp_path, teacher), pytest.fail)


def test_a_warm_start_is_kept_and_comes_back(tmp_path):
    engine = engine_of(50)
    warm_start.keep(run_of(tmp_path, engine), engine)
    again = engine_of()
    warm_start.restore(run_of(tmp_path, engine), again)
    assert learned(again) == learned(engine)


def test_a_cold_start_changes_nothing(tmp_path):
    engine, untouched = engine_of(), engine_of()
    warm_start.restore(run_of(tmp_path, engine), engine)
    assert engine.snapshot()[1] == untouched.snapshot()[1]
