"""What a gradient that is written out by hand cannot do for torch."""

from __future__ import annotations

import torch

from sfm_stream.errors import InvalidState


def expect_one_gradient() -> None:
    """Refuse a gradient of the gradient, which is written out for the first alone.

    Raises:
        InvalidState: if torch would differentiate what is computed now.
    """
    if torch.is_grad_enabled():
        problem = "gradient: expected create_graph=False, was True"
        raise InvalidState(f"{problem}; fold the cell's ticks")
