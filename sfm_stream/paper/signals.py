"""The paper's first task: is a signal a square or a sawtooth?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sfm_stream.cell.slides import CELLS, model
from sfm_stream.markdown import table
from sfm_stream.paper import answers, figures, tables, trials
from sfm_stream.paper.sequences import Batch, Sequences
from sfm_stream.paper.training import Contender, Schedule, Splits
from sfm_stream.paper.trials import Experiment, Order
from sfm_stream.paper.waves import Floats, Waves, waves

# Read off the slides' figure 2: all are multiples of 1/400.
SLIDES: Mapping[str, float] = {
    "lstm": 0.97,
    "gru": 0.9775,
    "cw-rnn": 0.9625,
    "act-rnn": 0.96,
    "rhn": 0.975,
    "a-lstm": 0.985,
    "p-lstm": 0.9775,
    "sfm": 0.99,
    "a-sfm": 0.9975,
}


class Size(NamedTuple):
    """How much is drawn and how long is learned.

    Attributes:
        train: signals to learn from.
        valid: signals that say when to stop.
        test: signals that count; the slides' figures are of 400.
        samples: of a signal, T.
        schedule: how each model is trained.
    """

    train: int
    valid: int
    test: int
    samples: int
    schedule: Schedule


FULL = Size(4_000, 400, 400, 500, Schedule(60, 50, 5e-3, 8, 2))
QUICK = Size(1_000, 200, 400, 125, Schedule(8, 50, 5e-3, 8))


def carry_out(size: Size, order: Order) -> dict[str, Any]:
    """Try the models on the slides' signals and on those under noise.

    Args:
        size: how much.
        order: which models and seeds, and where to.

    Returns:
        By variant, `models` as `tables.fold` gives them and what rules reach; `text`,
        the tables in Markdown. The folder has it as `signals.json` and `signals.md`,
        and drawn.

    Raises:
        ConfigError: for a model that is not among them.
        SinkError: if results cannot be read or written.
    """
    task = experiment(size)
    results = trials.carry_out(task, order)
    found = {"models": tables.fold(results)}
    text = _table(found["models"])
    figure, axes = figures.sheet(1, 2, (11.0, 4.0))
    figures.side_by_side(axes[0, 0], found["models"], "accuracy", SLIDES)
    figures.histories(axes[0, 1], results)
    figures.save(figure, "signals", order.out)
    tables.keep("signals", found, text, order.out)
    return {**found, "text": text}


def experiment(size: Size, draw: Callable[..., Waves] = waves) -> Experiment:
    """Give the task with the nine models of the slides' figure.

    Args:
        size: how much.
        draw: the generator, called with a count, a seed and `samples`.
    """
    drawn = [
        draw(count, seed, samples=size.samples)
        for seed, count in enumerate((size.train, size.valid, size.test), 1)
    ]
    scale = drawn[0].inputs.mean((0, 1)), drawn[0].inputs.std((0, 1))
    splits = Splits(*(_sequences(part, *scale) for part in drawn))
    objective = answers.objective(_loss, _scores, "loss")
    contenders = {name: Contender(partial(_born, name), objective) for name in CELLS}
    data = {**size._asdict(), "draw": draw.__name__}
    del data["schedule"]
    return Experiment("signals", data, splits, size.schedule, contenders)


def _born(name: str, seed: int) -> nn.Module:
    return model(name, "signals", seed=seed)


def _sequences(drawn: Waves, mean: Floats, deviation: Floats) -> Sequences:
    x = torch.tensor((drawn.inputs - mean) / deviation, dtype=torch.float32)
    y = torch.tensor(drawn.label, dtype=torch.float32)
    elapsed = torch.tensor(drawn.elapsed, dtype=torch.float32)
    return Sequences(x.unbind(), y.unbind(), elapsed.unbind())


def _loss(outputs: Tensor, batch: Batch) -> Tensor:
    said = answers.at_last(outputs, batch)[:, 0]
    return binary_cross_entropy_with_logits(said, batch.y, reduction="none")


def _scores(outputs: Tensor, batch: Batch) -> Mapping[str, Tensor]:
    said = answers.at_last(outputs, batch)[:, 0] > 0
    right = said == batch.y.bool()
    return {"accuracy": right.double(), "loss": _loss(outputs, batch)}


def _table(found: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{figures['parameters']:,}",
            tables.shown(figures["scores"]["accuracy"]),
            f"{SLIDES[name]:.4f}",
            f"{figures['seconds']:.0f}",
        ]
        for name, figures in found.items()
    ]
    return table(["model", "parameters", "accuracy", "the slides'", "seconds"], rows)
