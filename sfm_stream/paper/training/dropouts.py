"""Dropout, the same for every model: the sets are small and learned by heart."""

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
        inputs: of what a model reads.
        said: of what its layer says, before the head.
    """

    inputs: float
    said: float

    def read(self, model: nn.Module, batch: Batch) -> Batch:
        """Give what a model reads of a batch."""
        return batch._replace(x=dropout(batch.x, self.inputs, model.training))

    def ask(self, model: nn.Module, batch: Batch) -> Answer:
        """Ask a model of the slides' table what it says to what is left of a batch."""
        return answer(model, self.read(model, batch))

    def born(
        self, name: str, task: str, options: Mapping[str, Any], seed: int
    ) -> Headed[Any]:
        """Build a model of the slides' table whose head reads what is left.

        Args:
            name: as in `catalogue.CELLS`.
            task: as in `catalogue.TASKS`.
            options: of the cell.
            seed: of the weights.
        """
        made = model(name, task, options=options, seed=seed)
        made.head = nn.Sequential(nn.Dropout(self.said), made.head)
        return made
