"""Searches settings for all models of the second task on the same grid.

A model with a wider search than another would look better than it is. So every model is
trained with each rate and each pair of dropouts, for the same number of epochs, and its
best setting on the validation split is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfm_stream.paper.data import piano_rolls
from sfm_stream.paper.output import tables
from sfm_stream.paper.tasks import music
from sfm_stream.paper.training import trials
from sfm_stream.paper.training.dropouts import Dropouts
from sfm_stream.paper.training.loop import Schedule
from sfm_stream.paper.training.processes import train_ahead
from sfm_stream.paper.training.trials import Experiment, Order, Result
from sfm_stream.report.markdown import table

NAME, SCORE = "search", "nll"


class Setting(NamedTuple):
    """One point of the grid.

    Attributes:
        rate: learning rate of Adam, falling to a tenth along half a cosine.
        dropouts: shares dropped in training.
    """

    rate: float
    dropouts: Dropouts

    @property
    def label(self) -> str:
        """The setting as part of a file name."""
        return f"{self.rate:g}-{self.dropouts.inputs:g}-{self.dropouts.said:g}"


RATES = (3e-3, 1e-2, 2e-2)
DROPOUTS = (Dropouts(0.05, 0.15), Dropouts(0.2, 0.3))
GRID = tuple(Setting(*both) for both in product(RATES, DROPOUTS))

# The rate comes from the grid. The best epoch on the validation split counts. Means of
# the weights over some 500 updates were better than the weights themselves, for SFM and
# for the LSTM.
FULL = music.Size(None, Schedule(100, 8, 0.0, 100, 0, 5.0, 0.1, 0.998, 0.03))
QUICK = music.Size(16, Schedule(2, 8, 0.0, 2, 0, 5.0, 0.0), 65)


def carry_out(
    names: Sequence[str], folder: Path, size: music.Size, order: Order
) -> dict[str, Any]:
    """Search the grid for every model on sets of piano rolls.

    Args:
        names: of the sets, as in `piano_rolls.FILES`; if empty, all sets in the folder.
        folder: of their files.
        size: amount of data, with a schedule.
        order: models, seeds and results folder.

    Returns:
        `sets`, by model `best`, the index in `grid` of the setting with the lowest mean
        validation NLL, and `valid` and `test` of every setting, means over seeds;
        `grid`; `text`, the tables in Markdown. They are written to `search.json` and
        `search.md`.

    Raises:
        ConfigError: for an unknown set or model.
        FeedError: if a file cannot be used.
        SinkError: if results cannot be read or written.
    """
    found = {}
    for name in names or piano_rolls.present(folder):
        makers = [partial(experiment, name, folder, size, one) for one in GRID]
        train_ahead(makers, order)
        found[name] = _folded([trials.carry_out(make(), order) for make in makers])
    text = "\n\n".join(f"{name}\n\n{_table(part)}" for name, part in found.items())
    grid = [one.label for one in GRID]
    tables.keep(NAME, {"sets": found, "grid": grid}, text, order.out)
    return {"sets": found, "grid": grid, "text": text}


def experiment(
    name: str, folder: Path, size: music.Size, setting: Setting
) -> Experiment:
    """Make the experiment of a set, with all eleven models trained by one setting.

    Args:
        name: of the set.
        folder: of its file.
        size: amount of data, with a schedule.
        setting: of the grid.
    """
    known = music.searched(name)
    tried = known._replace(dropouts=setting.dropouts, rates={})
    schedule = size.schedule or known.schedule
    size = size._replace(schedule=schedule._replace(lr=setting.rate))
    made = music.on(name, folder, size, tried)
    return made._replace(name=f"{made.name}-{NAME}-{setting.label}")


def _folded(results: Sequence[Sequence[Result]]) -> dict[str, Any]:
    """Give by model the figures of every setting, and the index of the best."""
    found = {}
    for name in dict.fromkeys(result["model"] for result in results[0]):
        means = {
            split: [_mean(one, name, split) for one in results]
            for split in ("valid", "test")
        }
        found[name] = {"best": int(np.argmin(means["valid"])), **means}
    return found


def _mean(results: Sequence[Result], name: str, split: str) -> float:
    mine = [result[split][SCORE] for result in results if result["model"] == name]
    return float(np.mean(mine))


def _table(models: Mapping[str, Any]) -> str:
    rows = []
    for name, model in models.items():
        best = GRID[model["best"]]
        rows.append([
            name, f"{best.rate:g}", f"{best.dropouts.inputs:g}",
            f"{best.dropouts.said:g}", f"{model['valid'][model['best']]:.3f}",
            f"{model['test'][model['best']]:.3f}",
        ])  # fmt: skip
    head = ["model", "rate", "inputs dropped", "outputs dropped",
            "validation NLL", "test NLL"]  # fmt: skip
    return table(head, rows)
