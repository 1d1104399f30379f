"""The paper's tasks by name, for experiments that run on any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sfm_stream.errors import ConfigError
from sfm_stream.paper.data import piano_rolls
from sfm_stream.paper.tasks import music, phonemes, signals
from sfm_stream.paper.training.processes import Maker

THREE = ("signals", "jsb", "phonemes")
"""One task of each kind, for experiments without named tasks."""


class Task(NamedTuple):
    """One task.

    Attributes:
        score: name of the score in tables.
        needs: path of its data in the folder of all data; empty for generated data.
        maker: takes that folder and whether to run the quick size; gives a function
            that makes the experiment, in this or another process.
    """

    score: str
    needs: str
    maker: Callable[[Path, bool], Maker]


def find(name: str) -> Task:
    """Give a task by its name.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in TASKS:
        problem = f"expected one of {', '.join(TASKS)}, was {name!r}"
        raise ConfigError("--task", problem)
    return TASKS[name]


def present(names: Sequence[str], data: Path) -> list[str]:
    """Give the names of tasks whose data is present.

    Args:
        names: of tasks.
        data: the folder of all data.
    """
    return [name for name in names if (data / find(name).needs).exists()]


def _signals(name: str) -> Task:
    def maker(data: Path, quick: bool) -> Maker:
        del data
        size = signals.QUICK if quick else signals.FULL
        return partial(signals.experiment, name, size)

    return Task("accuracy", "", maker)


def _music(name: str) -> Task:
    def maker(data: Path, quick: bool) -> Maker:
        size = music.QUICK if quick else music.FULL
        return partial(music.experiment, name, data / "music", size)

    return Task("nll", f"music/{piano_rolls.FILES[name]}", maker)


def _phonemes(data: Path, quick: bool) -> Maker:
    size = phonemes.QUICK if quick else phonemes.FULL
    return partial(phonemes.experiment, data / "phonemes", size)


TASKS: Mapping[str, Task] = {
    **{name: _signals(name) for name in signals.VARIANTS},
    **{name: _music(name) for name in piano_rolls.FILES},
    "phonemes": Task("accuracy", "phonemes", _phonemes),
}
