"""The paper's second task: which keys sound in the next frame of a piece?

The slides' scores cannot be of the next frame: they nearly reach the bound of that
score. So models are compared by the likelihood of 88 keys, each of which sounds or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from sfm_stream.cell.baselines.catalogue import CELLS
from sfm_stream.paper.data import piano_rolls
from sfm_stream.paper.data.sequences import Batch, Sequences
from sfm_stream.paper.output import figures, tables
from sfm_stream.paper.tasks import chords
from sfm_stream.paper.training import objectives, trials
from sfm_stream.paper.training.dropouts import Dropouts
from sfm_stream.paper.training.loop import Contender, Schedule
from sfm_stream.paper.training.processes import train_ahead
from sfm_stream.paper.training.trials import Experiment, Order
from sfm_stream.report.markdown import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_FRAMES = 128
"""First frames of a piece in a picture."""

# Log-likelihoods of the slides' table, by model and set.
SLIDES: Mapping[str, Mapping[str, float]] = {
    name: dict(zip(piano_rolls.FILES, scores, strict=True))
    for name, scores in {
        "lstm": (-5.44, -6.24, -7.27, -5.60),
        "gru": (-5.36, -6.14, -7.14, -5.63),
        "cw-rnn": (-5.35, -6.04, -7.83, -5.90),
        "act-rnn": (-5.20, -5.89, -7.41, -5.82),
        "rhn": (-5.79, -5.74, -7.58, -5.60),
        "a-lstm": (-5.03, -5.63, -6.96, -5.64),
        "p-lstm": (-5.09, -5.65, -7.02, -5.70),
        "rnn-rbm": (-6.01, -6.27, -7.09, -2.39),
        "rnn-nade": (-5.60, -5.56, -7.05, -2.31),
        "sfm": (-4.81, -5.47, -6.76, -5.67),
        "a-sfm": (-4.80, -5.45, -6.80, -5.63),
    }.items()
}


class Searched(NamedTuple):
    """The settings found on the validation split of a set.

    Attributes:
        dropouts: the same for every model.
        rates: learning rates by model; other models use the schedule's rate.
        longest_memory: longest memory of an SFM at birth, in ticks.
        schedule: of the training at full size.
    """

    dropouts: Dropouts
    rates: Mapping[str, float]
    longest_memory: float
    schedule: Schedule


# The RHN diverged at 1e-2, and RNN-RBM ended higher.
SLOW = {"rhn": 3e-3, "rnn-rbm": 3e-3}
# The other rates were searched among 3e-3, 1e-2 and 2e-2. A chord lasts few frames:
# with a memory of hundreds of ticks at birth, SFM learned more slowly.
CHORALES = Searched(
    Dropouts(inputs=0.2, said=0.3),
    {"lstm": 2e-2, "gru": 2e-2, "sfm": 2e-2, "a-sfm": 2e-2, **SLOW},
    16.0,
    Schedule(100, 8, 1e-2, 100, 0, 5.0, 0.1, 0.998, 0.03),
)
# This set has three times as many pieces, and longer ones: with the chorales' dropouts
# SFM learned too little. The search, with SFM, covered dropouts of inputs up to .2, of
# outputs from .1 to .3, and memories of 16, 64 and 256 ticks.
TUNES = Searched(
    Dropouts(inputs=0.05, said=0.15),
    {"lstm": 2e-2, "sfm": 2e-2, "a-sfm": 2e-2, **SLOW},
    64.0,
    Schedule(80, 8, 1e-2, 80, 0, 5.0, 0.05, 0.999, 0.03),
)
# Rates were searched on the chorales, among 3e-3, 1e-2 and 2e-2, with this schedule;
# A-SFM has the rate of SFM. On Piano-midi.de the RHN diverged at the schedule's rate.
PIECES = Searched(
    Dropouts(inputs=0.2, said=0.3),
    {"lstm": 1e-2, "gru": 1e-2, "sfm": 2e-2, "a-sfm": 2e-2, "rhn": 1e-3},
    16.0,
    Schedule(200, 16, 3e-3, 5, 3, 5.0),
)
# By the schedule of PIECES all models fit MuseData too little: the LSTM had 7.15 on
# pieces that it had learned, 7.42 on the test. More updates and less dropout help.
ORCHESTRAL = Searched(
    TUNES.dropouts,
    {"lstm": 2e-2, "sfm": 2e-2, "a-sfm": 2e-2, "rhn": 1e-3, "rnn-rbm": 3e-3},
    16.0,
    Schedule(60, 4, 1e-2, 60, 0, 5.0, 0.1, 0.998, 0.03),
)
SEARCHED: Mapping[str, Searched] = {
    "jsb": CHORALES,
    "nottingham": TUNES,
    "piano-midi": PIECES,
    "muse-data": ORCHESTRAL,
}
"""Settings by set."""


class Size(NamedTuple):
    """The amount of data and the schedule of training.

    Attributes:
        pieces: number of first pieces of each split; None means all.
        schedule: of the training; None means the one in `SEARCHED`.
        frames: number of first frames of each piece; None means all.
    """

    pieces: int | None
    schedule: Schedule | None
    frames: int | None = None


FULL = Size(None, None)
# No chorale is longer, but pieces for the piano have thousands of frames.
QUICK = Size(32, Schedule(6, 8, 3e-3, 2, 0, 5.0), 129)


def carry_out(
    names: Sequence[str], folder: Path, size: Size, order: Order
) -> dict[str, Any]:
    """Train and test the models on sets of piano rolls.

    Args:
        names: of the sets, as in `piano_rolls.FILES`; if empty, all sets in the folder.
        folder: of their files.
        size: amount of data and schedule.
        order: models, seeds and results folder.

    Returns:
        `sets`, for each the `models` from `tables.fold`, the `bound` of the slides'
        score, and the number of `pieces` in each split; `text`, the tables in Markdown.
        They are written to `music.json` and `music.md`, with a picture.

    Raises:
        ConfigError: for an unknown set or model.
        FeedError: if a file cannot be used.
        SinkError: if results cannot be read or written.
    """
    chosen = names or piano_rolls.present(folder)
    makers = {name: partial(experiment, name, folder, size) for name in chosen}
    train_ahead(makers.values(), order)
    figure, axes = figures.sheet(len(chosen), 3, (16.0, 4.0 * len(chosen)))
    found = {}
    for name, row in zip(chosen, axes, strict=True):
        task = makers[name]()
        results = trials.carry_out(task, order)
        models = tables.fold(results)
        found[name] = {
            "models": models,
            "bound": bound(task.splits.test),
            "pieces": {k: len(part.x) for k, part in task.splits._asdict().items()},
        }
        _draw(row[0], task.splits.test.x[0])
        row[0].set_title(name, loc="left")
        figures.side_by_side(row[1], models, "nll")
        figures.cut_above(row[1], models, "nll")
        figures.histories(row[2], results)
        row[2].set_yscale("log")
    text = "\n\n".join(_table(name, part) for name, part in found.items())
    figures.save(figure, "music", order.out)
    tables.keep("music", {"sets": found}, text, order.out)
    return {"sets": found, "text": text}


def experiment(name: str, folder: Path, size: Size) -> Experiment:
    """Make the experiment of a set, with the eleven models of the slides' table.

    Args:
        name: of the set, as in `piano_rolls.FILES`.
        folder: of its file.
        size: amount of data and schedule.

    Raises:
        ConfigError: for another name.
        FeedError: if the file cannot be used.
    """
    return on(name, folder, size, searched(name))


def searched(name: str) -> Searched:
    """Give the settings of a set; reading the set refuses a name that is none."""
    return SEARCHED.get(name, CHORALES)


def on(name: str, folder: Path, size: Size, found: Searched) -> Experiment:
    """Make the experiment of a set, with given settings of the training.

    Args:
        name: of the set, as in `piano_rolls.FILES`.
        folder: of its file.
        size: amount of data and schedule.
        found: settings of the training.
    """
    splits = piano_rolls.load(name, folder, size.pieces, size.frames)
    objective = objectives.objective(_loss, _scores, "nll", found.dropouts.ask)
    keywise = {
        cell: Contender(partial(_born, cell, found), objective, found.rates.get(cell))
        for cell in CELLS
    }
    contenders = {**keywise, **chords.contenders(piano_rolls.KEYS, found.dropouts)}
    data = {
        "pieces": size.pieces,
        "frames": sum(len(x) for part in splits for x in part.x),
        "dropouts": found.dropouts._asdict(),
        "longest_memory": found.longest_memory,
    }
    in_order = {cell: contenders[cell] for cell in SLIDES}
    schedule = size.schedule or found.schedule
    return Experiment(f"music-{name}", data, splits, schedule, in_order)


def bound(sequences: Sequences) -> float:
    """Compute the slides' score of a model that knows the next frame.

    A softmax can give each of n sounding keys at most 1/n: a frame scores -n log n.
    """
    pieces = [y.sum(-1) for y in sequences.y]
    return float(
        torch.stack([-torch.xlogy(n, n).double().mean() for n in pieces]).mean()
    )


def _born(name: str, found: Searched, seed: int) -> nn.Module:
    kept = {"longest_memory": found.longest_memory}
    options = kept if name in ("sfm", "a-sfm") else {}
    return found.dropouts.born(name, "music", options, seed)


def _loss(outputs: Tensor, batch: Batch) -> Tensor:
    """Compute the negative log-likelihood of every unpadded frame [n]."""
    bits = binary_cross_entropy_with_logits(outputs, batch.y, reduction="none")
    return bits.sum(-1)[batch.mask]


def _scores(outputs: Tensor, batch: Batch) -> Mapping[str, Tensor]:
    """Compute `nll` by frame, its mean by `piece`, and the slides' score `softmax`."""
    nll = _loss(outputs, batch)
    sounding = (batch.y * log_softmax(outputs, -1)).sum(-1)[batch.mask]
    return {"nll": nll, "piece": batch.means(nll), "softmax": batch.means(sounding)}


