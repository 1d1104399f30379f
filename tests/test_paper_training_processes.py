"""Trials trained side by side are those that would be trained in turn."""

from __future__ import annotations

from functools import partial

import pytest

from sfm_stream.errors import ConfigError
from sfm_stream.paper.tasks import signals
from sfm_stream.paper.training import processes, trials
from sfm_stream.paper.training.loop import Schedule
from sfm_stream.paper.training.trials import Order, Watch

TINY = signals.Size(8, 4, 4, 6, Schedule(1, 4, 1e-2, 1))
MAKE = partial(signals.experiment, "signals", TINY)


def test_two_processes_find_what_one_finds(tmp_path):
    said, progress = [], []
    watch = Watch(said.append, lambda *told: progress.append(told))
    order = Order(tmp_path / "two", ("gru", "lstm"), (0, 1), "cpu", watch, 2)
    processes.train_ahead([MAKE], order)
    assert progress[-1] == ("2 processes", 4, 4)
    assert len(said) == 4
    alone = Order(tmp_path / "one", ("gru", "lstm"), (0, 1))
    never = MAKE()._replace(splits=None)  # what is there is not trained again
    two = trials.carry_out(never, order)
    one = trials.carry_out(MAKE(), alone)
    for a, b in zip(two, one, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_every_model_and_seed_is_a_job_of_its_own(tmp_path):
    work = processes.jobs(MAKE, Order(tmp_path, ("gru", "sfm"), (0, 1), processes=2))
    named = [(job.order.models, job.order.seeds) for job in work]
    assert named == [(("gru",), (0,)), (("sfm",), (0,)),
                     (("gru",), (1,)), (("sfm",), (1,))]  # fmt: skip
    assert {job.order.processes for job in work} == {1}
    everything = processes.jobs(MAKE, Order(tmp_path, seeds=(0,)))
    assert [job.order.models[0] for job in everything] == list(MAKE().contenders)


def test_one_process_leaves_the_work_to_whoever_asks(tmp_path):
    processes.train_ahead([MAKE], Order(tmp_path, ("gru",), (0,)))
    assert not (tmp_path / trials.TRIALS).exists()


def test_an_error_comes_back_from_the_other_process(tmp_path):
    order = Order(tmp_path, ("transformer",), (0,), processes=2)
    with pytest.raises(ConfigError, match="--models: expected some of lstm"):
        processes.train_ahead([MAKE], order)
