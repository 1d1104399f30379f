"""The paper's third task: which of 61 phones is spoken in each frame of a sentence?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sfm_stream.cell.baselines.catalogue import CELLS
from sfm_stream.paper.data import speech
from sfm_stream.paper.data.sequences import Batch, Sequences
from sfm_stream.paper.output import figures, tables
from sfm_stream.paper.training import objectives, trials
from sfm_stream.paper.training.dropouts import Dropouts
from sfm_stream.paper.training.loop import Contender, Schedule, Splits
from sfm_stream.paper.training.processes import train_ahead
from sfm_stream.paper.training.trials import Experiment, Order
from sfm_stream.report.markdown import table

# Read from the bars of the slides' figure 4, which cover the whole corpus.
SLIDES: Mapping[str, float] = {
    "lstm": 0.646,
    "gru": 0.675,
    "cw-rnn": 0.633,
    "act-rnn": 0.647,
    "rhn": 0.682,
    "a-lstm": 0.686,
    "p-lstm": 0.665,
    "sfm": 0.692,
    "a-sfm": 0.703,
}
DROPOUTS = Dropouts(inputs=0.2, said=0.3)
# Searched on the validation split of the sample: LSTM, GRU and SFM among 5e-3, 1e-2 and
# 2e-2, RHN from 5e-4 to 5e-3, P-LSTM from 5e-3 to 5e-2; A-SFM has the rate of SFM. The
# other models use the schedule's rate.
RATES: Mapping[str, float] = {
    "lstm": 1e-2,
    "gru": 1e-2,
    "rhn": 2e-3,
    "p-lstm": 5e-2,
    "sfm": 2e-2,
    "a-sfm": 2e-2,
}
# Longest memory of an SFM at birth, in ticks: about the length of a phone.
LONGEST_MEMORY = 16.0


class Size(NamedTuple):
    """The amount of data and the schedule of training.

    Attributes:
        sentences: number of first sentences of each split; None means all.
        schedule: of the training.
    """

    sentences: int | None
    schedule: Schedule


FULL = Size(None, Schedule(100, 8, 5e-3, 4, 2))
QUICK = Size(16, Schedule(5, 8, 5e-3, 2))


def carry_out(folder: Path, size: Size, order: Order) -> dict[str, Any]:
    """Train and test the models on a corpus.

    Args:
        folder: of the corpus.
        size: amount of data and schedule.
        order: models, seeds and results folder.

    Returns:
        `models` from `tables.fold`, and the number of `frames` in each split; `text`,
        the table in Markdown. They are written to `phonemes.json` and `phonemes.md`,
        with a picture.

    Raises:
        ConfigError: for an unknown model.
        FeedError: if the corpus cannot be used.
        SinkError: if results cannot be read or written.
    """
    make = partial(experiment, folder, size)
    train_ahead([make], order)
    task = make()
    results = trials.carry_out(task, order)
    models = tables.fold(results)
    found = {"models": models, "frames": task.data["frames"]}
    figure, axes = figures.sheet(1, 2, (11.0, 4.0))
    figures.side_by_side(axes[0, 0], models, "accuracy", SLIDES)
    figures.histories(axes[0, 1], results)
    figures.save(figure, "phonemes", order.out)
    text = _table(found)
    tables.keep("phonemes", found, text, order.out)
    return {**found, "text": text}


def experiment(folder: Path, size: Size) -> Experiment:
    """Make the experiment with the nine models of the slides' figure.

    Args:
        folder: of the corpus.
        size: amount of data and schedule.

    Raises:
        FeedError: if the corpus cannot be used.
    """
    return on("phonemes", speech.load(folder, size.sentences), size.schedule)


def on(name: str, heard: Splits, schedule: Schedule) -> Experiment:
    """Make the experiment on some speakers.

    Args:
        name: of the experiment.
        heard: their sentences, with features before scaling.
        schedule: of the training.
    """
    splits = _scaled(heard)
    objective = objectives.objective(_loss, _scores, "error", DROPOUTS.ask)
    contenders = {
        cell: Contender(partial(_born, cell), objective, RATES.get(cell))
        for cell in CELLS
    }
    frames = {k: sum(len(x) for x in part.x) for k, part in splits._asdict().items()}
    data = {
        "frames": frames,
        "dropouts": DROPOUTS._asdict(),
        "longest_memory": LONGEST_MEMORY,
    }
    return Experiment(name, data, splits, schedule, contenders)


def _born(name: str, seed: int) -> nn.Module:
    kept = {"longest_memory": LONGEST_MEMORY} if name in ("sfm", "a-sfm") else {}
    return DROPOUTS.born(name, "phonemes", kept, seed)


def _scaled(splits: Splits) -> Splits:
    """Scale every feature to mean 0 and deviation 1 on the training split."""
    heard = torch.cat(list(splits.train.x))
    mean, deviation = heard.mean(0), heard.std(0)
    return Splits(
        *(
            Sequences([(x - mean) / deviation for x in part.x], part.y)
            for part in splits
        )
    )


def _loss(outputs: Tensor, batch: Batch) -> Tensor:
    return cross_entropy(outputs[batch.mask], batch.y[batch.mask], reduction="none")


def _scores(outputs: Tensor, batch: Batch) -> Mapping[str, Tensor]:
    right = (outputs.argmax(-1) == batch.y)[batch.mask].double()
    return {"accuracy": right, "error": 1.0 - right, "loss": _loss(outputs, batch)}


def _table(found: Mapping[str, Any]) -> str:
    rows = []
    for name in CELLS:
        said = tables.NOT_RUN, tables.NOT_RUN, ""
        if name in found["models"]:
            figures = found["models"][name]
            said = (
                f"{figures['parameters']:,}",
                tables.shown(figures["scores"]["accuracy"]),
                f"{figures['seconds']:.0f}",
            )
        parameters, accuracy, seconds = said
        rows.append([name, parameters, accuracy, f"{SLIDES[name]:.3f}", seconds])
    head = ["model", "parameters", "accuracy", "the slides', whole corpus", "seconds"]
    return table(head, rows)