def _draw(axes: Axes, piece: Tensor) -> None:
    """Draw the sounding keys of the first frames [T, V], as in the slides' figure 3."""
    roll = piece[:SHOWN_FRAMES].T.numpy()
    axes.imshow(
        roll, aspect="auto", cmap="binary", origin="lower", interpolation="nearest"
    )
    axes.set_xlabel("frame")
    axes.set_ylabel("key")


def _table(name: str, part: Mapping[str, Any]) -> str:
    rows = [_row(cell, name, part["models"].get(cell)) for cell in SLIDES]
    head = [
        "model", "parameters", "NLL", "NLL by piece", "softmax score", "the slides'",
        "seconds",
    ]  # fmt: skip
    title = f"{name}: the softmax score is at most {part['bound']:.3f}"
    return f"{title}\n\n{table(head, rows)}"


def _row(cell: str, name: str, figures: Mapping[str, Any] | None) -> list[str]:
    slides = f"{SLIDES[cell][name]:.2f}"
    if figures is None:
        return [cell, "", tables.NOT_RUN, "", "", slides, ""]
    scores = figures["scores"]
    nll, piece, softmax = (
        tables.shown(scores[score]) if score in scores else ""
        for score in ("nll", "piece", "softmax")
    )
    if cell == "rnn-rbm":
        nll, piece = f"{nll} (estimated)", f"{piece} (estimated)"
    seconds = f"{figures['seconds']:.0f}"
    parameters = f"{figures['parameters']:,}"
    return [cell, parameters, nll, piece, softmax, slides, seconds]
