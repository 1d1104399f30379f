"""The paper's tasks by name, for experiments that run on any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sfm_stream.errors import ConfigError
from sfm_stream.paper import signals
from sfm_stream.paper.trials import Experiment


class Task(NamedTuple):
    """One task.

    Attributes:
        slides: its name in the slides' table of sizes.
        score: the one of its scores that stands in tables.
        full: gives it at full size.
        quick: gives it at the size of minutes.
    """

    slides: str
    score: str
    full: Callable[[], Experiment]
    quick: Callable[[], Experiment]


def _signals(name: str) -> Task:
    return Task(
        "signals",
        "accuracy",
        lambda: signals.experiment(name, signals.FULL),
        lambda: signals.experiment(name, signals.QUICK),
    )


TASKS: Mapping[str, Task] = {name: _signals(name) for name in signals.VARIANTS}


def find(name: str) -> Task:
    """Give a task by its name.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in TASKS:
        problem = f"expected one of {', '.join(TASKS)}, was {name!r}"
        raise ConfigError("--task", problem)
    return TASKS[name]
