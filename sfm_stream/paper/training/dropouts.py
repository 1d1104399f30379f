"""Dropout, the same for every model: without it models learn small sets by heart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn
from torch.nn.functional import dropout

from sfm_stream.cell.baselines.catalogue import Headed, model
from sfm_stream.paper.data.sequences import Batch
from sfm_stream.paper.training.objectives import Answer, answer


class Dropouts(NamedTuple):
    """Shares that are dropped in training.

    Attributes:
        inputs: share of the model's inputs.
        said: share of the layer's outputs, before the head.
    """

    inputs: float
    said: float

    def read(self, model: nn.Module, batch: Batch) -> Batch:
        """Apply dropout to the inputs of a batch, if the model is in training."""
        return batch._replace(x=dropout(batch.x, self.inputs, model.training))

    def ask(self, model: nn.Module, batch: Batch) -> Answer:
        """Apply dropout to a batch's inputs; give the model's answer."""
        return answer(model, self.read(model, batch))

    def born(
        self, name: str, task: str, options: Mapping[str, Any], seed: int
    ) -> Headed[Any]:
        """Build a model of the slides' table with dropout before the head.

        Args:
            name: as in `catalogue.CELLS`.
            task: as in `catalogue.TASKS`.
            options: of the cell.
            seed: of the weights.
        """
        made = model(name, task, options=options, seed=seed)
        made.head = nn.Sequential(nn.Dropout(self.said), made.head)
        return made
