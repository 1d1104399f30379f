"""The paper's tasks by name."""

from __future__ import annotations

import pytest

from sfm_stream.cell.slides import TASKS as SIZES
from sfm_stream.errors import ConfigError
from sfm_stream.paper import signals, tasks
from sfm_stream.paper.training import Schedule

TINY = signals.Size(8, 4, 4, 6, Schedule(1, 4, 1e-2, 1))


@pytest.mark.parametrize("name", signals.VARIANTS)
def test_a_task_of_signals_has_both_sizes(name, monkeypatch):
    monkeypatch.setattr(signals, "FULL", TINY)
    monkeypatch.setattr(signals, "QUICK", TINY._replace(train=6))
    task = tasks.find(name)
    assert (task.full().name, task.full().data["train"]) == (name, 8)
    assert task.quick().data["train"] == 6


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_is_of_the_slides(name):
    assert tasks.find(name).slides in SIZES


def test_a_task_that_there_is_not_is_refused():
    with pytest.raises(
        ConfigError, match=r"--task: expected one of signals, .*'waves'"
    ):
        tasks.find("waves")
