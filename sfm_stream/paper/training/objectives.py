"""The loss and scores of each kind of model in the slides' table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sfm_stream.cell.baselines.act import ACTCell
from sfm_stream.cell.baselines.catalogue import Headed
from sfm_stream.cell.baselines.phased import PhasedLSTMCell
from sfm_stream.errors import ConfigError
from sfm_stream.paper.data.sequences import Batch
from sfm_stream.paper.training.loop import Objective

PONDER = 1e-3
"""Cost of a step of adaptive computation time, in units of the loss."""


class Answer(NamedTuple):
    """The outputs of a model for a batch.

    Attributes:
        outputs: of the head at every tick [T, B, O].
        cost: cost of the computation, a term of the loss; one for the batch [].
    """

    outputs: Tensor
    cost: Tensor


def answer(model: nn.Module, batch: Batch) -> Answer:
    """Run a model of the slides' table on a batch.

    The phased LSTM uses the durations of ticks, if the batch has them; every other
    model counts ticks. Only the ACT-RNN has a cost, for its steps.

    Raises:
        ConfigError: if the model is not a `Headed`.
    """
    if not isinstance(model, Headed):
        problem = f"expected a layer and its head, was {type(model).__name__}"
        raise ConfigError("model", problem, "give it an objective of its own")
    cell = model.layer.cell
    if isinstance(cell, ACTCell):
        return _pondered(model, cell, batch)
    elapsed = batch.elapsed if isinstance(cell, PhasedLSTMCell) else None
    outputs, _ = model(batch.x, elapsed=elapsed)
    return Answer(outputs, outputs.new_zeros(()))


def objective(
    loss: Callable[[Tensor, Batch], Tensor],
    scores: Callable[[Tensor, Batch], Mapping[str, Tensor]],
    watched: str,
    ask: Callable[[nn.Module, Batch], Answer] = answer,
) -> Objective:
    """Make an objective from functions of a model's outputs.

    Args:
        loss: of outputs [T, B, O] and batch, a value per item [n].
        scores: of outputs and batch, by name, a value per item [n].
        watched: the score that should fall.
        ask: runs a model on a batch.
    """

    def descended(model: nn.Module, batch: Batch) -> Tensor:
        said = ask(model, batch)
        return loss(said.outputs, batch) + said.cost

    def scored(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return scores(ask(model, batch).outputs, batch)

    def judged(model: nn.Module, batch: Batch) -> Tensor:
        return scored(model, batch)[watched]

    return Objective(descended, scored, judged)


def at_last(outputs: Tensor, batch: Batch) -> Tensor:
    """Give the outputs at the last tick of each sequence [B, O]."""
    return outputs[batch.last, torch.arange(outputs.shape[1], device=outputs.device)]


def _pondered(model: Headed[Any], cell: ACTCell, batch: Batch) -> Answer:
    z, costs = cell.run_pondered(batch.x, cell.initial_state(batch.x.shape[1:-1]))
    return Answer(model.head(z), PONDER * costs[batch.mask].mean())
